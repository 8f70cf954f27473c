"""What the listener asks of the pipeline: logins, offers, and one MAIL transaction at a time."""

from __future__ import annotations

from typing import Protocol

from smimegw.mime.entity import Entity
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient, ReversePath, SessionInfo


class IncomingTransaction(Protocol):
    """One MAIL transaction of a client, driven by the listener; implemented by the pipeline."""

    @property
    def id(self) -> str:
        """The transaction id."""
        ...

    async def recipient(self, recipient: Recipient) -> Reply:
        """Answer one RCPT, live from the next hop and the policy."""
        ...

    async def finish(self, content: Entity) -> Outcome:
        """Treat the complete content; every failure is an Outcome, nothing is raised."""
        ...

    def refused(self, reply: Reply) -> None:
        """The listener answers the data itself, with *reply*; `abandon` follows.  Never raises."""
        ...

    async def abandon(self) -> None:
        """RSET, QUIT or a lost client before the data ended; never raises."""
        ...

    async def told(self, *, reached: bool) -> None:
        """The client has the replies after the data, or may not have them; never raises."""
        ...


class Reception(Protocol):
    """Begins transactions and checks logins; one per process."""

    async def authenticate(self, session: SessionInfo, user: str, password: str) -> Reply:
        """Check a login (235, 535 or 454)."""
        ...

    async def begin(
        self, session: SessionInfo, reverse_path: ReversePath
    ) -> tuple[Reply, IncomingTransaction | None]:
        """Answer MAIL; the transaction is None when the reply is not positive."""
        ...

    async def extensions(self, session: SessionInfo) -> Extensions:
        """What EHLO may offer: our own limits and what the session's next hop can take."""
        ...
