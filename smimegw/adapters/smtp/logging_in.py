"""The part of a session in which the client logs in, and its login still counts (RFC 4954)."""

from __future__ import annotations

import asyncio

from smimegw.adapters.smtp.authentication import MECHANISMS, RESPONSE_OCTETS, read_login
from smimegw.adapters.smtp.dialogue import EndOfSession, Parts
from smimegw.adapters.smtp.identification import Identification
from smimegw.adapters.smtp.settings import LoginJudge
from smimegw.config.values import is_loopback
from smimegw.errors import CommandError, DependencyError
from smimegw.smtp.login import LATER, Login
from smimegw.smtp.reply import Reply

_TOO_MANY_FAILURES = Reply(421, "4.7.0", "too many errors")


class LoggingIn(Identification):
    """Knows who logged in; what he may do with mail is the subclass's matter."""

    def __init__(self, parts: Parts, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(parts, peer, loop)
        self._auth_failures = 0
        self.commands |= {b"AUTH": self._auth}

    def _offer(self, auth: tuple[str, ...] = ()) -> tuple[str, ...]:
        return super()._offer(MECHANISMS if self._may_log_in() else auth)

    def _useless(self) -> frozenset[bytes]:
        usable = self._may_log_in() and self._client.login is None
        return super()._useless() | (frozenset() if usable else {b"AUTH"})

    def _may_log_in(self) -> bool:
        return self._settings.auth and (bool(self.tls_version) or is_loopback(self.peer))

    async def _auth(self, argument: bytes) -> None:
        if not self._client.extended or self._mail is not None or self._client.login is not None:
            raise CommandError(503, "5.5.1", "AUTH is not possible now")  # RFC 4954, 4
        if not self._settings.auth:
            raise CommandError(502, "5.5.1", "AUTH is not offered here")
        if not self._may_log_in():
            raise CommandError(538, "5.7.11", "STARTTLS first")
        login = await read_login(argument, self._challenge)
        began = self.loop.time()
        reply = await self._judged(login)
        if reply.is_positive:
            self._client.login, self._client.judged_at = login, self.loop.time()
        elif reply.is_permanent:
            # Counted from the beginning, so that what the judge took does not tell how far it
            # came: an unknown user sounds like a wrong password (case B11).
            delay = self._limits.auth_delay_seconds * 2**self._auth_failures
            await asyncio.sleep(began + delay - self.loop.time())
            self._auth_failures += 1
        await self.reply(reply)
        if self._auth_failures >= self._limits.auth_failures:
            raise EndOfSession(_TOO_MANY_FAILURES)

    async def _judged(self, login: Login) -> Reply:
        judge = self._settings.judge
        if judge is not None:
            reply = await self._answer_of(judge, login)
        else:
            reply = await self._reception.authenticate(self._info(), login.user, login.password)
        self._events.emit(
            "session.authenticated",
            client=self.peer,
            listener=self._settings.name,
            user=login.user,
            result=str(reply.code),
        )
        return reply

    async def _answer_of(self, judge: LoginJudge, login: Login) -> Reply:
        try:
            return await judge.judge(login, self.peer)
        except DependencyError as exc:
            self._events.emit("login.error", listener=self._settings.name, text=str(exc))
            return LATER

    async def _check_login(self) -> None:
        """See before MAIL that there is a login where one is needed, and that it still counts.

        Raises:
            CommandError: None; or the password was changed, the account disabled (case B18); or
                nobody can tell now.
        """
        if not self._settings.auth:
            return
        client = self._client
        if client.login is None:
            raise CommandError(530, "5.7.0", "authentication required")
        if self.loop.time() - client.judged_at < self._limits.login_recheck_seconds:
            return
        reply = await self._judged(client.login)
        if not reply.is_positive:
            if reply.is_permanent:
                client.login = None
            raise CommandError(reply.code, reply.enhanced, reply.text)
        client.judged_at = self.loop.time()

    async def _challenge(self, text: bytes) -> bytes:
        await self.reply(Reply(334, "", text.decode("ascii")))
        try:
            return await self.line(limit=RESPONSE_OCTETS)
        except CommandError as error:  # RFC 4954, 4: 500 is for commands, this is no command
            raise CommandError(501, error.enhanced, str(error)) from None
