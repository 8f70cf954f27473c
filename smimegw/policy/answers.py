"""What look-ups came to: a certificate to encrypt with, a credential to sign with, a thread."""

from __future__ import annotations

from enum import StrEnum


class CertificateAnswer(StrEnum):
    """What the look-up of one mailbox's encryption certificate came to."""

    USABLE = "usable"
    NONE = "none"  # the directory answered: no entry, or none with this address
    EXPIRED = "expired"  # only expired or not yet valid ones
    REVOKED = "revoked"
    UNSUITABLE = "unsuitable"  # weak, wrong purpose, untrusted CA
    AMBIGUOUS = "ambiguous"  # two people share the address
    REVOCATION_UNKNOWN = "revocation-unknown"
    UNAVAILABLE = "unavailable"  # the directory could not answer


class SigningAnswer(StrEnum):
    """What the look-up of the originator's signing credential came to."""

    USABLE = "usable"
    NONE = "none"
    EXPIRED = "expired"
    LOCKED = "locked"  # keystore sealed
    UNAVAILABLE = "unavailable"


class ThreadAnswer(StrEnum):
    """Whether a message answers one that the gateway opened."""

    CLEAR = "clear"
    ENCRYPTED = "encrypted"
    UNKNOWN = "unknown"  # the database could not answer
