"""A Reception that keeps what the listener hands over and answers as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from smimegw.adapters.logs.catalogue import CATALOGUE
from smimegw.mime.entity import Entity
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient, ReversePath, SessionInfo

EVERYTHING = Extensions(eightbitmime=True, smtputf8=True, dsn=True, pipelining=True)
OK = Reply(250, "2.1.0", "OK")


@dataclass
class FakeTransaction:
    """Implements reception.IncomingTransaction."""

    id: str
    session: SessionInfo
    reverse_path: ReversePath
    reception: FakeReception = field(repr=False)
    recipients: list[Recipient] = field(default_factory=list)
    content: Entity | None = None
    abandoned: int = 0
    was_refused: list[Reply] = field(default_factory=list)
    was_told: list[bool] = field(default_factory=list)

    async def recipient(self, recipient: Recipient) -> Reply:
        reply = self.reception.rcpt(recipient)
        if reply.is_positive:
            self.recipients.append(recipient)
        return reply

    async def finish(self, content: Entity) -> Outcome:
        self.content = content
        self.reception.finishing.set()
        if self.reception.hold is not None:
            try:
                await self.reception.hold.wait()
            except asyncio.CancelledError:
                self.reception.cancelled += 1
                raise
        outcome = self.reception.outcome(self)
        self.reception.finished.append(self)
        return outcome

    def refused(self, reply: Reply) -> None:
        self.was_refused.append(reply)

    async def told(self, *, reached: bool) -> None:
        self.was_told.append(reached)

    async def abandon(self) -> None:
        self.abandoned += 1
        self.reception.abandoned.append(self)


@dataclass
class FakeReception:
    """Implements reception.Reception; every answer can be replaced."""

    offered: Extensions = EVERYTHING
    users: dict[str, str] = field(default_factory=dict)
    rcpt: Callable[[Recipient], Reply] = lambda recipient: Reply(250, "2.1.5", "OK")
    mail: Callable[[ReversePath], Reply] = lambda reverse_path: OK
    outcome: Callable[[FakeTransaction], Outcome] = lambda transaction: Outcome.same_for_all(
        Reply(250, "2.0.0", f"OK {transaction.id}"), len(transaction.recipients)
    )
    hold: asyncio.Event | None = None
    begun: list[FakeTransaction] = field(default_factory=list)
    finished: list[FakeTransaction] = field(default_factory=list)
    abandoned: list[FakeTransaction] = field(default_factory=list)
    sessions: list[SessionInfo] = field(default_factory=list)
    finishing: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def authenticate(self, session: SessionInfo, user: str, password: str) -> Reply:
        if self.users.get(user) == password:
            return Reply(235, "2.7.0", "authenticated")
        return Reply(535, "5.7.8", "authentication failed")

    async def begin(
        self, session: SessionInfo, reverse_path: ReversePath
    ) -> tuple[Reply, FakeTransaction | None]:
        reply = self.mail(reverse_path)
        if not reply.is_positive:
            return reply, None
        transaction = FakeTransaction(f"T{len(self.begun)}", session, reverse_path, self)
        self.begun.append(transaction)
        return reply, transaction

    async def extensions(self, session: SessionInfo) -> Extensions:
        self.sessions.append(session)
        return self.offered


@dataclass
class FakeEvents:
    """Implements ports.Events; keeps what was said and refuses what the catalogue does not know."""

    said: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def emit(self, event: str, *, txn: str = "", **values: object) -> None:
        unknown = set(values) - set(CATALOGUE[event].keys) - {"error"}
        assert not unknown, f"event {event}: {unknown}"
        self.said.append((event, txn, values))

    def named(self, event: str) -> list[dict[str, object]]:
        return [values for name, _, values in self.said if name == event]
