"""Somebody else's session: how long its NOOPs take while the gateway has other work.

python -m tests.bench.bystander PORT     until its input ends; prints the times in milliseconds

A process of its own, so that the load's client does not keep it waiting.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from smimegw.limits import DEFAULT_LIMITS
from tests.bench.client import Client

_EVERY_SECONDS = 0.002
_NOOPS = DEFAULT_LIMITS.commands_without_mail - 10  # of one session


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from NOOP to its reply."""

    p50: float
    p99: float
    longest: float


class Bystander:
    """Asks as long as the context lasts; `waits` says afterwards what it saw."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.bystander", str(self._port)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self._process.stdout.readline()  # it has begun
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        found, _ = self._process.communicate(timeout=300)
        waits = sorted(json.loads(found))
        self.waits = Waits(waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1])


def waits_of_nobody(port: int, seconds: float = 2.0) -> Waits:
    """What the machine alone makes a NOOP wait: the gateway has nothing to do."""
    with Bystander(port) as bystander:
        time.sleep(seconds)
    return bystander.waits


async def _ask(port: int) -> list[float]:
    waits: list[float] = []
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    print("asking", flush=True)
    while not ended.done():
        async with Client(port) as client:
            for _ in range(_NOOPS):
                waits.append(await client.noop_seconds() * 1000)
                await asyncio.sleep(_EVERY_SECONDS)
                if ended.done():
                    break
    return waits


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_ask(int(sys.argv[1])))))
