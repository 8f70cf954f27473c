"""Makes a connection to a next hop ready for mail: TCP, greeting, TLS, login."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from smimegw.adapters.smtp.reach import RecentFailures, open_connection
from smimegw.adapters.smtp.settings import NextHopSettings, Server, plain_address
from smimegw.adapters.smtp.tls import check_pin, next_hop_context
from smimegw.adapters.smtp.upstream import CHUNK, Upstream
from smimegw.config.choices import TLSMode
from smimegw.config.values import is_loopback
from smimegw.errors import AuthenticationError, NextHopError, NextHopTLSError
from smimegw.limits import Limits
from smimegw.smtp.client import Client
from smimegw.smtp.reply import Reply

_NO_EHLO = frozenset({500, 501, 502, 504})  # RFC 5321, 3.2: then HELO, as in RFC 821


class _NoTLSError(Exception):
    """TLS failed, or was refused, where we may go on without."""


async def connect(
    settings: NextHopSettings,
    *,
    hostname: str,
    limits: Limits,
    login: tuple[str, str] | None = None,
    failed: RecentFailures | None = None,
) -> Upstream:
    """Connect to the first server that can be used, greet, and as configured TLS and AUTH.

    Each gets its share of the time, so that one that hangs leaves some for the next.

    Raises:
        NextHopError: None can be reached, or each broke off.
        NextHopTLSError: TLS is not as configured.
        AuthenticationError: The login was refused; the others would say the same.
    """
    failed = failed or RecentFailures()
    servers = failed.sorted(settings.servers)
    end = asyncio.get_running_loop().time() + limits.connect_seconds
    error: NextHopError | None = None
    for position, server in enumerate(servers):
        share = (end - asyncio.get_running_loop().time()) / (len(servers) - position)
        try:
            upstream = await _to(settings, server, hostname, limits, login, share)
        except NextHopError as exc:
            failed.note(server)
            # What is wrong with TLS will not mend itself, so that is what should be read.
            error = exc if error is None or isinstance(exc, NextHopTLSError) else error
            continue
        failed.forget(server)
        return upstream
    assert error is not None  # there is always a first server
    raise error


async def _to(
    settings: NextHopSettings,
    server: Server,
    hostname: str,
    limits: Limits,
    login: tuple[str, str] | None,
    seconds: float,
) -> Upstream:
    name = settings.name or server.host
    try:
        upstream = await _open(settings, server, limits, seconds)
        await _Introduction(upstream, settings, settings.tls_mode, name, hostname).make(login)
    except _NoTLSError:
        # Opportunistic protects against listeners only; without TLS is what it allows.
        upstream = await _open(settings, server, limits, seconds)
        await _Introduction(upstream, settings, TLSMode.NONE, name, hostname).make(login)
    return upstream


async def _open(
    settings: NextHopSettings, server: Server, limits: Limits, seconds: float
) -> Upstream:
    try:
        reader, writer = await open_connection(server.host, server.port, seconds, CHUNK)
    except OSError as exc:  # TimeoutError is one
        reason = exc.strerror or "no answer in time"
        raise NextHopError(
            f"next hop {server} not reachable: {reason}", server=str(server)
        ) from exc
    address, port = writer.get_extra_info("peername")[:2]
    # TCP_NODELAY, without which a lone dot waits 40 ms, is what asyncio and uvloop set.
    client = Client(
        server=f"{server.host}[{address}]:{port}",
        lmtp=settings.lmtp,
        secure=is_loopback(plain_address(str(address))),  # nobody listens there
        limits=limits,
    )
    return Upstream(reader, writer, client, limits)


@dataclass(frozen=True, slots=True)
class _Introduction:
    """What is said on a new connection before the first mail.

    Attributes:
        name: What the server's certificate has to be for.
        hostname: Our own name.
    """

    upstream: Upstream
    settings: NextHopSettings
    mode: TLSMode
    name: str
    hostname: str

    async def make(self, login: tuple[str, str] | None) -> None:
        try:
            await self._hello()
            if login is not None:
                await self._authenticate(*login)
        except BaseException:
            self.upstream.abort()
            raise

    async def _hello(self) -> None:
        self._expect(await self.upstream.greeting(), "greeted with")
        await self._introduce()
        if self.mode is TLSMode.NONE:
            return
        if self.mode is TLSMode.OPPORTUNISTIC and not self.upstream.client.extensions.starttls:
            return
        await self._ask_for_tls()
        await self._handshake()
        await self._introduce()

    async def _introduce(self) -> None:
        reply = await self.upstream.ask(self.upstream.client.hello(self.hostname))
        if reply.code in _NO_EHLO and not self.upstream.client.lmtp:
            # What needs an extension, such as TLS that is required, is refused further on.
            reply = await self.upstream.ask(
                self.upstream.client.hello_without_extensions(self.hostname)
            )
        self._expect(reply, "answered EHLO with")

    async def _ask_for_tls(self) -> None:
        if not self.upstream.client.extensions.starttls:
            raise NextHopTLSError(
                f"{self.upstream.server} does not offer STARTTLS, which is configured as required",
                server=self.upstream.server,
            )
        reply = await self.upstream.ask(self.upstream.client.start_tls())
        if not reply.is_positive and self.mode is TLSMode.OPPORTUNISTIC:
            raise _NoTLSError  # such as 454, TLS not available (RFC 3207, 4)
        if not reply.is_positive:
            raise NextHopTLSError(
                f"next hop {self.upstream.server} answered STARTTLS with {reply.code}",
                server=self.upstream.server,
            )

    async def _handshake(self) -> None:
        context = await asyncio.to_thread(next_hop_context, self.mode, self.settings)
        try:
            shown = await self.upstream.start_tls(context, self.name)
        except OSError as exc:  # ssl.SSLError and TimeoutError are
            if self.mode is TLSMode.OPPORTUNISTIC:
                raise _NoTLSError from exc
            reason = getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or "failed"
            raise NextHopTLSError(
                f"TLS with next hop {self.upstream.server}: {reason}", server=self.upstream.server
            ) from exc
        if self.settings.pins and self.mode is TLSMode.VERIFY:
            check_pin(shown, self.settings.pins, self.upstream.server)
        self.upstream.client.tls_started()

    async def _authenticate(self, user: str, password: str) -> None:
        reply = await self.upstream.ask(self.upstream.client.authenticate_plain(user, password))
        if reply.is_permanent:
            raise AuthenticationError(
                f"next hop {self.upstream.server} refused the login: {reply.code}",
                server=self.upstream.server,
            )
        self._expect(reply, "answered AUTH with")

    def _expect(self, reply: Reply, what: str) -> None:
        if not reply.is_positive:
            raise NextHopError(
                f"next hop {self.upstream.server} {what} {reply.code} {reply.enhanced}".rstrip(),
                server=self.upstream.server,
            )
