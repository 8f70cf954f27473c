"""The frozen values that travel from the listener through the pipeline to the relay."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from smimegw.addresses import Mailbox
from smimegw.content import Content
from smimegw.mime.entity import Entity
from smimegw.policy.choices import Protection
from smimegw.smime.encrypt import Protected
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole

_ID_LETTERS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_ID_LENGTH = 14


def transaction_id(now: datetime) -> str:
    """Fourteen letters that sort by time: microseconds and 28 random bits, no vowels."""
    number = (int(now.timestamp() * 1_000_000) << 28) | secrets.randbits(28)
    letters = []
    for _ in range(_ID_LENGTH):
        number, index = divmod(number, len(_ID_LETTERS))
        letters.append(_ID_LETTERS[index])
    return "".join(reversed(letters))


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """One connection of a client.

    Attributes:
        listener: The listener's configured name.
        role: What that listener is for.
        protocol: ``SMTP``, ``ESMTP``, ``ESMTPS``, ``ESMTPSA``, ``LMTP`` … (RFC 3848).
        peer: IP address of the client.
        helo: What the client called itself; empty before HELO.
        tls: TLS version such as ``TLSv1.3``; empty on a clear connection.
        user: Authenticated identity; empty without AUTH.
        login: User and password, to log in at the next hop in the user's name; None without AUTH.
        upstream_id: Queue id the client announced by XFORWARD; empty when unknown.
        next_hop: Configured name of the next hop that this listener hands mail to.
    """

    listener: str
    role: ListenerRole
    protocol: str
    peer: str
    helo: str = ""
    tls: str = ""
    user: str = ""
    login: tuple[str, str] | None = field(default=None, repr=False)
    upstream_id: str = ""
    next_hop: str = ""

    @property
    def is_lmtp(self) -> bool:
        """The client wants one reply per recipient after the data (RFC 2033)."""
        return self.protocol.startswith("LMTP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One RCPT TO.

    Attributes:
        mailbox: The address.
        parameters: ESMTP parameters in order, name upper-cased, value exactly as sent.
    """

    mailbox: Mailbox
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversePath:
    """MAIL FROM: *mailbox* is None for the null path ``<>``."""

    mailbox: Mailbox | None
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        """The value of an ESMTP parameter (``""`` for one without a value), None when absent."""
        return next((value for key, value in self.parameters if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Reverse-path and recipients; never to be confused with EnvelopedData."""

    reverse_path: ReversePath
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """MAIL to the end of DATA, received completely.

    Attributes:
        id: `transaction_id`; stands in every log line and reply.
        content: What followed DATA, exactly as received, CRLF line ends.
        received_at: When the data ended, UTC.
        started_at: When MAIL came, UTC.
    """

    id: str
    session: SessionInfo
    envelope: Envelope
    content: Entity
    started_at: datetime
    received_at: datetime

    @property
    def size(self) -> int:
        """Octets of the content as received, without dot-stuffing."""
        content = self.content
        return len(content.header.raw) + len(content.separator) + len(content.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the client is told after the data.

    Attributes:
        reply: The one reply of SMTP.
        per_recipient: For LMTP, one reply per accepted recipient in RCPT order.
    """

    reply: Reply
    per_recipient: tuple[Reply, ...] = ()

    @classmethod
    def same_for_all(cls, reply: Reply, recipients: int) -> Outcome:
        """One fate for everybody."""
        return cls(reply=reply, per_recipient=(reply,) * recipients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One group's finished copy, ready for the relay.

    A copy that must be encrypted cannot be built without the proof that it is (T-23).

    Attributes:
        reverse_path: As received.
        recipients: Who gets this copy.
        pieces: The octets to send, CRLF line ends; they may be made, or encrypted, when they are
            read.
        protection: What the policy asked for.
        proof: What `smime.encrypt` returned; required when *protection* encrypts.
    """

    reverse_path: ReversePath
    recipients: tuple[Recipient, ...]
    pieces: Content = field(repr=False)
    protection: Protection = Protection.NONE
    proof: Protected | None = None

    def __post_init__(self) -> None:
        if self.protection.encrypts and not isinstance(self.proof, Protected):
            raise TypeError("a copy that must be encrypted needs a Protected value")

    @property
    def size(self) -> int:
        """Octets on the wire, without dot-stuffing."""
        return len(self.pieces)
