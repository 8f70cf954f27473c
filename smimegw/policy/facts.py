"""What a policy may know about a message, a recipient and a signer; gathered elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from smimegw.addresses import Mailbox
from smimegw.policy.answers import CertificateAnswer, SigningAnswer
from smimegw.policy.model import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """One message.

    Attributes:
        direction: Outbound or inbound.
        originator: The From mailbox; None when From is not exactly one mailbox.
        reverse_path: MAIL FROM; None for the null path.
        user: Authenticated login; empty without AUTH.
        subject: Subject, unfolded and decoded (RFC 2047).
        fields: Name in lower case and decoded value of every header field, in order.
        size: Octets of the content.
        recipients: Number of recipients.
        internal_domains: Our own domains, A-labels.
        media_types: Of all parts, lower case; gathered only when a rule asks for them.
    """

    direction: Direction
    originator: Mailbox | None = None
    reverse_path: Mailbox | None = None
    user: str = ""
    subject: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    size: int = 0
    recipients: int = 1
    internal_domains: frozenset[str] = frozenset()
    media_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientFacts:
    """What the look-up of one recipient's encryption certificate came to.

    Attributes:
        mailbox: The recipient.
        certificate: The answer.
        detail: For the record, such as a date or a server's name.
    """

    mailbox: Mailbox
    certificate: CertificateAnswer
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningFacts:
    """What the look-up of the originator's signing credential came to."""

    answer: SigningAnswer
    detail: str = ""
