"""Reaches a server: every address of its name in turn, and servers that failed just now last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from smimegw.adapters.names import addresses_of
from smimegw.adapters.smtp.settings import Server

_ADDRESSES = 8  # of one name; more would only make each share of the time shorter
_REST_SECONDS = 30.0


class RecentFailures:
    """Remembers which servers of one next hop failed a moment ago."""

    def __init__(self) -> None:
        self._until: dict[Server, float] = {}

    def note(self, server: Server) -> None:
        """Try *server* last for a while."""
        self._until[server] = time.monotonic() + _REST_SECONDS

    def forget(self, server: Server) -> None:
        """It works again."""
        self._until.pop(server, None)

    def sorted(self, servers: Sequence[Server]) -> tuple[Server, ...]:
        """*servers* in their order, those that failed behind the others."""
        now = time.monotonic()
        return tuple(sorted(servers, key=lambda server: self._until.get(server, 0.0) > now))


async def open_connection(
    host: str, port: int, seconds: float, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address of *host* that answers, each with its share of *seconds*.

    asyncio tries all of them, too, but lets the first one that is silent take all the time.

    Raises:
        OSError: None did; a TimeoutError is one.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with asyncio.timeout_at(end):
        places = (await addresses_of(host, port))[:_ADDRESSES]
    error: OSError = TimeoutError()
    for position, address in enumerate(places):
        share = (end - loop.time()) / (len(places) - position)
        try:
            async with asyncio.timeout(share):
                return await asyncio.open_connection(address, port, limit=limit)
        except OSError as exc:
            error = exc
    raise error
