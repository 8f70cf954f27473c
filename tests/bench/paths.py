"""Mail over SMTP: Postfix' smtp-source, something in the middle, Postfix' smtp-sink."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.cast import READER, SIGNER, SIZES, cast_of, entity
from tests.bench.gateway import used_by
from tests.bench.middles import KEY, MIDDLES, SIZES_OF, Middle, obtainable
from tests.bench.openssl import compiled, rate
from tests.bench.sink import CountingSink, with_sbin

SESSIONS = (1, 10, 50)
ALONE = "OpenSSL alone"
_LARGE = 4  # sessions of the largest size


def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row per middle, size and number of sessions; all take turns in each round.

    OpenSSL alone is no middle: it signs and encrypts in one process, without any transport.
    """
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    peaks: dict[str, int] = {}
    middles = obtainable()
    with CountingSink() as sink:
        for _ in range(rounds):
            for size in SIZES_OF["direct"]:
                found.setdefault((ALONE, size, 1), []).append(_alone(size, seconds))
            for name in middles:
                with MIDDLES[name](sink) as there:
                    for size in SIZES_OF[name]:
                        for sessions in SESSIONS if SIZES[size] < 10**6 else (_LARGE,):
                            case = (name, size, sessions)
                            result = _run(there, sink, SIZES[size], sessions, seconds)
                            found.setdefault(case, []).append(result)
                            print(json.dumps([*case, *result]), flush=True)
                    if there.pid:
                        peaks[name] = max(peaks.get(name, 0), used_by(there.pid).peak)
    return [
        {
            "middle": name,
            "size": size,
            "sessions": sessions,
            "per_second": statistics.median(rate for rate, _ in results),
            "cpu_ms": statistics.median(cpu for _, cpu in results),
            "peak_mb": peaks.get(name, 0) / 1e6,
        }
        for (name, size, sessions), results in found.items()
    ]


def _alone(size: str, seconds: float) -> tuple[float, float]:
    """OpenSSL's rate for the cryptography of such a message, and its processor time."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        message = place / "message"
        message.write_bytes(entity(SIZES[size]))
        files = map(str, cast_of(KEY).write(place))
        program = str(compiled(place))
        found = rate([program, "protect", str(message), str(seconds), "aes-256-cbc", *files])
    return found, 1000 / found


def _run(
    middle: Middle, sink: CountingSink, octets: int, sessions: int, seconds: float
) -> tuple[float, float]:
    """Messages per second until the sink has all, and milliseconds of processor time for each."""
    rate = _send(middle, sink, octets, sessions, max(sessions, 4))
    count = int(max(sessions, min(8000, rate * seconds)))
    before = used_by(middle.pid).seconds if middle.pid else 0.0
    rate = _send(middle, sink, octets, sessions, count)
    cpu = used_by(middle.pid).seconds - before if middle.pid else 0.0
    return rate, cpu / count * 1000


def _send(middle: Middle, sink: CountingSink, octets: int, sessions: int, count: int) -> float:
    goal, began = sink.count + count, time.monotonic()
    subprocess.run(
        [
            "smtp-source", "-s", str(sessions), "-m", str(count), "-l", str(octets),
            "-f", SIGNER, "-t", READER, f"inet:127.0.0.1:{middle.port}",
        ],
        check=True, capture_output=True, timeout=600, env=with_sbin(),
    )  # fmt: skip
    sink.wait_for(goal)
    return count / (time.monotonic() - began)
