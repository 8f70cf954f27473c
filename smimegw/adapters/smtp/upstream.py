"""One TCP connection to a next hop: one command with its reply, content, and the final dot."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Iterable, Iterator

from smimegw.adapters.smtp.flow import flows, read_within
from smimegw.errors import NextHopError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.smtp.client import Client, State
from smimegw.smtp.reply import Reply

CHUNK = 65536  # of what is read at a time
_SLICE = 256 * 1024  # how much content is stuffed and written at a time
_FIRST_BATCH = 128 * 1024  # made at once, on the event loop: most mail is smaller


class Upstream:
    """A connection that is greeted and ready; made by `introduction.connect`.

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
        self.answered: list[Reply] = []
        self.client = client
        self.server = client.server

    # --- beginning -------------------------------------------------------------------------------

    async def greeting(self) -> Reply:
        """Wait for the server's first words.

        Raises:
            NextHopError: None came.
        """
        return await self._next_reply()

    async def start_tls(
        self, context: ssl.SSLContext, server_hostname: str
    ) -> ssl.SSLObject | None:
        """Do the handshake; `client` is to be told when what was shown is to our liking.

        Raises:
            OSError: It failed (ssl.SSLError), or took too long (TimeoutError).
        """
        async with asyncio.timeout(self._limits.connect_seconds):
            await self._writer.start_tls(context, server_hostname=server_hostname)
        # QUIRK 2026-11 CPython 3.11-3.13: start_tls leaves the reader with the old transport.
        self._reader._transport = self._writer.transport  # type: ignore[attr-defined]
        shown: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return shown

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
                octets = await read_within(self._reader, CHUNK, until - loop.time())
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
