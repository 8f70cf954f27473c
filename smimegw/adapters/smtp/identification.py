"""The part of a session that says who the client is: EHLO, TLS, AUTH, XFORWARD and XCLIENT.

RFC 5321, RFC 2033 (LMTP), RFC 3207 and RFC 4954.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from smimegw.adapters.smtp.authentication import MECHANISMS, RESPONSE_OCTETS, read_login
from smimegw.adapters.smtp.connection import HandshakeError
from smimegw.adapters.smtp.dialogue import OK, Dialogue, EndOfSession, Parts, no_argument
from smimegw.adapters.smtp.settings import LoginJudge, contains
from smimegw.adapters.smtp.tls import PeerCertificate
from smimegw.adapters.smtp.xforward import (
    XCLIENT_ATTRIBUTES,
    XFORWARD_ATTRIBUTES,
    client_address,
    parse_attributes,
)
from smimegw.config.values import is_loopback
from smimegw.errors import CommandError, DependencyError
from smimegw.smtp.extensions import NO_EXTENSIONS, Extensions, offer
from smimegw.smtp.login import LATER, Login
from smimegw.smtp.reply import Reply
from smimegw.transaction import SessionInfo

_TOO_MANY_FAILURES = Reply(421, "4.7.0", "too many errors")


@dataclass(slots=True)
class _Client:
    """What the client told about itself; forgotten when TLS starts (RFC 3207, 4.2)."""

    helo: str = ""
    extended: bool = False
    login: Login | None = field(default=None, repr=False)
    judged_at: float = 0.0
    offered: Extensions = NO_EXTENSIONS


class Identification(Dialogue):
    """Knows the client; what it may do with mail is the subclass's matter."""

    def __init__(self, parts: Parts, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(parts, peer, loop)
        self._client = _Client()
        self._certificate: PeerCertificate | None = None
        self._announced_helo = ""
        self._auth_failures = 0
        self.commands |= {
            b"HELO": self._helo,
            b"EHLO": self._ehlo,
            b"LHLO": self._lhlo,
            b"STARTTLS": self._starttls,
            b"AUTH": self._auth,
            b"XFORWARD": self._xforward,
            b"XCLIENT": self._xclient,
        }

    async def _greet(self) -> None:
        self._see_certificate()
        await super()._greet()

    def _info(self) -> SessionInfo:
        client, tls = self._client, self.tls_version
        protocol = ("E" if client.extended else "") + "SMTP"
        if self._settings.lmtp:
            protocol = "LMTP"
        if protocol != "SMTP":  # RFC 3848
            protocol += ("S" if tls else "") + ("A" if client.login else "")
        login = client.login
        return SessionInfo(
            listener=self._settings.name,
            role=self._settings.role,
            protocol=protocol,
            peer=self.peer,
            helo=client.helo,
            tls=tls,
            user=login.user if login else "",
            # A password that somebody else judged is none of the next hop's business.
            login=(login.user, login.password) if login and not self._settings.judge else None,
            upstream_id=self._upstream_id,
            next_hop=self._settings.next_hop,
        )

    # --- hello -----------------------------------------------------------------------------------

    async def _helo(self, argument: bytes) -> None:
        if self._settings.lmtp:
            raise CommandError(500, "5.5.1", "this is LMTP: LHLO")  # RFC 2033, 4.1
        self._client.helo = self._announced_helo or _hello_name(argument)
        self._client.extended = False
        self._client.offered = NO_EXTENSIONS
        await self._abandon()
        await self.reply(Reply(250, "", self.hostname))

    async def _ehlo(self, argument: bytes) -> None:
        if self._settings.lmtp:
            raise CommandError(500, "5.5.1", "this is LMTP: LHLO")
        await self._hello(argument)

    async def _lhlo(self, argument: bytes) -> None:
        if not self._settings.lmtp:
            raise CommandError(500, "5.5.1", "this is SMTP: EHLO")
        await self._hello(argument)

    async def _hello(self, argument: bytes) -> None:
        name = _hello_name(argument)
        self._client.helo = self._announced_helo or name
        self._client.extended = True
        await self._abandon()
        self._client.offered = await self._reception.extensions(self._info())
        await self.reply(Reply(250, "", "\n".join([self.hostname, *self._offer()])))

    def _offer(self) -> tuple[str, ...]:
        return offer(
            self._client.offered,
            self._limits,
            starttls=self._may_start_tls(),
            auth=MECHANISMS if self._may_log_in() else (),
            xforward=XFORWARD_ATTRIBUTES if self._believes_xforward() else (),
            xclient=XCLIENT_ATTRIBUTES if self._believes_xclient() else (),
        )

    def _useless(self) -> frozenset[bytes]:
        here = {
            b"HELO": not self._settings.lmtp,
            b"EHLO": not self._settings.lmtp,
            b"LHLO": self._settings.lmtp,
            b"STARTTLS": self._may_start_tls(),
            b"AUTH": self._may_log_in() and self._client.login is None,
            b"XFORWARD": self._believes_xforward(),
            b"XCLIENT": self._believes_xclient(),
        }
        return super()._useless() | {name for name, usable in here.items() if not usable}

    # --- TLS -------------------------------------------------------------------------------------

    def _may_start_tls(self) -> bool:
        return self._settings.tls is not None and not self.tls_version

    async def _starttls(self, argument: bytes) -> None:
        no_argument(argument)
        if self._settings.tls is None or self.tls_version:
            raise CommandError(503, "5.5.1", "TLS is not possible or already active")
        await self._abandon()
        try:
            await self.start_tls(self._settings.tls, Reply(220, "2.0.0", "ready to start TLS"))
        except CommandError as error:
            raise EndOfSession(Reply(error.code, error.enhanced, str(error))) from None
        except HandshakeError as error:
            self._events.emit(
                "session.rejected",
                client=self.peer,
                listener=self._settings.name,
                reason=f"TLS handshake failed: {error}",
            )
            raise
        self._client = _Client()
        self._see_certificate()

    def _see_certificate(self) -> None:
        context = self._settings.tls
        if context is None or context.verify_mode is ssl.CERT_NONE:
            return
        self._certificate = self.shown_certificate
        if self._certificate is not None:
            self._events.emit(
                "session.certificate",
                client=self.peer,
                listener=self._settings.name,
                name=self._certificate.name,
                cert=self._certificate.fingerprint,
            )

    # --- AUTH ------------------------------------------------------------------------------------

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

    def _check_peer(self) -> None:
        """See before MAIL that a client from outside `peers` showed a certificate that we know.

        Raises:
            CommandError: It did not.
        """
        if self._settings.knows(self.peer):
            return
        shown = self._certificate
        if shown is None or shown.fingerprint not in self._settings.peer_certificates:
            raise CommandError(530, "5.7.0", "a client certificate that we know is needed")

    # --- in the name of others -------------------------------------------------------------------

    def _believes_xforward(self) -> bool:
        return contains(self._settings.xforward_from, self.peer)

    def _believes_xclient(self) -> bool:
        return contains(self._settings.xclient_from, self.peer)

    async def _xforward(self, argument: bytes) -> None:
        if not self._believes_xforward():
            raise CommandError(550, "5.7.1", "XFORWARD is not for you")
        if self._mail is not None:
            raise CommandError(503, "5.5.1", "XFORWARD is not possible inside a transaction")
        told = parse_attributes(argument, XFORWARD_ATTRIBUTES)
        self._upstream_id = told.get("IDENT", self._upstream_id)
        await self.reply(OK)

    async def _xclient(self, argument: bytes) -> None:
        """Begin anew as another client: the greeting is the answer (XCLIENT_README)."""
        if not self._believes_xclient():
            raise CommandError(550, "5.7.1", "XCLIENT is not for you")
        if self._mail is not None:
            raise CommandError(503, "5.5.1", "XCLIENT is not possible inside a transaction")
        told = parse_attributes(argument, XCLIENT_ATTRIBUTES)
        helo = _hello_name(told["HELO"].encode()) if told.get("HELO") else self._announced_helo
        peer = client_address(told["ADDR"]) if "ADDR" in told else self.peer
        await self._abandon()
        self._announced_helo, self._client = helo, _Client()
        self._certificate = None  # it was the server's, not the client's
        self._door.leave(self)
        self.peer = peer
        await super()._greet()


def _hello_name(argument: bytes) -> str:
    """Check the argument of EHLO: one word of printable ASCII (RFC 5321, 4.1.1.1)."""
    if not argument or len(argument) > 255 or not all(33 <= octet <= 126 for octet in argument):
        raise CommandError(501, "5.5.4", "your name must be one word")
    return argument.decode("ascii")
