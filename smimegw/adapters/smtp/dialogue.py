"""The frame of a session: greeting, one command after the other, errors, and the end.

RFC 5321.  aiosmtpd's own commands are not reachable: they
rewrite addresses, upper-case parameters and know neither pipelined errors nor enhanced codes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from smimegw.adapters.smtp.connection import ClientGoneError, ClientSlowError, Connection
from smimegw.adapters.smtp.flow import flows
from smimegw.adapters.smtp.settings import ListenerSettings
from smimegw.content import MEMORY, Store
from smimegw.errors import CommandError
from smimegw.limits import Limits
from smimegw.ports import Events
from smimegw.reception import IncomingTransaction, Reception
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import transaction_id

SHUTTING_DOWN = Reply(421, "4.3.2", "shutting down, try again")

OK = Reply(250, "2.0.0", "OK")
_WAITING_TOO_LONG = Reply(421, "4.4.2", "waited too long")
_TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors")
_TOO_MANY_COMMANDS = Reply(421, "4.7.0", "too many commands without mail")

_FAREWELL_SECONDS = 1.0

_HOPELESS = frozenset({b"GET", b"POST", b"PUT", b"CONNECT", b"OPTIONS", b"HEAD", b"PROXY"})
_BEFORE_TLS = frozenset({b"EHLO", b"LHLO", b"HELO", b"NOOP", b"STARTTLS", b"QUIT"})


class EndOfSession(Exception):  # noqa: N818 – not a fault: the last reply was chosen
    """Send *reply* and close."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(slots=True)
class OpenMail:
    """The transaction that MAIL began.

    Attributes:
        incoming: The pipeline's side of it.
        smtputf8: The client asked for RFC 6531.
        accepted: Recipients taken.
        tried: Recipients named.
        deferred: One of them was refused for now.
    """

    incoming: IncomingTransaction
    smtputf8: bool = False
    accepted: int = 0
    tried: int = 0
    deferred: bool = False


class Door(Protocol):
    """Whoever admits sessions and counts them."""

    def enter(self, session: Dialogue) -> Reply | None:
        """Admit *session*, or give the refusal that it greets with."""
        ...

    def leave(self, session: Dialogue) -> None:
        """The session has ended, or goes on as another client's."""
        ...

    def may_send(self, session: Dialogue) -> Reply | None:
        """Count one more message of *session*, or give the refusal of its MAIL."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every session of a listener needs."""

    settings: ListenerSettings
    reception: Reception
    limits: Limits
    events: Events
    door: Door
    store: Store = MEMORY


