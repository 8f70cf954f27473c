"""What the CA has issued, revoked and listed: the ledger's entries read as certificates.

A certificate passes through two entries.  *reserved* takes the serial number before anything is
signed, *issued* keeps the certificate before anybody gets it.  A crash in between leaves a
reservation that the next command turns into *abandoned*: the number is used up, nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import LedgerError, UnknownSerialError
from pki.ledger import Ledger
from pki.profiles import Profile
from pki.revocation import Revocation, RevokedSerial
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

IssuerName = Literal["root", "issuing"]
_SERIAL_TRIES = 5
_SERIAL_DIGITS_MIN = 4  # of an abbreviated serial number


def serial_text(serial: int) -> str:
    """Return a serial number as OpenSSL prints it: hexadecimal, upper case, whole octets."""
    text = f"{serial:X}"
    return text if len(text) % 2 == 0 else "0" + text


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """One certificate of this CA, with what the ledger knows about it.

    Attributes:
        mailbox: Whose it is; None for the CA's own certificates.
        profile: None for the CA's own certificates.
        renews: Serial number of the certificate that this one follows.
    """

    serial: int
    issuer: IssuerName
    mailbox: Mailbox | None
    profile: Profile | None
    name: str
    key_held: bool
    renews: int | None
    certificate: x509.Certificate
    der: bytes
    revocation: Revocation | None = None

    @property
    def not_after(self) -> datetime:
        """The last second of validity."""
        return self.certificate.not_valid_after_utc

    def status(self, now: datetime) -> str:
        """Return ``revoked``, ``expired``, ``not-yet-valid`` or ``valid``."""
        if self.revocation:
            return "revoked"
        if self.not_after < now:
            return "expired"
        return "valid" if self.certificate.not_valid_before_utc <= now else "not-yet-valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One CRL of this CA."""

    issuer: IssuerName
    number: int
    crl: x509.CertificateRevocationList
    der: bytes

    @property
    def next_update(self) -> datetime:
        """When readers stop believing it."""
        end = self.crl.next_update_utc
        assert end is not None  # RFC 5280, 5.1.2.5: ours always say
        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a serial number is reserved for."""

    issuer: IssuerName
    mailbox: Mailbox | None
    profile: Profile | None
    name: str
    key_held: bool
    renews: int | None = None


class Register:
    """Reads and extends a ledger in the CA's words."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def reserve(
        self,
        reservation: Reservation,
        *,
        now: datetime,
        draw_serial: Callable[[], int] = x509.random_serial_number,
    ) -> int:
        """Take a serial number that was never used and never will be again.

        Raises:
            LedgerError: The source of serial numbers repeats itself.
        """
        used = {entry.serial for entry in self.ledger.entries()}
        for _ in range(_SERIAL_TRIES):
            serial = draw_serial()
            text = serial_text(serial)
            if serial > 0 and text not in used:
                details: dict[str, str | bool] = {
                    "issuer": reservation.issuer,
                    "mailbox": reservation.mailbox.address if reservation.mailbox else "",
                    "profile": reservation.profile.value if reservation.profile else "",
                    "name": reservation.name,
                    "key_held": reservation.key_held,
                    "renews": serial_text(reservation.renews) if reservation.renews else "",
                }
                self.ledger.append("reserved", at=now, serial=text, details=details)
                return serial
        raise LedgerError(
            "The random serial numbers repeat, so this machine's randomness is broken. "
            "Do not issue anything here; look at the virtual machine's random device."
        )

    def record_issued(self, serial: int, certificate: x509.Certificate, *, now: datetime) -> None:
        """Keep a certificate; only after this may it leave the CA."""
        if certificate.serial_number != serial or serial not in self.open_reservations():
            raise LedgerError(f"{serial_text(serial)}: no reservation fits this certificate.")
        der = certificate.public_bytes(Encoding.DER)
        self.ledger.append("issued", at=now, serial=serial_text(serial), der=der)

    def record_abandoned(self, serial: int, *, now: datetime) -> None:
        """Close a reservation whose certificate was never recorded, so nobody ever got it."""
        self.ledger.append("abandoned", at=now, serial=serial_text(serial))

    def record_revoked(self, serial: int, revocation: Revocation) -> None:
        """Record that a certificate is revoked from now on.

        Raises:
            UsageError: It is revoked already.
        """
        certified = self.find(serial_text(serial))
        if certified.revocation:
            since = f"{certified.revocation.revoked_at:%Y-%m-%d %H:%M}Z"
            raise UsageError(
                f"{serial_text(serial)} is revoked already, since {since} because of "
                f"{certified.revocation.reason}. A revocation is final; nothing was changed."
            )
        self.ledger.append(
            "revoked",
            at=revocation.revoked_at,
            serial=serial_text(serial),
            details={"reason": revocation.reason},
        )

    def record_crl(
        self, issuer: IssuerName, number: int, crl: x509.CertificateRevocationList, *, now: datetime
    ) -> None:
        """Keep a CRL; only after this may it leave the CA."""
        der = crl.public_bytes(Encoding.DER)
        details: dict[str, str | int] = {"issuer": issuer, "number": number}
        self.ledger.append("crl", at=now, details=details, der=der)

    def open_reservations(self) -> tuple[int, ...]:
        """Return the serial numbers reserved, and neither issued nor abandoned."""
        waiting: dict[str, None] = {}
        for entry in self.ledger.entries():
            if entry.kind == "reserved":
                waiting[entry.serial] = None
            elif entry.kind in ("issued", "abandoned"):
                waiting.pop(entry.serial, None)
        return tuple(int(text, 16) for text in waiting)

    def certificates(self) -> tuple[Certified, ...]:
        """Return every certificate ever issued, oldest first, the CA's own included."""
        reserved: dict[str, Reservation] = {}
        found: dict[str, Certified] = {}
        for entry in self.ledger.entries():
            if entry.kind == "reserved":
                reserved[entry.serial] = _reservation(dict(entry.details))
            elif entry.kind == "issued":
                found[entry.serial] = _certified(reserved[entry.serial], entry.serial, entry.der)
            elif entry.kind == "revoked":
                revocation = Revocation(
                    revoked_at=datetime.fromisoformat(entry.at), reason=str(entry.details["reason"])
                )
                found[entry.serial] = replace(found[entry.serial], revocation=revocation)
        return tuple(found.values())

    def last_crl(self, issuer: IssuerName) -> Listed | None:
        """Return the newest CRL of *issuer*."""
        newest = None
        for entry in self.ledger.entries():
            if entry.kind == "crl" and entry.details["issuer"] == issuer:
                newest = entry
        if newest is None:
            return None
        return Listed(
            issuer=issuer,
            number=int(newest.details["number"]),
            crl=x509.load_der_x509_crl(newest.der),
            der=newest.der,
        )

    def revoked_for_crl(self, issuer: IssuerName) -> tuple[RevokedSerial, ...]:
        """Return what the next CRL of *issuer* has to list.

        An entry goes only after it stood on a CRL made when the certificate had expired already
        (RFC 5280, 3.3).
        """
        last = self.last_crl(issuer)
        seen_until = last.crl.last_update_utc if last else None
        return tuple(
            RevokedSerial(serial=certified.serial, revocation=certified.revocation)
            for certified in self.certificates()
            if certified.issuer == issuer
            and certified.revocation
            and not (
                seen_until
                and certified.not_after < seen_until
                and certified.revocation.revoked_at < seen_until
            )
        )

    def revocations_since(self, last: Listed | None) -> int:
        """Return how many revocations its issuer's newest CRL does not list yet."""
        if last is None:
            return 0
        listed = {entry.serial_number for entry in last.crl}
        wanted = {entry.serial for entry in self.revoked_for_crl(last.issuer)}
        return len(wanted - listed)

    def find(self, text: str) -> Certified:
        """Return the one certificate whose serial number is or begins with *text*.

        Raises:
            UnknownSerialError: None does; the text names the nearest.
            UsageError: Several do.
        """
        return _find(self.certificates(), text)

    def find_mailbox(self, mailbox: Mailbox) -> tuple[Certified, ...]:
        """Return every certificate for *mailbox*, oldest first."""
        return tuple(
            certified
            for certified in self.certificates()
            if certified.mailbox and certified.mailbox.same_as(mailbox)
        )


