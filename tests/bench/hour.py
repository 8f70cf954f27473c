"""The first customer's peak hour: mixed mail of 13,000 users, both directions, two workers.

Sizes are log-normal (median 24 KB, mean 50 KB, 1 KB to 5 MB); a mail has one recipient in seven
cases of ten, otherwise two to five; every second mail comes from outside, half of those signed and
encrypted.  What a client is not told 250 it sends again.  The gateway has its default limits, so
the clients are four mail servers with addresses of their own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.bench.cast import READER, SIGNER, cast_of, inbound, outbound, plain_from_outside
from tests.bench.client import Client
from tests.bench.gateway import BenchGateway, used_by
from tests.bench.sink import CountingSink

PARTNERS = tuple(f"partner{number}@partner.example" for number in range(1000))
_MEDIAN, _SIGMA = 24_000, 1.21  # exp(sigma² / 2) × median = 50,000
_SMALLEST, _LARGEST = 1_000, 5_000_000
_POOL = 150  # different messages of each kind; what is sent differs in its Message-ID
_SESSIONS, _SERVERS = 40, 4
_RATES = ((54.0, 1.0), (540.0, 1 / 3))  # messages a second, and for how long


@dataclass(frozen=True, slots=True)
class _Mail:
    sender: str
    recipients: tuple[str, ...]
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    to_us: bool

    def numbered(self, number: int) -> list[bytes]:
        """The message with a Message-ID of its own."""
        return [self.before, f"<{number}.hour@ours.example>".encode(), self.after]


@dataclass(slots=True)
class _Tally:
    sent: int = 0
    copies: int = 0
    again: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure(minutes: float) -> list[dict[str, Any]]:
    """One row for each rate, the tenfold one for a third of *minutes*; a new gateway for each."""
    mails = list(_pool(random.Random(1)))
    rows = []
    for rate, share in _RATES:
        with (
            CountingSink() as sink,
            BenchGateway(
                cast_of("RSA-2048"),
                sink.port,
                workers=2,
                partners=PARTNERS,
                default_limits=True,
            ) as gateway,
        ):
            before = used_by(gateway.pid).seconds
            began = time.monotonic()
            ports = {True: gateway.mx, False: gateway.relay}
            tally = asyncio.run(
                _hour(ports, mails, rate, minutes * 60 * share, lambda: used_by(gateway.pid).now)
            )
            seconds = time.monotonic() - began
            sink.wait_for(tally.copies)
            row = _row(rate, tally, seconds, used_by(gateway.pid).seconds - before)
            row["arrived"] = sink.count
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def _row(rate: float, tally: _Tally, seconds: float, cpu: float) -> dict[str, Any]:
    waits = sorted(tally.seconds)
    middle = len(tally.memory) // 2
    return {
        "asked_per_second": rate,
        "per_second": tally.sent / seconds,
        "minutes": seconds / 60,
        "sent": tally.sent,
        "copies": tally.copies,
        "sent_again": dict(tally.again),
        "p50_ms": waits[len(waits) // 2] * 1000,
        "p99_ms": waits[int(len(waits) * 0.99)] * 1000,
        "cpu_ms": cpu / tally.sent * 1000,
        "memory_mb_first_half": max(tally.memory[: middle + 1]) / 1e6,
        "memory_mb_second_half": max(tally.memory[middle:]) / 1e6,
    }


def _pool(chance: random.Random) -> list[_Mail]:
    mails = []
    for number in range(_POOL):
        people = chance.sample(PARTNERS, 1 if chance.random() < 0.7 else chance.randint(2, 5))
        message = outbound(_size(chance), number, to=", ".join(people))
        mails.append(_mail(SIGNER, people, message))
        outside = inbound if number % 2 else plain_from_outside
        mails.append(_mail(READER, [SIGNER], outside(_size(chance), number)))
    return mails


def _size(chance: random.Random) -> int:
    return int(min(_LARGEST, max(_SMALLEST, chance.lognormvariate(math.log(_MEDIAN), _SIGMA))))


def _mail(sender: str, recipients: list[str], message: bytes) -> _Mail:
    before, mark, rest = message.partition(b"Message-ID: ")
    after = rest[rest.index(b"\r\n") :]
    return _Mail(sender, tuple(recipients), before + mark, after, sender != SIGNER)


async def _hour(
    ports: dict[bool, int],
    mails: list[_Mail],
    rate: float,
    seconds: float,
    memory: Callable[[], float],
) -> _Tally:
    """Begin *rate* messages a second for *seconds*; a client that is late begins at once."""
    tally, numbers = _Tally(), itertools.count()
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def client(position: int) -> None:
        source = f"127.0.0.{2 + position % _SERVERS}"
        sessions = {
            to_us: await Client(port, source=source).__aenter__() for to_us, port in ports.items()
        }
        for number in numbers:
            due = began + number / rate
            if due > began + seconds or loop.time() > began + seconds:
                break
            await asyncio.sleep(max(0.0, due - loop.time()))
            mail = mails[number % len(mails)]
            await _until_told(sessions[mail.to_us], mail, number, tally)
        for session in sessions.values():
            await session.__aexit__(None, None, None)

    async def watch() -> None:
        while True:
            tally.memory.append(memory())
            await asyncio.sleep(5)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client(position) for position in range(_SESSIONS)))
    watching.cancel()
    return tally


async def _until_told(session: Client, mail: _Mail, number: int, tally: _Tally) -> None:
    began = time.perf_counter()
    while (code := await _sent(session, mail, number)) != 250:
        assert code < 500, session.said
        tally.again[session.said[:9]] += 1
        await asyncio.sleep(1)
    tally.seconds.append(time.perf_counter() - began)
    tally.sent += 1
    tally.copies += 1


async def _sent(session: Client, mail: _Mail, number: int) -> int:
    try:
        return await session.send(mail.sender, mail.recipients, mail.numbered(number))
    except ConnectionError:
        await session.reconnect()
        session.said = "421 ended"
        return 421
