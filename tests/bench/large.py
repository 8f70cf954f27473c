"""Large mail: memory of the gateway, and how long its event loop answers nobody else."""

from __future__ import annotations

import asyncio
import json
import statistics
from typing import Any

from tests.bench.cast import READER, SIGNER, cast_of, inbound, outbound
from tests.bench.client import Client
from tests.bench.gateway import BenchGateway, used_by
from tests.bench.paths import CountingSink

CASES = ((1, 25), (4, 25), (16, 25), (1, 50))  # how many at once, of how many million octets
_PIECE = 65536
_NOOP_EVERY = 0.002


def measure() -> list[dict[str, Any]]:
    """One row per direction and case, each with a gateway of its own."""
    rows = []
    for direction, make in (("outbound", outbound), ("inbound", inbound)):
        for count, megabytes in CASES:
            row = {"direction": direction, "at_once": count, "megabytes": megabytes}
            row |= _case(direction, count, make(megabytes * 1_000_000))
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def _case(direction: str, count: int, message: bytes) -> dict[str, float]:
    with CountingSink() as sink, BenchGateway(cast_of("RSA-2048"), sink.port) as gateway:
        idle = used_by(gateway.pid)
        if direction == "outbound":
            work = _all(gateway.relay, count, SIGNER, READER, message)
        else:
            work = _all(gateway.mx, count, READER, SIGNER, message)
        waits = sorted(asyncio.run(work))
        sink.wait_for(count)
        used = used_by(gateway.pid)
    return {
        "idle_mb": idle.peak / 1e6,
        "peak_mb": used.peak / 1e6,
        "cpu_seconds": (used.seconds - idle.seconds) / count,
        "noop_p50_ms": statistics.median(waits) * 1000,
        "noop_p99_ms": waits[int(len(waits) * 0.99)] * 1000,
        "noop_max_ms": waits[-1] * 1000,
    }


async def _all(port: int, count: int, sender: str, recipient: str, message: bytes) -> list[float]:
    """Send all at once; how long somebody else's NOOP took meanwhile."""
    pieces = [message[at : at + _PIECE] for at in range(0, len(message), _PIECE)]
    waits: list[float] = []

    async def one() -> None:
        async with Client(port) as client:
            code = await client.send(sender, [recipient], pieces)
            assert code == 250, code

    async def bystander() -> None:
        async with Client(port) as client:
            while True:
                waits.append(await client.noop_seconds())
                await asyncio.sleep(_NOOP_EVERY)

    standing_by = asyncio.create_task(bystander())
    await asyncio.gather(*(one() for _ in range(count)))
    standing_by.cancel()
    return waits
