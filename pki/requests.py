"""Requests for certificates as the ledger keeps them: who asks for what, and what became of it.

A request passes through *requested*, perhaps *proven* (the owner showed that he has the key), then
*approved* or *refused*; it is issued when a certificate for each of its profiles is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from pki.certified import Certified
from pki.chain import Details, Entry
from pki.profiles import Profile
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox

DECISIONS = frozenset({"proven", "approved", "refused"})


class RequestState(StrEnum):
    """How a request stands."""

    UNPROVEN = "unproven"
    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    ISSUED = "issued"


class Proof(StrEnum):
    """How it is known that the owner of the mailbox has the private key (RFC 4211, 4)."""

    SIGNATURE = "signature"  # PKCS #10 is signed with it
    CHALLENGE = "challenge"  # what was encrypted to it came back (RFC 4211, 4.2)
    CA_MADE = "made-by-ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        number: Counts from 1.
        requester: The operator, or the machine, who filed it; may not approve it where the CA
            wants a second person.
        expires_at: Nobody approves it after that, and nothing is issued for it.
        key: What to make, when the CA makes the key; else empty.
        days: 0 for the CA's default.
        request_der: The PKCS #10 request or the SubjectPublicKeyInfo; empty when the CA makes
            the key.
        challenge: SHA-256 of the answer that proves possession, hexadecimal; else empty.
        findings: What a second look should see, one remark a line.
    """

    number: int
    filed_at: datetime
    expires_at: datetime
    requester: str
    mailbox: Mailbox
    profiles: tuple[Profile, ...]
    name: str
    key: str
    days: int
    proof: Proof
    request_der: bytes
    challenge: str = ""
    renews: int | None = None
    findings: str = ""
    state: RequestState = RequestState.PENDING
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""
    serials: tuple[int, ...] = ()
    issued: tuple[Profile, ...] = ()

    def state_at(self, now: datetime) -> RequestState:
        """Return how it stands at a time: what was not issued in time has expired."""
        open_states = (RequestState.UNPROVEN, RequestState.PENDING, RequestState.APPROVED)
        if self.state in open_states and self.expires_at <= now:
            return RequestState.EXPIRED
        return self.state

    @property
    def missing(self) -> tuple[Profile, ...]:
        """The profiles for which no certificate was issued yet."""
        return tuple(profile for profile in self.profiles if profile not in self.issued)

    def details(self) -> Details:
        """Return it as the ledger keeps it."""
        return {
            "request": self.number,
            "expires_at": self.expires_at.isoformat(),
            "requester": self.requester,
            "mailbox": self.mailbox.address,
            "profiles": " ".join(profile.value for profile in self.profiles),
            "name": self.name,
            "key": self.key,
            "days": self.days,
            "proof": self.proof.value,
            "challenge": self.challenge,
            "renews": serial_text(self.renews) if self.renews else "",
            "findings": self.findings,
        }


def read_request(entry: Entry) -> Request:
    """Return the request that a *requested* entry tells of."""
    details = entry.details
    challenge, renews = str(details["challenge"]), str(details["renews"])
    return Request(
        number=int(details["request"]),
        filed_at=datetime.fromisoformat(entry.at),
        expires_at=datetime.fromisoformat(str(details["expires_at"])),
        requester=str(details["requester"]),
        mailbox=Mailbox.parse(str(details["mailbox"])),
        profiles=tuple(Profile(word) for word in str(details["profiles"]).split()),
        name=str(details["name"]),
        key=str(details["key"]),
        days=int(details["days"]),
        proof=Proof(str(details["proof"])),
        request_der=entry.der,
        challenge=challenge,
        renews=int(renews, 16) if renews else None,
        findings=str(details["findings"]),
        state=RequestState.UNPROVEN if challenge else RequestState.PENDING,
    )


def read_decision(request: Request, entry: Entry) -> Request:
    """Return *request* after one of `DECISIONS`."""
    if entry.kind == "proven":
        return replace(request, state=RequestState.PENDING)
    approved = entry.kind == "approved"
    return replace(
        request,
        state=RequestState.APPROVED if approved else RequestState.REFUSED,
        decided_by=str(entry.details["operator"]),
        decided_at=datetime.fromisoformat(entry.at),
        reason=str(entry.details["reason"]),
    )


def with_certificate(request: Request, certified: Certified) -> Request:
    """Return *request* after a certificate was issued for it."""
    assert certified.profile
    done = replace(
        request,
        serials=(*request.serials, certified.serial),
        issued=(*request.issued, certified.profile),
    )
    return done if done.missing else replace(done, state=RequestState.ISSUED)
