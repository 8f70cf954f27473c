"""Names the reasons for revoking (RFC 5280, 5.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from smimegw.errors import UsageError

HOLD = x509.ReasonFlags.certificate_hold.value  # may come back (RFC 5280, 5.3.1)

# Reasons for revoking for good; a hold has commands of its own.
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
    """That a certificate must not be used any more, since when, and why; or is on hold."""

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
    if not text:
        raise UsageError(
            f"Say why: --reason, one of {', '.join(REASONS)}. Readers of the CRL see it; "
            "keyCompromise also says that older signatures may be false."
        )
    wanted = text.replace("-", "").replace("_", "").lower()
    for name in REASONS:
        if name.lower() == wanted:
            return name
    if wanted == HOLD.lower():
        raise UsageError(
            f"{HOLD} may come back, so it is no revocation. Use: smimegw-ca hold SERIAL. "
            f"Reasons for revoking for good: {', '.join(REASONS)}."
        )
    raise UsageError(f"{text!r} is no reason for revoking. Allowed: {', '.join(REASONS)}.")
