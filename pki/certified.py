"""The values that a CA's register deals in: certificates, reservations and CRLs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pki.profiles import Profile
from pki.revocation import HOLD, Revocation
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox

IssuerName = str  # "root", "issuing", then "issuing-2" and so on after roll-overs


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """One certificate of this CA, with what the ledger knows about it.

    Attributes:
        mailbox: Whose it is; None for the CA's own certificates.
        profile: None for the CA's own certificates.
        renews: Serial number of the certificate that this one follows.
        request: Number of the request that it was issued for; 0 for none.
        publish_from: Directories show it from then on; None means at once.
        own: Which of the CA's own places it is for; empty for all others.
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
    request: int = 0
    publish_from: datetime | None = None
    own: IssuerName = ""

    @property
    def not_after(self) -> datetime:
        """The last second of validity."""
        return self.certificate.not_valid_after_utc

    @property
    def is_held(self) -> bool:
        """It is on hold: not to be used now, and may come back."""
        return self.revocation is not None and self.revocation.reason == HOLD

    def status(self, now: datetime) -> str:
        """Return ``revoked``, ``held``, ``expired``, ``not-yet-valid`` or ``valid``."""
        if self.revocation:
            return "held" if self.is_held else "revoked"
        if self.not_after < now:
            return "expired"
        return "valid" if self.certificate.not_valid_before_utc <= now else "not-yet-valid"

    def is_to_be_published(self, now: datetime) -> bool:
        """Whether a directory should show it: good, and its time of publication has come."""
        waits = self.publish_from is not None and now < self.publish_from
        return not self.revocation and self.not_after >= now and not waits


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
    """What a serial number is reserved for.

    Attributes:
        request: Number of the request; 0 for none.
        operator: Who had it issued.
        findings: What the lint remarked, one a line; errors were refused before.
        own: Which of the CA's own places the certificate is for; empty for all others.
    """

    issuer: IssuerName
    mailbox: Mailbox | None
    profile: Profile | None
    name: str
    key_held: bool
    renews: int | None = None
    request: int = 0
    publish_from: datetime | None = None
    operator: str = ""
    findings: str = ""
    own: IssuerName = ""

    def details(self) -> dict[str, str | int | bool]:
        """Return it as the ledger keeps it."""
        return {
            "issuer": self.issuer,
            "mailbox": self.mailbox.address if self.mailbox else "",
            "profile": self.profile.value if self.profile else "",
            "name": self.name,
            "key_held": self.key_held,
            "renews": serial_text(self.renews) if self.renews else "",
            "request": self.request,
            "publish_from": self.publish_from.isoformat() if self.publish_from else "",
            "operator": self.operator,
            "findings": self.findings,
            "own": self.own,
        }

    @classmethod
    def read(cls, details: dict[str, str | int | bool]) -> Reservation:
        """Return what `details` wrote; members that an earlier release did not write are empty."""
        mailbox, profile = str(details["mailbox"]), str(details["profile"])
        renews, publish_from = str(details["renews"]), str(details.get("publish_from", ""))
        return cls(
            issuer=str(details["issuer"]),
            mailbox=Mailbox.parse(mailbox) if mailbox else None,
            profile=Profile(profile) if profile else None,
            name=str(details["name"]),
            key_held=bool(details["key_held"]),
            renews=int(renews, 16) if renews else None,
            request=int(details.get("request", 0)),
            publish_from=datetime.fromisoformat(publish_from) if publish_from else None,
            operator=str(details.get("operator", "")),
            findings=str(details.get("findings", "")),
            own=str(details.get("own", "")),
        )

    def fulfilled(self, serial: int, der: bytes) -> Certified:
        """Return the certificate that was issued for it."""
        return Certified(
            serial=serial,
            issuer=self.issuer,
            mailbox=self.mailbox,
            profile=self.profile,
            name=self.name,
            key_held=self.key_held,
            renews=self.renews,
            certificate=x509.load_der_x509_certificate(der),
            der=der,
            request=self.request,
            publish_from=self.publish_from,
            own=self.own,
        )


def current(certificates: Iterable[Certified]) -> tuple[Certified, ...]:
    """Return per mailbox and profile the newest certificate that is not revoked."""
    newest: dict[tuple[str, Profile], Certified] = {}
    for certified in certificates:
        if certified.mailbox and certified.profile and not certified.revocation:
            newest[certified.mailbox.key, certified.profile] = certified
    return tuple(newest.values())
