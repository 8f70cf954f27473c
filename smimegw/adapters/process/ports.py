"""Sees whether a port is free before several processes share it."""

from __future__ import annotations

import asyncio
import socket


async def check_free(host: str, port: int) -> str:
    """Why nobody could listen there; empty when it is free.

    Who shares a port (SO_REUSEPORT) also shares it with strangers of the same user, such as
    another gateway that was forgotten, and would silently get half of its clients.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""
