"""Large mail: memory of the gateway, and how long its event loop answers nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.bench.bystander import Bystander, waits_of_nobody
from tests.bench.cast import READER, SIGNER, cast_of, inbound, outbound
from tests.bench.client import Client
from tests.bench.gateway import BenchGateway, used_by
from tests.bench.sink import CountingSink

CASES = ((1, 25), (4, 25), (16, 25), (1, 50))  # how many at once, of how many million octets
_PIECE = 65536


def measure(cases: Sequence[tuple[int, int]] = CASES) -> list[dict[str, Any]]:
    """One row per direction and case, each with a gateway of its own."""
    rows = []
    for direction, make in (("outbound", outbound), ("inbound", inbound)):
        for count, megabytes in cases:
            row = {"direction": direction, "at_once": count, "megabytes": megabytes}
            row |= _case(
                direction, [make(megabytes * 1_000_000, number) for number in range(count)]
            )
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def _case(direction: str, messages: Sequence[bytes]) -> dict[str, float]:
    with CountingSink() as sink, BenchGateway(cast_of("RSA-2048"), sink.port) as gateway:
        if direction == "outbound":
            port, sender, recipient = gateway.relay, SIGNER, READER
        else:
            port, sender, recipient = gateway.mx, READER, SIGNER
        alone = waits_of_nobody(port)
        idle = used_by(gateway.pid)
        with Bystander(port) as bystander:
            asyncio.run(_all(port, sender, recipient, messages))
        sink.wait_for(len(messages))
        used = used_by(gateway.pid)
    return {
        "idle_mb": idle.peak / 1e6,
        "peak_mb": used.peak / 1e6,
        "cpu_seconds": (used.seconds - idle.seconds) / len(messages),
        "noop_p50_ms": bystander.waits.p50,
        "noop_p99_ms": bystander.waits.p99,
        "noop_max_ms": bystander.waits.longest,
        "noop_alone_p99_ms": alone.p99,
    }


async def _all(port: int, sender: str, recipient: str, messages: Sequence[bytes]) -> None:
    """Send all at once."""

    async def one(message: bytes) -> None:
        pieces = [message[at : at + _PIECE] for at in range(0, len(message), _PIECE)]
        async with Client(port) as client:
            code = await client.send(sender, [recipient], pieces)
            assert code == 250, client.said

    await asyncio.gather(*(one(message) for message in messages))
