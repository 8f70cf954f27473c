"""A client that sends messages one after the other on one connection, and never holds a copy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_LINE_SECONDS = 300.0


class Client:
    """One SMTP session with *port* on loopback, from *source*; an asynchronous context manager.

    Attributes:
        said: The last line of the server.
    """

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        self.said = ""
        self._source = source
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._source, 0)
        )
        await self._answer()
        await self.say("EHLO client.ours.example")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    async def reconnect(self) -> None:
        """Begin anew with a server that has ended the connection."""
        await self.__aexit__(None, None, None)
        await self.__aenter__()

    async def say(self, line: str) -> int:
        """Give one command and return the reply's code."""
        self._writer.write(line.encode() + b"\r\n")
        return await self._answer()

    async def send(self, sender: str, recipients: Sequence[str], pieces: Sequence[bytes]) -> int:
        """Send one message without lines that begin with a dot; return the last reply's code."""
        commands = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"]
        for command in commands:
            code = await self.say(command)
            if code >= 400:
                said = self.said
                await self.say("RSET")
                self.said = said
                return code
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
        return await self.say(".")

    async def noop_seconds(self) -> float:
        """How long the server needs to answer what costs it nothing."""
        began = time.perf_counter()
        await self.say("NOOP")
        return time.perf_counter() - began

    async def _answer(self) -> int:
        async with asyncio.timeout(_LINE_SECONDS):
            line = await self._reader.readline()
            while line[3:4] == b"-":
                line = await self._reader.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        self.said = line.decode().strip()
        return int(line[:3])