class Dialogue(Connection):
    """Everything but who the client is and its mail, which subclasses add to `commands`."""

    def __init__(self, parts: Parts, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        limits = parts.limits
        from_servers = parts.settings.role is ListenerRole.RELAY
        super().__init__(
            hostname=parts.settings.hostname,
            limits=limits,
            idle_seconds=limits.relay_idle_seconds if from_servers else limits.idle_seconds,
            loop=loop,
        )
        self.peer = peer
        self._settings = parts.settings
        self._reception = parts.reception
        self._events = parts.events
        self._store = parts.store
        self._door = parts.door
        self._upstream_id = ""
        self._mail: OpenMail | None = None
        self._broken: Reply | None = None
        self._unconfirmed: list[IncomingTransaction] = []
        self._errors = 0
        self._since_mail = 0
        self._idle = False
        self._finishing_lmtp = False
        self._draining = False
        self.commands: dict[bytes, Callable[[bytes], Awaitable[None]]] = {
            b"RSET": self._rset,
            b"NOOP": self._noop,
            b"VRFY": self._vrfy,
            b"EXPN": self._expn,
            b"HELP": self._help,
            b"QUIT": self._quit,
        }

    # --- life ------------------------------------------------------------------------------------

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Runs the session; made when the connection is."""
        return self._handler_coroutine

    def drain(self) -> None:
        """Say good-bye when nothing is under way, else as soon as the transaction has ended."""
        self._draining = True
        if self._idle and self._mail is None and not self.gone:
            self.look_at_acknowledgement()
            self.write(SHUTTING_DOWN)
            self._writer.close()

    def abort(self) -> None:
        """Break off whatever is under way, with 421 where the client can take it for a reply.

        RFC 5321, 3.8: a server that must end may say so at any time.  Nothing of the transaction
        was answered yet, so the client comes again.  Who does not read it is not waited for.
        """
        if self._may_speak and not self.gone and flows(self._writer):
            self.write(SHUTTING_DOWN)
            self._writer.close()
            self.loop.call_later(_FAREWELL_SECONDS, self._writer.transport.abort)
        else:
            self._writer.transport.abort()
        if self.task is not None:
            self.task.cancel()

    async def _handle_client(self) -> None:
        """The whole session; called by aiosmtpd as the connection's task."""
        try:
            await self._greet()
            while True:
                await self._next_command()
        except EndOfSession as end:
            with contextlib.suppress(ClientGoneError):
                await self.reply(end.reply)
        except ClientSlowError:
            with contextlib.suppress(ClientGoneError):
                await self.reply(_WAITING_TOO_LONG)
        except ClientGoneError:
            pass
        finally:
            try:
                self.look_at_acknowledgement()
                await self._confirm(reached=self.acknowledged)
                await self._abandon()
                await self.close()
            finally:
                self._door.leave(self)

    async def _greet(self) -> None:
        refusal = self._door.enter(self)
        if refusal is not None:
            raise EndOfSession(refusal)
        service = "LMTP" if self._settings.lmtp else "ESMTP"
        await self.reply(Reply(220, "", f"{self.hostname} {service} smimegw"))

    def _set_idle(self, waiting: bool) -> None:
        self._idle = waiting

    async def _next_command(self) -> None:
        if self._draining and self._mail is None:
            raise EndOfSession(SHUTTING_DOWN)
        try:
            pipelined = self._unread()  # says nothing of what the client has read
            line = await self.line(limit=self._limits.command_line_octets, waiting=self._set_idle)
            if not pipelined:
                await self._confirm(reached=True)
            verb, _, argument = line.partition(b" ")
            await self._dispatch(verb.upper(), argument.strip(b" "))
        except CommandError as error:
            await self._complain(error)
        except (ClientGoneError, ClientSlowError, EndOfSession):
            raise
        except Exception as error:  # noqa: BLE001 – the client must never see more than an id (R-17)
            await self._internal_error(error)

    async def _dispatch(self, verb: bytes, argument: bytes) -> None:
        self._since_mail += 1
        if self._since_mail > self._limits.commands_without_mail:
            raise EndOfSession(_TOO_MANY_COMMANDS)
        if verb in _HOPELESS:
            raise EndOfSession(Reply(421, "4.7.0", "this is a mail server"))
        if verb == b"BDAT":  # RFC 3030: its content follows at once and is no commands
            raise EndOfSession(Reply(502, "5.5.1", "CHUNKING is not offered"))
        command = self.commands.get(verb)
        if command is None:
            raise CommandError(500, "5.5.1", "command not recognized")
        if self._settings.tls_required and not self.tls_version and verb not in _BEFORE_TLS:
            raise CommandError(530, "5.7.0", "STARTTLS first")
        await command(argument)

    async def _confirm(self, *, reached: bool) -> None:
        """Tell the transactions that were answered whether the client knows.

        A reply that was written may be lost with the client's machine, and a client that has not
        read it comes again (RFC 1047).  The next command shows that it did, and so does an end of
        the connection after its machine acknowledged every octet.
        """
        answered, self._unconfirmed = self._unconfirmed, []
        for incoming in answered:
            await incoming.told(reached=reached)

    async def _complain(self, error: CommandError) -> None:
        await self.reply(Reply(error.code, error.enhanced, str(error)))
        self._errors += 1
        if self._errors > self._limits.session_errors:
            raise EndOfSession(_TOO_MANY_ERRORS)

    async def _internal_error(self, error: Exception) -> None:
        txn = self._mail.incoming.id if self._mail else transaction_id(datetime.now(UTC))
        self._events.emit("internal.error", txn=txn, error=error)
        replies = self._mail.accepted if self._mail and self._finishing_lmtp else 1
        await self._abandon()
        reply = Reply(451, "4.3.0", f"internal error {txn}")
        # A 503 to the rest of its commands would make a fault of ours a refusal for good.
        self._broken = reply
        for _ in range(replies):
            await self.reply(reply)

    async def _abandon(self) -> None:
        """End the transaction, if there is one, without mail."""
        mail, self._mail = self._mail, None
        self._broken = None
        self._finishing_lmtp = False
        self._upstream_id = ""
        if mail is not None:
            await mail.incoming.abandon()

    # --- the rest --------------------------------------------------------------------------------

    async def _rset(self, argument: bytes) -> None:
        no_argument(argument)
        await self._abandon()
        await self.reply(OK)

    async def _noop(self, argument: bytes) -> None:  # noqa: ARG002 – RFC 5321, 4.1.1.9: ignored
        await self.reply(OK)

    async def _vrfy(self, argument: bytes) -> None:
        if not argument:
            raise CommandError(501, "5.5.4", "VRFY needs an argument")
        await self.reply(Reply(252, "2.5.0", "try RCPT"))

    async def _expn(self, argument: bytes) -> None:  # noqa: ARG002
        raise CommandError(502, "5.5.1", "EXPN is not offered")

    async def _help(self, argument: bytes) -> None:  # noqa: ARG002
        names = sorted(name.decode("ascii") for name in self.commands.keys() - self._useless())
        await self.reply(Reply(214, "2.0.0", " ".join(names)))

    def _useless(self) -> frozenset[bytes]:
        """Commands that this client cannot use here and now."""
        return frozenset({b"EXPN"})

    async def _quit(self, argument: bytes) -> None:
        no_argument(argument)
        await self._abandon()
        raise EndOfSession(Reply(221, "2.0.0", "bye"))


def no_argument(argument: bytes) -> None:
    if argument:
        raise CommandError(501, "5.5.4", "no argument allowed")
