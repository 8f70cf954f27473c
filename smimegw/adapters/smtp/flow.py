"""Waits for a connection without what `asyncio.timeout` costs at every line.

A small mail is some ten lines in each direction, and most waits are short.
"""

from __future__ import annotations

import asyncio

_BUFFERED = 65536  # asyncio's and uvloop's high-water mark: with more, `drain` waits


def flows(writer: asyncio.StreamWriter) -> bool:
    """Whether ``writer.drain()`` would return at once.

    False also when the connection is about to close, which only `drain` can tell.
    """
    transport = writer.transport
    return not transport.is_closing() and transport.get_write_buffer_size() <= _BUFFERED


async def read_within(reader: asyncio.StreamReader, most: int, seconds: float) -> bytes:
    """Whatever has arrived, at least one octet; nothing when the peer closed.

    Raises:
        TimeoutError: It sent nothing for *seconds*.
    """
    # StreamReader has no public question for this; aiosmtpd itself looks at _buffer.
    if reader._buffer:  # type: ignore[attr-defined]
        return await reader.read(most)
    timer = asyncio.get_running_loop().call_later(seconds, _give_up, reader)
    try:
        return await reader.read(most)
    finally:
        timer.cancel()


def _give_up(reader: asyncio.StreamReader) -> None:
    # The one future that `read` waits for; nobody else's wait is touched, no task is cancelled.
    waiter: asyncio.Future[None] | None = reader._waiter  # type: ignore[attr-defined]
    if waiter is not None and not waiter.done():
        waiter.set_exception(TimeoutError())
