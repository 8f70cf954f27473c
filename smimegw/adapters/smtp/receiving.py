"""Reads what a client sends after 354, and lets nobody else wait for the disk that keeps it."""

from __future__ import annotations

import asyncio

from smimegw.adapters.smtp.connection import Connection
from smimegw.adapters.smtp.dialogue import EndOfSession
from smimegw.content import Store
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.smtp.content import TOO_LARGE, ContentReader


async def receive_content(client: Connection, limits: Limits, store: Store) -> ContentReader:
    """Read up to the true end.

    What is longer than `memory_octets` goes to a disk, which may be slow: a thread writes it, while
    at most the stream's own buffer is filled.

    Raises:
        ClientGoneError: The client closed.
        ClientSlowError: It is slower than the minimum rate and only wants to keep us busy.
        EndOfSession: It sends without end.
    """
    reader = ContentReader(limits, store)
    received, credit = 0, limits.data_grace_seconds
    while not reader.done:
        asked = client.loop.time()
        octets = await client.chunk(min(limits.command_seconds, credit))
        credit -= client.loop.time() - asked  # what we do with the octets is not the client's time
        # Fast octets buy no more than one pause: else many of them would pay for hours of dribble.
        credit = min(limits.command_seconds, credit + len(octets) / limits.data_octets_per_second)
        received += len(octets)
        if received <= limits.memory_octets:
            reader.feed(octets)
        else:
            await asyncio.to_thread(reader.feed, octets)
        reach("session.receiving")
        if reader.overrun:
            raise EndOfSession(TOO_LARGE)
    return reader
