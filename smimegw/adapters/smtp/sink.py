"""A small SMTP or LMTP server that keeps what it receives: the next hop of the demo and of tests.

It is not for mail that anybody wants to read later: everything stays in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field

from smimegw.limits import MIB, Limits
from smimegw.smtp.content import ContentReader

_LIMITS = Limits(message_octets=200 * MIB)
_CHUNK = 65536
_EXTENSIONS = ("PIPELINING", "SIZE 209715200", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
_ANSWERS = {"QUIT": "221 2.0.0 bye", "DATA": "354 go on", "STARTTLS": "220 2.0.0 go on"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkMessage:
    """One message as it came.

    Attributes:
        reverse_path: What followed ``MAIL FROM:``, parameters included.
        recipients: What followed each accepted ``RCPT TO:``.
        content: Exactly the octets, dots unstuffed.
        commands: Every command line of the transaction.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    commands: tuple[str, ...] = ()


class SinkSession:
    """One client of the sink."""

    def __init__(
        self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.sink = sink
        self.reader = reader
        self.writer = writer
        self._commands: list[str] = []
        self._recipients: list[str] = []
        self._reverse_path = ""
        self._unread = b""

    async def serve(self) -> None:
        """Talk until QUIT or the end of the connection."""
        if not await self._answer("CONNECT", "220 sink.example ESMTP"):
            return
        while line := await self._line():
            text = line.rstrip(b"\r\n").decode("utf-8", "replace")
            verb = text[:8].upper() if text[:8].upper() == "STARTTLS" else text[:4].upper()
            self._commands.append(text)
            if not await self._command(verb, text) or verb == "QUIT":
                return

    async def _command(self, verb: str, text: str) -> bool:
        usual = _ANSWERS.get(verb, "250 2.0.0 OK")
        if verb in {"EHLO", "LHLO"}:
            usual = "\r\n250-".join(["250-sink.example", *self.sink.extensions[:-1]])
            usual += f"\r\n250 {self.sink.extensions[-1]}"
        reply = await self._answer(verb, usual)
        if reply.startswith(b"354"):
            return await self._data()
        if reply.startswith(b"2"):
            if verb == "MAIL":
                self._reverse_path = text[10:]
                self._recipients = []
            elif verb == "RCPT":
                self._recipients.append(text[8:])
            elif verb == "STARTTLS" and self.sink.tls is not None:
                await self.writer.start_tls(self.sink.tls)
                # QUIRK 2026-11 CPython 3.11-3.13: the reader keeps the old transport.
                self.reader._transport = self.writer.transport  # type: ignore[attr-defined]
        return bool(reply)

    async def _data(self) -> bool:
        content = ContentReader(_LIMITS)
        content.feed(self._unread)
        self._unread = b""
        while not content.done:
            octets = await self.reader.read(_CHUNK)
            if not octets:
                self.sink.broken_off += 1
                return False
            content.feed(octets)
        self._unread = content.leftover
        if content.violation:
            return bool(await self._answer("DOT", str(content.violation)))
        message = SinkMessage(
            reverse_path=self._reverse_path,
            recipients=tuple(self._recipients),
            content=content.result().whole(_LIMITS.message_octets),
            commands=tuple(self._commands),
        )
        self._commands.clear()
        kept = False
        for _ in self._recipients if self.sink.lmtp else [None]:
            reply = await self.sink.reply_to("DOT", "250 2.0.0 OK")
            if reply.startswith(b"250") and not kept:
                # Before anybody hears of it: who was told 250 must find the message.
                await self.sink.keep(message)
                kept = True
            if not await self._send(reply):
                return False
        return True

    async def _line(self) -> bytes:
        while b"\n" not in self._unread:
            octets = await self.reader.read(_CHUNK)
            if not octets:
                return b""
            self._unread += octets
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    async def _answer(self, step: str, usual: str) -> bytes:
        """Send the reply to *step*; returns it, or nothing when the connection is to end."""
        return await self._send(await self.sink.reply_to(step, usual))

    async def _send(self, reply: bytes) -> bytes:
        if reply:
            self.writer.write(reply)
            await self.writer.drain()
        return reply


class Sink:
    """Listens on a loopback port and collects `messages`.

    Args:
        host: Address to listen on.
        port: 0 takes a free one.
        lmtp: Answer once for each recipient (RFC 2033).
        extensions: Lines of the EHLO reply.
        tls: For STARTTLS; add it to *extensions* too.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        lmtp: bool = False,
        extensions: tuple[str, ...] = _EXTENSIONS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.lmtp = lmtp
        self.extensions = extensions
        self.tls = tls
        self.messages: list[SinkMessage] = []
        self.connections = 0
        self.broken_off = 0
        self._port = port
        self._server: asyncio.Server | None = None
        self._arrived = asyncio.Condition()
        self._sessions: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self.host, self._port, limit=_CHUNK)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for session in tuple(self._sessions):
            session.cancel()
        if self._sessions:
            await asyncio.wait(self._sessions)

    async def keep(self, message: SinkMessage) -> None:
        """Add *message* to those received."""
        async with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    async def wait_for(self, count: int, *, seconds: float = 10.0) -> list[SinkMessage]:
        """Return the messages as soon as there are *count*.

        Raises:
            TimeoutError: There were fewer when the time was up.
        """
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    async def reply_to(self, step: str, usual: str) -> bytes:  # noqa: ARG002 – tests script it
        """The octets to answer *step* with (a verb, CONNECT or DOT); none closes the connection."""
        return f"{usual}\r\n".encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await SinkSession(self, reader, writer).serve()
        writer.close()
        self._sessions.discard(task)
