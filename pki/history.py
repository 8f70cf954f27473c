"""Adds the ledger's entries up: which certificates, CRLs and requests there are, how they stand.

Every entry is looked at once, in its order, so that a CA of many thousands stays quick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pki import keys
from pki.certified import Certified, Reservation
from pki.chain import START, Entry
from pki.requests import (
    DECISIONS,
    Request,
    read_decision,
    read_request,
    with_certificate,
)
from pki.revocation import HOLD, Revocation
from smimegw.addresses import Mailbox


class History:
    """What the entries so far say."""

    def __init__(self) -> None:
        self.number = 0
        self.head = START
        self.serials: set[str] = set()
        self.certificates: dict[int, Certified] = {}
        self.crls: dict[str, Entry] = {}
        self.deltas: dict[str, list[Entry]] = {}  # since the newest complete CRL
        self.requests: dict[int, Request] = {}
        self.released: list[tuple[int, datetime]] = []
        self._reserved: dict[str, Reservation] = {}
        self._own: list[int] = []
        self._by_mailbox: dict[str, list[int]] = {}
        self._by_key: dict[bytes, list[int]] = {}
        self._keys_of: list[int] = []  # serial numbers whose keys are not in _by_key yet

    def take(self, entries: Iterable[Entry]) -> None:
        """Go on with *entries*."""
        for entry in entries:
            self._take(entry)
            self.number, self.head = entry.number, entry.digest

    def open_reservations(self) -> dict[str, Reservation]:
        """Serial numbers that neither became a certificate nor were given up."""
        return self._reserved

    def own(self) -> tuple[Certified, ...]:
        """The CA's own certificates, oldest first."""
        return tuple(self.certificates[serial] for serial in self._own)

    def of_mailbox(self, mailbox: Mailbox) -> tuple[Certified, ...]:
        """Every certificate for *mailbox*, oldest first."""
        serials = self._by_mailbox.get(mailbox.key, ())
        return tuple(self.certificates[serial] for serial in serials)

    def of_key(self, public_key_octets: bytes) -> tuple[Certified, ...]:
        """Every certificate for a public key (SubjectPublicKeyInfo, DER), oldest first."""
        for serial in self._keys_of:
            certificate = self.certificates[serial].certificate
            public = keys.accept_public_key(certificate.public_key())
            digest = hashlib.sha256(keys.public_key_octets(public)).digest()
            self._by_key.setdefault(digest, []).append(serial)
        self._keys_of.clear()
        serials = self._by_key.get(hashlib.sha256(public_key_octets).digest(), ())
        return tuple(self.certificates[serial] for serial in serials)

    def _take(self, entry: Entry) -> None:
        match entry.kind:
            case "reserved":
                self._reserved[entry.serial] = Reservation.read(dict(entry.details))
                self.serials.add(entry.serial)
            case "issued":
                self._issued(entry)
            case "abandoned":
                self._reserved.pop(entry.serial, None)
            case "revoked":
                self._mark(entry, str(entry.details["reason"]))
            case "held":
                self._mark(entry, HOLD)
            case "released":
                serial = int(entry.serial, 16)
                self.certificates[serial] = replace(self.certificates[serial], revocation=None)
                self.released.append((serial, datetime.fromisoformat(entry.at)))
            case "crl":
                self.crls[str(entry.details["issuer"])] = entry
                self.deltas[str(entry.details["issuer"])] = []
            case "delta":
                self.deltas[str(entry.details["issuer"])].append(entry)
            case "requested":
                request = read_request(entry)
                self.requests[request.number] = request
            case kind if kind in DECISIONS:
                number = int(entry.details["request"])
                self.requests[number] = read_decision(self.requests[number], entry)
            case _:
                pass  # tells a person something, and us nothing

    def _issued(self, entry: Entry) -> None:
        serial = int(entry.serial, 16)
        certified = self._reserved.pop(entry.serial).fulfilled(serial, entry.der)
        self.certificates[serial] = certified
        self._keys_of.append(serial)
        if certified.mailbox is None:
            self._own.append(serial)
        else:
            self._by_mailbox.setdefault(certified.mailbox.key, []).append(serial)
        if certified.request in self.requests:
            request = self.requests[certified.request]
            self.requests[certified.request] = with_certificate(request, certified)

    def _mark(self, entry: Entry, reason: str) -> None:
        serial = int(entry.serial, 16)
        since = str(entry.details.get("since", "")) or entry.at  # a hold that became final
        revocation = Revocation(revoked_at=datetime.fromisoformat(since), reason=reason)
        self.certificates[serial] = replace(self.certificates[serial], revocation=revocation)
