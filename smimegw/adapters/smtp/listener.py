"""A listening socket: admits clients, starts their sessions and lets them end in peace."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from dataclasses import replace

from smimegw.adapters.smtp.acceptor import Acceptor
from smimegw.adapters.smtp.dialogue import SHUTTING_DOWN, Dialogue, Parts
from smimegw.adapters.smtp.load import LoopLag, PerMinute
from smimegw.adapters.smtp.session import Session
from smimegw.adapters.smtp.settings import ListenerSettings
from smimegw.content import MEMORY, Store
from smimegw.limits import Limits
from smimegw.ports import Events
from smimegw.reception import Reception
from smimegw.smtp.reply import Reply

_TOO_MANY = Reply(421, "4.3.2", "too many sessions, try again later")
_TOO_MANY_OF_YOURS = Reply(421, "4.3.2", "too many sessions from your address")
_TOO_MANY_CONNECTIONS = Reply(421, "4.7.1", "too many connections from your address")
_TOO_MANY_MESSAGES = Reply(451, "4.7.1", "too many messages from your address, try later")
_OVERLOADED = Reply(451, "4.4.5", "overloaded, try later")
_NOT_ADMITTED = Reply(554, "5.7.1", "access denied")

# aiosmtpd logs peers and, in places, what they send; our own events say what is to be said.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class Occupancy:
    """Counts open sessions, over all listeners that share it, and per peer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._peers: Counter[str] = Counter()
        self.total = 0

    def enter(self, peer: str) -> Reply | None:
        """Count one more session of *peer*, or say why there is no room for it."""
        if self.total >= self._limits.sessions:
            return _TOO_MANY
        if self._peers[peer] >= self._limits.sessions_per_peer:
            return _TOO_MANY_OF_YOURS
        self._peers[peer] += 1
        self.total += 1
        return None

    def leave(self, peer: str) -> None:
        """Count one session less."""
        self.total -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]


class Listener:
    """Accepts clients on one address and hands their mail to the reception.

    Attributes:
        settings: What it was made from.
        lag: Says when no new mail is to be taken.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        reception: Reception,
        limits: Limits,
        events: Events,
        occupancy: Occupancy | None = None,
        lag: LoopLag | None = None,
        store: Store = MEMORY,
    ) -> None:
        """Prepare; *occupancy* and *lag* may be shared with other listeners of the process.

        What clients send is kept in *store*.
        """
        self.settings = settings
        self._limits = limits
        self._events = events
        self._occupancy = occupancy or Occupancy(limits)
        self._acceptor = Acceptor(settings, limits, events, self._session)
        self.lag = lag or LoopLag(limits, events)
        self._connections = PerMinute(settings.connections_per_minute)
        self._messages = PerMinute(settings.messages_per_minute)
        self._parts = Parts(
            settings=settings,
            reception=reception,
            limits=limits,
            events=events,
            door=self,
            store=store,
        )
        self._sessions: set[Dialogue] = set()
        self._admitted: set[Dialogue] = set()
        self._draining = False
        self._watching = False

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        return self._acceptor.port

    @property
    def sessions(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address is not ours, or taken.
        """
        await self._acceptor.start()
        self.lag.start()
        self._watching = True

    def use_tls(self, context: ssl.SSLContext | None) -> None:
        """Take another certificate for sessions that begin from now on."""
        self.settings = replace(self.settings, tls=context)
        self._parts = replace(self._parts, settings=self.settings)
        self._acceptor.use(self.settings)

    async def drain(self) -> None:
        """Accept nobody, dismiss who is idle, and wait for the others for `drain_seconds`."""
        self._draining = True
        await self._acceptor.close()
        if self._watching:
            self._watching = False
            self.lag.stop()
        for session in tuple(self._sessions):
            session.drain()
        tasks = {s.task for s in self._sessions if s.task is not None}
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=self._limits.drain_seconds)
        for session in tuple(self._sessions):
            session.abort()
        await asyncio.wait(tasks)

    def _session(self, peer: str) -> Session:
        """Make the protocol of one new connection."""
        return Session(self._parts, peer, asyncio.get_running_loop())

    def enter(self, session: Dialogue) -> Reply | None:
        """Admit *session*, or say why not; part of `dialogue.Door`."""
        self._sessions.add(session)
        refusal = self._refusal(session.peer)
        if refusal is None:
            self._admitted.add(session)
        event = "session.refused" if refusal else "session.connected"
        self._events.emit(
            event,
            client=session.peer,
            listener=self.settings.name,
            tls=session.tls_version,
            **({"reply": str(refusal)} if refusal else {}),
        )
        return refusal

    def leave(self, session: Dialogue) -> None:
        """Forget *session*; part of `dialogue.Door`."""
        self._sessions.discard(session)
        if session in self._admitted:
            self._admitted.discard(session)
            self._occupancy.leave(session.peer)
            self._events.emit("session.closed", client=session.peer, listener=self.settings.name)

    def may_send(self, session: Dialogue) -> Reply | None:
        """Count one more message, or say why there must not be one; part of `dialogue.Door`."""
        if self.lag.overloaded:
            return _OVERLOADED
        if not self._messages.allows(session.peer, asyncio.get_running_loop().time()):
            return _TOO_MANY_MESSAGES
        return None

    def _refusal(self, peer: str) -> Reply | None:
        if self._draining:
            return SHUTTING_DOWN
        if not self.settings.admits(peer):
            return _NOT_ADMITTED
        if not self._connections.allows(peer, asyncio.get_running_loop().time()):
            return _TOO_MANY_CONNECTIONS
        return self._occupancy.enter(peer)
