"""Tells whether a connection takes what is written, so that nobody sets a timer for nothing."""

from __future__ import annotations

import asyncio

_BUFFERED = 65536  # asyncio's and uvloop's high-water mark: with more, `drain` waits


def flows(writer: asyncio.StreamWriter) -> bool:
    """Whether ``writer.drain()`` would return at once.

    False also when the connection is about to close, which only `drain` can tell.
    """
    transport = writer.transport
    return not transport.is_closing() and transport.get_write_buffer_size() <= _BUFFERED
