"""The words of a policy: protections, rules, conditions, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from smimegw.addresses import Mailbox


class Direction(StrEnum):
    """Outbound mail is protected, inbound mail is opened."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class Protection(StrEnum):
    """What a recipient's copy gets."""

    NONE = "none"
    SIGN = "sign"
    ENCRYPT = "encrypt"
    SIGN_THEN_ENCRYPT = "sign-then-encrypt"

    @property
    def signs(self) -> bool:
        """The copy is signed."""
        return self in (Protection.SIGN, Protection.SIGN_THEN_ENCRYPT)

    @property
    def encrypts(self) -> bool:
        """The copy is encrypted."""
        return self in (Protection.ENCRYPT, Protection.SIGN_THEN_ENCRYPT)


class WithoutCertificate(StrEnum):
    """What happens when encryption is wanted and the directory has no usable certificate."""

    REFUSE = "refuse"
    SEND_SIGNED = "send-signed"
    SEND_CLEAR = "send-clear"
    PORTAL = "portal"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one recipient's copy gets, and why.

    Attributes:
        recipient: Whose copy.
        protection: What it gets when *refusal* is empty.
        rule: Name of the rule that said so.
        rule_source: ``file:line`` of that rule.
        why: The rule's own words.
        refusal: Row id of the failure table (``R-01`` …), empty when the copy may go out.
        note: A remark for the record, such as ``unsigned: no signing certificate (R-11)``.
        fallback: The certificate answer that made *protection* weaker than the rule's own wish.
    """

    recipient: Mailbox
    protection: Protection
    rule: str
    rule_source: str
    why: str
    refusal: str = ""
    note: str = ""
    fallback: str = ""
