"""What is known about the revocation of one certificate: three values and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RevocationStatus(StrEnum):
    """What we know; UNKNOWN is neither of the others."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class RevocationMethod(StrEnum):
    """Who said so."""

    NONE = "none"
    CRL = "crl"
    OCSP = "ocsp"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationResult:
    """The status of one certificate and where it comes from.

    Attributes:
        status: Good, revoked or unknown.
        reason: For revoked the CRLReason or "", for unknown why, one phrase.
        method: What was used; NONE when nothing could be.
        this_update: When the list or response used was made; None without one.
        next_update: When its successor was due.
        in_grace: The list is past *next_update*, but within the configured grace (R-05).
        valid_until: When "good" stops being true; None for the other two.
    """

    status: RevocationStatus
    reason: str = ""
    method: RevocationMethod = RevocationMethod.NONE
    this_update: datetime | None = None
    next_update: datetime | None = None
    in_grace: bool = False
    valid_until: datetime | None = None
