"""A TCP proxy between the gateway and a real server that makes every trouble a network can make."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from typing import Self

from tests.peers.ports import free_port

_RESET = struct.pack("ii", 1, 0)
_GARBAGE = bytes(range(256)) * 16
_CHUNK = 65536


class Trouble(StrEnum):
    """What happens to connections."""

    NONE = "none"
    DOWN = "down"  # refused
    RESET = "reset"  # accepted, then RST
    SLOW = "slow"  # every answer a little later, in time
    TOO_SLOW = "too slow"  # answers after every deadline
    HANGING = "hanging"  # accepted, nothing is answered
    GARBAGE = "garbage"  # octets that are no protocol
    HALF = "half"  # an answer is cut off in its middle
    FLAPPING = "flapping"  # every second connection is reset

    def lets_through(self, reply: str) -> bool:
        """Whether *reply* has to be the good one: slow is not down, and of a flapping peer it is
        chance which question meets the good connection."""
        fine = reply.startswith("250 2.0.0 OK")
        return self is Trouble.SLOW or (self is Trouble.FLAPPING and fine)


class Proxy:
    """Listens on `port` and passes on to *target*.

    Args:
        target: Port of the server behind; on loopback.

    Attributes:
        answers: How many pieces of answers passed since the last `become`.
        cut_at: The number of the one piece that is lost, its connection with it; 0 for none.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        self.answers = 0
        self.cut_at = 0
        self._target = target
        self._trouble = Trouble.NONE
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._delays = {Trouble.SLOW: 0.02, Trouble.TOO_SLOW: 1.5}

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._unlisten()
        self._reset_all()

    async def become(self, trouble: Trouble) -> None:
        """Begin *trouble*; connections that are open suffer from it as new ones do."""
        before, self._trouble = self._trouble, trouble
        if trouble is Trouble.DOWN:
            await self._unlisten()
        elif before is Trouble.DOWN:
            await self._listen()
        if trouble in {Trouble.DOWN, Trouble.RESET, Trouble.FLAPPING, Trouble.NONE}:
            self._reset_all()
        self.connections = self.answers = self.cut_at = 0

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # the socket is closed in the loop's next turn

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        odd = self.connections % 2 == 1
        if self._trouble is Trouble.RESET or (self._trouble is Trouble.FLAPPING and odd):
            _reset(writer)
            return
        self._writers.add(writer)
        behind = None
        try:
            if self._trouble is Trouble.GARBAGE:
                writer.write(_GARBAGE)  # nobody waits for who speaks first
            there, behind = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, behind, answers=False))
                group.create_task(self._pass_on(there, writer, answers=True))
        except* OSError:
            pass
        finally:
            self._writers.discard(writer)
            for one in (writer, behind):
                if one is not None:
                    one.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while octets := await source.read(_CHUNK):
            if self._trouble is Trouble.HANGING:
                await asyncio.Event().wait()  # until it is cancelled
            if answers:
                self.answers += 1
                if self.answers == self.cut_at:
                    _reset(to)
                    raise ConnectionAbortedError
                await asyncio.sleep(self._delays.get(self._trouble, 0))
                if self._trouble is Trouble.GARBAGE:
                    octets = _GARBAGE
                if self._trouble is Trouble.HALF:
                    to.write(octets[: len(octets) // 2])
                    await to.drain()
                    raise ConnectionAbortedError
            to.write(octets)
            await to.drain()
        raise ConnectionAbortedError  # one side has ended, so the other does


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
