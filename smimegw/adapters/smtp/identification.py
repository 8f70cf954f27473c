"""The part of a session that says who the client is: EHLO, TLS, XFORWARD and XCLIENT.

RFC 5321, RFC 2033 (LMTP) and RFC 3207.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from smimegw.adapters.smtp.connection import HandshakeError
from smimegw.adapters.smtp.dialogue import OK, Dialogue, EndOfSession, Parts, no_argument
from smimegw.adapters.smtp.settings import contains
from smimegw.adapters.smtp.tls import PeerCertificate
from smimegw.adapters.smtp.xforward import (
    XCLIENT_ATTRIBUTES,
    XFORWARD_ATTRIBUTES,
    client_address,
    parse_attributes,
)
from smimegw.errors import CommandError
from smimegw.smtp.extensions import NO_EXTENSIONS, Extensions, offer
from smimegw.smtp.login import Login
from smimegw.smtp.reply import Reply
from smimegw.transaction import SessionInfo


@dataclass(slots=True)
class _Client:
    """What the client told about itself; forgotten when TLS starts (RFC 3207, 4.2)."""

    helo: str = ""
    extended: bool = False
    login: Login | None = field(default=None, repr=False)
    judged_at: float = 0.0
    offered: Extensions = NO_EXTENSIONS


class Identification(Dialogue):
    """Knows the client; logins and what it may do with mail are the subclasses' matter."""

    def __init__(self, parts: Parts, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(parts, peer, loop)
        self._client = _Client()
        self._certificate: PeerCertificate | None = None
        self._announced_helo = ""
        self.commands |= {
            b"HELO": self._helo,
            b"EHLO": self._ehlo,
            b"LHLO": self._lhlo,
            b"STARTTLS": self._starttls,
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

    def _offer(self, auth: tuple[str, ...] = ()) -> tuple[str, ...]:
        return offer(
            self._client.offered,
            self._limits,
            starttls=self._may_start_tls(),
            auth=auth,
            xforward=XFORWARD_ATTRIBUTES if self._believes_xforward() else (),
            xclient=XCLIENT_ATTRIBUTES if self._believes_xclient() else (),
        )

    def _useless(self) -> frozenset[bytes]:
        here = {
            b"HELO": not self._settings.lmtp,
            b"EHLO": not self._settings.lmtp,
            b"LHLO": self._settings.lmtp,
            b"STARTTLS": self._may_start_tls(),
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
