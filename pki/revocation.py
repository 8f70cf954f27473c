"""Signs certificate revocation lists (RFC 5280, 5) and names the reasons for revoking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from pki import authority
from pki.authority import BACKDATE, Issuer
from pki.errors import LedgerError
from smimegw.errors import UsageError

# certificateHold and removeFromCRL are left out: a revocation here is final.
REASONS: dict[str, x509.ReasonFlags] = {
    reason.value: reason
    for reason in (
        x509.ReasonFlags.unspecified,
        x509.ReasonFlags.key_compromise,
        x509.ReasonFlags.ca_compromise,
        x509.ReasonFlags.affiliation_changed,
        x509.ReasonFlags.superseded,
        x509.ReasonFlags.cessation_of_operation,
        x509.ReasonFlags.privilege_withdrawn,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """That a certificate must not be used any more, since when, and why."""

    revoked_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSerial:
    """One entry of a CRL."""

    serial: int
    revocation: Revocation


def parse_reason(text: str) -> str:
    """Return the RFC's spelling of a reason; ``key-compromise`` and ``KEYCOMPROMISE`` are fine.

    Raises:
        UsageError: No such reason.
    """
    wanted = text.replace("-", "").replace("_", "").lower()
    for name in REASONS:
        if name.lower() == wanted:
            return name
    raise UsageError(f"{text!r} is no reason for revoking. Allowed: {', '.join(REASONS)}.")


def sign_crl(
    revoked: Iterable[RevokedSerial],
    *,
    issuer: Issuer,
    number: int,
    days: int,
    now: datetime,
) -> x509.CertificateRevocationList:
    """Sign a complete CRL that readers may use for *days* days."""
    now = now.replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(max(now - BACKDATE, issuer.certificate.not_valid_before_utc))
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority.authority_key_identifier(issuer.certificate), critical=False)
    )
    for entry in sorted(revoked, key=lambda entry: entry.serial):
        builder = builder.add_revoked_certificate(_entry(entry))
    crl = builder.sign(issuer.key, issuer.digest)
    # the key is one that signs: `issuer.key` just did
    if not crl.is_signature_valid(issuer.certificate.public_key()):  # type: ignore[arg-type]
        raise LedgerError(
            "The CRL just signed does not verify under the CA certificate: key and certificate "
            "of the CA do not belong together. Restore the CA directory from its backup."
        )
    return crl


def _entry(entry: RevokedSerial) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(entry.serial)
        .revocation_date(entry.revocation.revoked_at)
    )
    reason = REASONS[entry.revocation.reason]
    if reason is not x509.ReasonFlags.unspecified:  # RFC 5280, 5.3.1: then leave it out
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()