def current(certificates: Iterable[Certified]) -> tuple[Certified, ...]:
    """Return per mailbox and profile the newest certificate that is not revoked."""
    newest: dict[tuple[str, Profile], Certified] = {}
    for certified in certificates:
        if certified.mailbox and certified.profile and not certified.revocation:
            newest[certified.mailbox.key, certified.profile] = certified
    return tuple(newest.values())


def _find(certificates: Iterable[Certified], text: str) -> Certified:
    known = {serial_text(certified.serial): certified for certified in certificates}
    wanted = text.replace(":", "").replace(" ", "").upper().removeprefix("0X")
    if wanted in known:
        return known[wanted]
    if len(wanted) >= _SERIAL_DIGITS_MIN:
        beginning = [serial for serial in known if serial.startswith(wanted)]
        if len(beginning) == 1:
            return known[beginning[0]]
        if beginning:
            raise UsageError(
                f"{text!r} fits {len(beginning)} certificates: {', '.join(beginning[:3])}. "
                "Give more digits."
            )
    beginnings = {serial[: max(len(wanted), _SERIAL_DIGITS_MIN)]: serial for serial in known}
    near = difflib.get_close_matches(wanted, beginnings, n=1)
    hint = f"Did you mean {beginnings[near[0]]}?" if near else "See them with: smimegw-ca list"
    raise UnknownSerialError(f"This CA issued no certificate with serial number {text!r}. {hint}")


def _reservation(details: dict[str, str | int | bool]) -> Reservation:
    mailbox, profile = str(details["mailbox"]), str(details["profile"])
    renews = str(details["renews"])
    return Reservation(
        issuer="root" if details["issuer"] == "root" else "issuing",
        mailbox=Mailbox.parse(mailbox) if mailbox else None,
        profile=Profile(profile) if profile else None,
        name=str(details["name"]),
        key_held=bool(details["key_held"]),
        renews=int(renews, 16) if renews else None,
    )


def _certified(reservation: Reservation, serial: str, der: bytes) -> Certified:
    return Certified(
        serial=int(serial, 16),
        issuer=reservation.issuer,
        mailbox=reservation.mailbox,
        profile=reservation.profile,
        name=reservation.name,
        key_held=reservation.key_held,
        renews=reservation.renews,
        certificate=x509.load_der_x509_certificate(der),
        der=der,
    )
