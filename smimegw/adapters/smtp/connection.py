"""One client's connection: command lines and data in, replies out, each with a deadline.

Stands on aiosmtpd's protocol class for the plumbing between transport, stream and task.  Reading,
writing and TLS are replaced: aiosmtpd takes bare LF for a line end, reads data line by line and
waits for ever when a client does not read its replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import ssl
import termios
from array import array
from collections.abc import Callable
from typing import Any, cast

from aiosmtpd.smtp import SMTP

from smimegw.adapters.smtp.flow import flows, read_within
from smimegw.adapters.smtp.tls import PeerCertificate, peer_certificate, tls_failure
from smimegw.errors import CommandError
from smimegw.limits import Limits
from smimegw.smtp.reply import Reply

_CHUNK = 65536
_UNPRINTABLE = re.compile(r"[^ -~]")
_REPLY_LINE = 480  # RFC 5321, 4.5.3.1.5: 512 octets with code, enhanced code and CRLF


class ClientGoneError(Exception):
    """The client closed the connection, or we had to: nothing can be said to it any more."""


class HandshakeError(ClientGoneError):
    """TLS could not be agreed on; the text says why."""


class ClientSlowError(Exception):
    """The client let a deadline pass."""


class _NoHandler:
    """Where aiosmtpd looks for hooks at every new connection, through every attribute."""

    def __dir__(self) -> tuple[str, ...]:
        return ()


_NO_HANDLER = _NoHandler()


class Connection(SMTP):
    """Octets, lines and replies of one client; commands are the subclass's matter.

    Attributes:
        peer: The client's IP address.
        gone: The connection was lost, or its end was seen with no command waiting.
        acknowledged: When we closed, or the connection was lost, the client's machine had all that
            we wrote; see `look_at_acknowledgement`.
    """

    line_length_limit = _CHUNK  # only the flow control of the stream: it holds twice this

    def __init__(
        self,
        *,
        hostname: str,
        limits: Limits,
        idle_seconds: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(_NO_HANDLER, hostname=hostname, loop=loop)
        self.peer = ""
        self.gone = False
        self.acknowledged = False
        self._limits = limits
        self._idle_seconds = idle_seconds
        self._pending = bytearray()
        self._may_speak = True
        self._on_gone: Callable[[], object] | None = None

    def __dir__(self) -> tuple[str, ...]:
        # aiosmtpd looks through every attribute of every new connection for commands and AUTH
        # mechanisms, which takes longer than a small mail; ours are in tables of their own.
        return ()

    # --- what the event loop tells us ------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        """No timer per session: every wait below has its own deadline."""

    def connection_lost(self, error: Exception | None) -> None:
        """Wake whoever waits; unlike aiosmtpd do not cancel what is in the middle of something."""
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        if error is not None:  # such as a reset: it was closed with our reply unread
            self.acknowledged = False
        self._is_gone()

    def eof_received(self) -> bool:
        """The client sends nothing more: gone, unless it left commands such as QUIT behind."""
        self.look_at_acknowledgement()  # under TLS the connection is closed next
        keep_open = asyncio.StreamReaderProtocol.eof_received(self)
        if not self._unread():
            self._is_gone()
        return bool(keep_open)

    def _is_gone(self) -> None:
        self.gone = True
        if self._on_gone is not None:
            self._on_gone()

    # --- octets in -------------------------------------------------------------------------------

    def _unread(self) -> bool:
        # StreamReader has no public question for this; aiosmtpd itself looks at _buffer.
        return bool(self._pending or self._reader._buffer)  # type: ignore[attr-defined]

    async def _receive(self, seconds: float) -> None:
        """Wait for at least one octet.

        Raises:
            ClientGoneError: The client closed.
            ClientSlowError: It sent nothing for *seconds*.
        """
        try:
            octets = await read_within(self._reader, 2 * _CHUNK, seconds)
        except TimeoutError:
            raise ClientSlowError from None
        except OSError as exc:
            raise ClientGoneError from exc
        if not octets:
            raise ClientGoneError
        self._pending += octets

    async def chunk(self, seconds: float) -> bytes:
        """Whatever has arrived, at least one octet; raises as `_receive` does."""
        if not self._pending:
            await self._receive(seconds)
        octets = bytes(self._pending)
        self._pending.clear()
        return octets

    def give_back(self, octets: bytes) -> None:
        """Put *octets* that belong to the next command in front of everything unread."""
        self._pending[:0] = octets

    async def line(self, *, limit: int, waiting: Callable[[bool], None] | None = None) -> bytes:
        """The next line without its CRLF.

        Args:
            limit: Longest line, CRLF included; longer ones are skipped to their end.
            waiting: Told True while we wait for a client that has sent nothing, then False.

        Raises:
            CommandError: Too long, or NUL, bare CR or bare LF in it (RFC 5321, 2.3.8).
            ClientGoneError: The client closed.
            ClientSlowError: No line came in time.
        """
        if not self._unread():
            if waiting is not None:
                waiting(True)
            try:
                await self._receive(self._idle_seconds)
            finally:
                if waiting is not None:
                    waiting(False)
        beginning = b""
        until = self.loop.time() + self._limits.command_seconds
        while (end := self._pending.find(b"\n")) < 0:
            if len(self._pending) > limit:
                beginning = beginning or bytes(self._pending[:5])
                self._pending.clear()
            await self._receive(until - self.loop.time())
        line = bytes(self._pending[: end + 1])
        del self._pending[: end + 1]
        if beginning or len(line) > limit:
            if (beginning or line)[:5].upper() == b"AUTH ":
                raise CommandError(501, "5.5.2", "AUTH response too long")
            raise CommandError(500, "5.5.2", "line too long")
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            raise CommandError(500, "5.5.2", "bare CR or LF, or NUL")
        return line[:-2]

    # --- replies out -----------------------------------------------------------------------------

    async def reply(self, reply: Reply) -> None:
        """Send *reply*; its text may have several lines.

        Raises:
            ClientGoneError: The client is gone, or does not read what we send (case O05).
        """
        self.write(reply)
        await self._flushed()

    def write(self, reply: Reply) -> None:
        """Hand *reply* to the transport without waiting."""
        *first, last = [_printable(line) for line in reply.text.split("\n")]
        enhanced = f"{reply.enhanced} " if reply.enhanced else ""
        lines = [f"{reply.code}-{enhanced}{line}\r\n" for line in first]
        lines.append(f"{reply.code} {enhanced}{last}\r\n")
        self._writer.write("".join(lines).encode("ascii"))

    async def _flushed(self) -> None:
        if flows(self._writer):
            return
        try:
            async with asyncio.timeout(self._limits.command_seconds):
                await self._writer.drain()
        except OSError as exc:  # TimeoutError is one
            self._writer.transport.abort()
            raise ClientGoneError from exc

    def look_at_acknowledgement(self) -> None:
        """Ask the kernel whether the client's machine has acknowledged every octet of ours."""
        transport, wire = self._writer.transport, self._writer.get_extra_info("socket")
        if wire is None or transport.is_closing() or self._reader.exception() is not None:
            return
        unsent = array("i", [1])
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, unsent)
        self.acknowledged = not unsent[0]

    async def close(self) -> None:
        """Close once everything written is out, or without it when the client does not read."""
        with contextlib.suppress(OSError):
            self._writer.close()
            async with asyncio.timeout(self._limits.command_seconds):
                await self._writer.wait_closed()
            return
        self._writer.transport.abort()

    # --- TLS -------------------------------------------------------------------------------------

    @property
    def shown_certificate(self) -> PeerCertificate | None:
        """The client's certificate; only one that was verified gets through a handshake."""
        return peer_certificate(self._writer.get_extra_info("ssl_object"))

    @property
    def tls_version(self) -> str:
        """Such as ``TLSv1.3``; empty on a clear connection."""
        wrapped = self._writer.get_extra_info("ssl_object")
        return str(wrapped.version() or "") if wrapped is not None else ""

    async def start_tls(self, context: ssl.SSLContext, ready: Reply) -> None:
        """Send *ready* and shake hands (RFC 3207).

        Raises:
            CommandError: The client had already sent something after STARTTLS: an injected
                command that would be taken for a protected one (case B01).
            HandshakeError: The handshake failed.
        """
        if self._unread():
            raise CommandError(501, "5.5.2", "nothing may follow STARTTLS before the handshake")
        transport = cast("asyncio.Transport", self._writer.transport)
        # From here to the handshake nothing may be read as clear text, not even by accident.
        transport.pause_reading()
        self.write(ready)
        self._may_speak = False  # in clear, which would be taken for a part of the handshake
        try:
            secured = await self.loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.command_seconds,
            )
        except OSError as exc:  # ssl.SSLError is one; a timeout is a ConnectionAbortedError here
            transport.abort()
            raise HandshakeError(tls_failure(exc)) from exc
        if secured is None:
            raise ClientGoneError
        self.transport = secured
        # asyncio's streams cannot change their transport in public: what StreamWriter.start_tls
        # does, without its chance to read clear text between the reply and the handshake.
        streams = cast("Any", self)
        streams._reader._transport = secured
        streams._writer._transport = secured
        streams._transport = secured
        streams._over_ssl = True
        self._may_speak = True


def _printable(text: str) -> str:
    """One line of a reply: printable ASCII, bounded."""
    return _UNPRINTABLE.sub("?", text)[:_REPLY_LINE]
