"""What the actions of a rule are chosen from."""

from __future__ import annotations

from enum import StrEnum


class Protection(StrEnum):
    """What a recipient's copy gets."""

    NONE = "none"
    SIGN = "sign"
    ENCRYPT = "encrypt"
    SIGN_THEN_ENCRYPT = "sign-then-encrypt"
    SIGN_ENCRYPT_SIGN = "sign-encrypt-sign"  # triple wrapped (RFC 2634, 1.1)

    @property
    def signs(self) -> bool:
        """The copy is signed."""
        return self not in (Protection.NONE, Protection.ENCRYPT)

    @property
    def encrypts(self) -> bool:
        """The copy is encrypted."""
        return self not in (Protection.NONE, Protection.SIGN)

    @property
    def signs_outside(self) -> bool:
        """What is encrypted is signed once more, so that relays can tell who made it."""
        return self is Protection.SIGN_ENCRYPT_SIGN


class WithoutCertificate(StrEnum):
    """What happens when encryption is wanted and the directory has no usable certificate."""

    REFUSE = "refuse"
    SEND_SIGNED = "send-signed"
    SEND_CLEAR = "send-clear"
    PORTAL = "portal"


class QuoteEncrypted(StrEnum):
    """Whether an answer to encrypted mail may leave unencrypted."""

    REFUSE = "refuse"  # it may quote what came encrypted
    ALLOW = "allow"


class SignatureWish(StrEnum):
    """How much a signature is wanted where the protection signs."""

    REQUIRED = "required"  # no signing certificate: refuse
    OPTIONAL = "optional"  # no signing certificate: send unsigned


class Partial(StrEnum):
    """Who is refused when one recipient's copy cannot be made."""

    REFUSE_MESSAGE = "refuse-message"
    REFUSE_RECIPIENT = "refuse-recipient"  # alone, at RCPT where the rule is known there (N-20)


class Requirement(StrEnum):
    """What an inbound message must have had (R-52)."""

    NONE = "none"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"
