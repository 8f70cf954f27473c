"""One TCP connection to a next hop: connect, TLS, log in, and one command with its reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator

from smimegw.adapters.smtp.flow import flows, read_within
from smimegw.adapters.smtp.reach import RecentFailures, open_connection
from smimegw.adapters.smtp.settings import NextHopSettings, Server, plain_address
from smimegw.adapters.smtp.tls import check_pin, next_hop_context
from smimegw.config.choices import TLSMode
from smimegw.config.values import is_loopback
from smimegw.errors import AuthenticationError, NextHopError, NextHopTLSError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.smtp.client import Client, State
from smimegw.smtp.reply import Reply

_CHUNK = 65536
_NO_EHLO = frozenset({500, 501, 502, 504})  # RFC 5321, 3.2: then HELO, as in RFC 821
_SLICE = 256 * 1024  # how much content is stuffed and written at a time
_FIRST_BATCH = 128 * 1024  # made at once, on the event loop: most mail is smaller


class Upstream:
    """A connection that is greeted and ready; made by `connect`.

    Attributes:
        client: The protocol state.
        server: ``host[address]:port`` for logs.
        answered: Replies to the last final dot.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: Client,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._replies: deque[Reply] = deque()
        self._name = ""
        self.answered: list[Reply] = []
        self.client = client
        self.server = client.server

    # --- beginning -------------------------------------------------------------------------------

    @classmethod
    async def connect(
        cls,
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
                upstream = await cls._to(settings, server, hostname, limits, login, share)
            except NextHopError as exc:
                failed.note(server)
                # What is wrong with TLS will not mend itself, so that is what should be read.
                error = exc if error is None or isinstance(exc, NextHopTLSError) else error
                continue
            failed.forget(server)
            return upstream
        assert error is not None  # there is always a first server
        raise error

    @classmethod
    async def _to(
        cls,
        settings: NextHopSettings,
        server: Server,
        hostname: str,
        limits: Limits,
        login: tuple[str, str] | None,
        seconds: float,
    ) -> Upstream:
        mode = settings.tls_mode
        try:
            upstream = await cls._open(settings, server, limits, seconds)
            return await upstream._ready(settings, mode, hostname, login)
        except _NoTLSError:
            # Opportunistic protects against listeners only; without TLS is what it allows.
            upstream = await cls._open(settings, server, limits, seconds)
            return await upstream._ready(settings, TLSMode.NONE, hostname, login)

    async def _ready(
        self,
        settings: NextHopSettings,
        mode: TLSMode,
        hostname: str,
        login: tuple[str, str] | None,
    ) -> Upstream:
        try:
            await self._hello(settings, mode, hostname)
            if login is not None:
                await self._authenticate(*login)
        except BaseException:
            self.abort()
            raise
        return self

    @classmethod
    async def _open(
        cls, settings: NextHopSettings, server: Server, limits: Limits, seconds: float
    ) -> Upstream:
        try:
            reader, writer = await open_connection(server.host, server.port, seconds, _CHUNK)
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
        upstream = cls(reader, writer, client, limits)
        upstream._name = settings.name or server.host
        return upstream

    async def _hello(self, settings: NextHopSettings, mode: TLSMode, hostname: str) -> None:
        self._expect(await self._next_reply(), "greeted with")
        await self._introduce(hostname)
        if mode is TLSMode.NONE:
            return
        if mode is TLSMode.OPPORTUNISTIC and not self.client.extensions.starttls:
            return
        await self._ask_for_tls(mode)
        await self._handshake(settings, mode)
        await self._introduce(hostname)

    async def _introduce(self, hostname: str) -> None:
        reply = await self.ask(self.client.hello(hostname))
        if reply.code in _NO_EHLO and not self.client.lmtp:
            # What needs an extension, such as TLS that is required, is refused further on.
            reply = await self.ask(self.client.hello_without_extensions(hostname))
        self._expect(reply, "answered EHLO with")

    async def _ask_for_tls(self, mode: TLSMode) -> None:
        if not self.client.extensions.starttls:
            raise NextHopTLSError(
                f"{self.server} does not offer STARTTLS, which is configured as required",
                server=self.server,
            )
        reply = await self.ask(self.client.start_tls())
        if not reply.is_positive and mode is TLSMode.OPPORTUNISTIC:
            raise _NoTLSError  # such as 454, TLS not available (RFC 3207, 4)
        if not reply.is_positive:
            raise NextHopTLSError(
                f"next hop {self.server} answered STARTTLS with {reply.code}", server=self.server
            )

    async def _handshake(self, settings: NextHopSettings, mode: TLSMode) -> None:
        context = await asyncio.to_thread(next_hop_context, mode, settings)
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                await self._writer.start_tls(context, server_hostname=self._name)
        except OSError as exc:  # ssl.SSLError and TimeoutError are
            if mode is TLSMode.OPPORTUNISTIC:
                raise _NoTLSError from exc
            reason = getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or "failed"
            raise NextHopTLSError(
                f"TLS with next hop {self.server}: {reason}", server=self.server
            ) from exc
        # QUIRK 2026-11 CPython 3.11-3.13: start_tls leaves the reader with the old transport.
        self._reader._transport = self._writer.transport  # type: ignore[attr-defined]
        if settings.pins and mode is TLSMode.VERIFY:
            check_pin(self._writer.get_extra_info("ssl_object"), settings.pins, self.server)
        self.client.tls_started()

    async def _authenticate(self, user: str, password: str) -> None:
        reply = await self.ask(self.client.authenticate_plain(user, password))
        if reply.is_permanent:
            raise AuthenticationError(
                f"next hop {self.server} refused the login: {reply.code}", server=self.server
            )
        self._expect(reply, "answered AUTH with")

    def _expect(self, reply: Reply, what: str) -> None:
        if not reply.is_positive:
            raise NextHopError(
                f"next hop {self.server} {what} {reply.code} {reply.enhanced}".rstrip(),
                server=self.server,
            )

    # --- talking ---------------------------------------------------------------------------------

    async def ask(self, command: bytes) -> Reply:
        """Send *command* and return its reply; whatever goes wrong closes the connection.

        Raises:
            NextHopError: No reply came, or none that is one.
        """
        try:
            await self._send(command)
            return await self._next_reply()
        except BaseException:
            self.abort()
            raise

    async def commit(self) -> tuple[Reply, ...]:
        """Send the final dot and return every reply that is then due (LMTP: several).

        When it breaks among them, those that came are returned: they count.

        Raises:
            NextHopError: With *in_doubt* when no reply came.
        """
        seconds = self._limits.late_reply_seconds
        replies = self.answered = []
        try:
            reach("relay.before-dot")
            await self._send(self.client.commit())
            reach("relay.after-dot")
            for _ in range(self.client.awaiting):
                replies.append(await self._next_reply(seconds))  # noqa: PERF401 – one by one: those before a break count
        except BaseException as exc:
            self.abort()
            if not (replies and isinstance(exc, NextHopError)):
                raise
        return tuple(replies)

    async def send_content(self, pieces: Iterable[bytes]) -> None:
        """Send content, dots stuffed, without the final dot.

        Raises:
            MIMEError: The content holds bare CR or LF, or NUL.
            NextHopError: The connection broke.
        """
        batches = _batched(self.client.content(_sliced(pieces)))
        try:
            octets = next(batches, b"")
            await self._send(octets)
            while len(octets) >= _FIRST_BATCH:  # a smaller one is the last
                # Making the rest of a large copy takes longer than others should wait.
                octets = await asyncio.to_thread(next, batches, b"")
                await self._send(octets)
        except BaseException:
            self.abort()
            raise

    async def _send(self, octets: bytes) -> None:
        try:
            self._writer.write(octets)
            if flows(self._writer):
                return
            async with asyncio.timeout(self._limits.next_hop_seconds):
                await self._writer.drain()
        except TimeoutError:
            raise self.client.lost("does not read what we send") from None
        except OSError as exc:
            raise self.client.lost("closed the connection") from exc

    async def _next_reply(self, seconds: float = 0.0) -> Reply:
        loop = asyncio.get_running_loop()
        until = loop.time() + (seconds or self._limits.next_hop_seconds)
        try:
            while not self._replies:
                if self.client.state is State.CLOSED:
                    raise self.client.lost("broke off among its replies")
                octets = await read_within(self._reader, _CHUNK, until - loop.time())
                if not octets:
                    raise self.client.lost("closed the connection")
                self._replies.extend(self.client.receive(octets))
        except TimeoutError:
            raise self.client.lost("did not reply in time") from None
        except OSError as exc:
            raise self.client.lost("closed the connection") from exc
        return self._replies.popleft()

    # --- ending ----------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Between transactions, and the server has said nothing since."""
        return (
            self.client.state is State.READY
            and not self._replies
            and not self.client.awaiting
            and self.client.silent
            and not self._reader.at_eof()
            # octets that nobody asked for; StreamReader has no public question for this
            and not self._reader._buffer  # type: ignore[attr-defined]
            and not self._writer.is_closing()
        )

    @property
    def broken(self) -> bool:
        """The server closed the connection."""
        return self._reader.at_eof() or self._reader.exception() is not None

    def abort(self) -> None:
        """Close at once; what was not sent yet will not be."""
        self._writer.transport.abort()

    async def quit(self) -> None:
        """Say good-bye where that is possible, and close; never raises."""
        with contextlib.suppress(NextHopError, OSError):
            if self.client.state in {State.READY, State.MAIL} and not self.client.awaiting:
                self._writer.write(self.client.quit())
            self._writer.close()
            async with asyncio.timeout(self._limits.connect_seconds):
                await self._writer.wait_closed()
        self.abort()


class _NoTLSError(Exception):
    """TLS failed, or was refused, where we may go on without."""


def _batched(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Fewer and larger pieces: at first what a small mail has, then more at a time."""
    batch: list[bytes] = []
    octets, wanted = 0, _FIRST_BATCH
    for piece in pieces:
        batch.append(piece)
        octets += len(piece)
        if octets >= wanted:
            yield b"".join(batch)
            batch.clear()
            octets, wanted = 0, _SLICE
    if octets:
        yield b"".join(batch)


def _sliced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _SLICE):
            yield piece[start : start + _SLICE]
