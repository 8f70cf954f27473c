"""Takes the PROXY header off a fresh connection, exactly to its last octet.

It is read from the socket itself, before any transport exists: whatever follows the header, such
as the first octets of a TLS handshake, stays where its reader will look for it.
"""

from __future__ import annotations

import asyncio
import socket

from smimegw.errors import CommandError
from smimegw.smtp.proxy_protocol import (
    FIRST_OCTETS,
    FIXED_OCTETS,
    LINE_OCTETS,
    SIGNATURE,
    parse_binary,
    parse_line,
    rest_length,
)


async def read_proxy_header(connection: socket.socket, seconds: float) -> str:
    """The client's address as the balancer tells it; empty when it speaks for itself.

    Args:
        connection: Not blocking.
        seconds: For the whole header (case A22).

    Raises:
        CommandError: Something else came.
        OSError: The balancer closed, or nothing came in time.
    """
    async with asyncio.timeout(seconds):
        begin = await _exactly(connection, FIRST_OCTETS)
        if begin == SIGNATURE:
            fixed = begin + await _exactly(connection, FIXED_OCTETS - len(begin))
            return parse_binary(fixed, await _exactly(connection, rest_length(fixed)))
        if not begin.startswith(b"PROXY "):
            raise CommandError(554, "5.5.2", "no PROXY header")
        line = begin
        while not line.endswith(b"\r\n") and len(line) < LINE_OCTETS:
            line += await _exactly(connection, 1)
        return parse_line(line)


async def _exactly(connection: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        more = await asyncio.get_running_loop().sock_recv(connection, count - len(octets))
        if not more:
            raise ConnectionResetError("closed inside the PROXY header")
        octets += more
    return octets
