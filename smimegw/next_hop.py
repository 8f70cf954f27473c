"""What the pipeline asks of a next hop: transactions that are held open before their final dot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Recipient, ReversePath


class RelaySession(Protocol):
    """One transaction at the next hop, held open: MAIL, RCPT, content, and the final dot apart."""

    @property
    def extensions(self) -> Extensions:
        """What the next hop announced (after TLS)."""
        ...

    async def mail(self, reverse_path: ReversePath) -> Reply:
        """Send MAIL; ESMTP parameters the next hop cannot take are left out or refused by it."""
        ...

    async def recipient(self, recipient: Recipient) -> Reply:
        """Send RCPT."""
        ...

    async def prepare(self, content: Iterable[bytes]) -> Reply | None:
        """Send DATA and the content but not the final dot; a Reply means DATA was refused."""
        ...

    async def commit(self) -> tuple[Reply, ...]:
        """Send the final dot; one reply (SMTP) or one per accepted recipient (LMTP).

        Fewer with LMTP when it breaks off among them: the recipients after them are in doubt.

        Raises:
            NextHopError: With *in_doubt* when the dot went out and no reply came.
        """
        ...

    @property
    def answered(self) -> tuple[Reply, ...]:
        """The replies to the final dot that have come so far, while `commit` waits for others."""
        ...

    async def abort(self) -> None:
        """End the transaction so that the next hop keeps nothing; never raises."""
        ...

    async def close(self) -> None:
        """Give the connection back or close it; never raises."""
        ...

    @property
    def server(self) -> str:
        """``host[address]:port`` for logs."""
        ...

    @property
    def is_lmtp(self) -> bool:
        """The next hop answers per recipient."""
        ...


class Relay(Protocol):
    """Opens transactions at configured next hops."""

    async def open(self, next_hop: str, *, login: tuple[str, str] | None = None) -> RelaySession:
        """Connect (or reuse a connection), greet, TLS and, with *login*, AUTH.

        Raises:
            NextHopError: Unreachable, broke off, TLS not as configured.
            AuthenticationError: The next hop refused the login.
        """
        ...
