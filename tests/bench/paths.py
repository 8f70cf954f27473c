"""Mail over SMTP: Postfix' smtp-source, something in the middle, Postfix' smtp-sink."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.cast import READER, SIGNER, SIZES, cast_of
from tests.bench.gateway import BenchGateway, used_by
from tests.peers.ports import free_port, wait_for_greeting
from tests.peers.postfix import Postfix

SESSIONS = (1, 10, 50)
_KEY = "RSA-2048"
_SIZES = ("5 KB", "50 KB", "25 MB")
_LARGE = 4  # sessions of the largest size


class CountingSink:
    """smtp-sink, which takes everything and counts; a context manager."""

    def __init__(self) -> None:
        self.port = free_port()
        self.count = 0
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        command = ["smtp-sink", "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "1024"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_with_sbin()
        )
        threading.Thread(target=self._read, daemon=True).start()
        wait_for_greeting(self.port, rb"220 ", alive=lambda: self._process.poll() is None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def wait_for(self, count: int, *, seconds: float = 300.0) -> None:
        """Return when it has taken *count* messages in all."""
        with self._news:
            assert self._news.wait_for(lambda: self.count >= count, seconds), (
                f"{self.count} of {count} messages arrived"
            )

    def _read(self) -> None:
        rest = b""
        assert self._process.stdout
        while octets := os.read(self._process.stdout.fileno(), 65536):
            rest = (rest + octets)[-1000:]
            if found := re.findall(rb"mesg=(\d+)\D", rest):
                with self._news:
                    self.count = int(found[-1])
                    self._news.notify_all()


@dataclass(frozen=True, slots=True)
class Middle:
    """What stands between source and sink: a port, and a process whose time is counted."""

    port: int
    pid: int = 0


@contextlib.contextmanager
def nothing(sink: CountingSink) -> Iterator[Middle]:
    """The load generator's own limit."""
    yield Middle(sink.port)


@contextlib.contextmanager
def one_worker(sink: CountingSink) -> Iterator[Middle]:
    """Our gateway, signing and encrypting, one process."""
    with BenchGateway(cast_of(_KEY), sink.port) as gateway:
        yield Middle(gateway.relay, gateway.pid)


@contextlib.contextmanager
def two_workers(sink: CountingSink) -> Iterator[Middle]:
    """Our gateway with two worker processes."""
    with BenchGateway(cast_of(_KEY), sink.port, workers=2) as gateway:
        yield Middle(gateway.relay, gateway.pid)


_TUNED = {
    "smtpd_client_connection_rate_limit": "0",
    "smtpd_client_connection_count_limit": "0",
    "default_destination_concurrency_limit": "50",
    "initial_destination_concurrency": "50",
    "default_process_limit": "200",
}


@contextlib.contextmanager
def postfix(sink: CountingSink) -> Iterator[Middle]:
    """Postfix passing on, its queue on disk."""
    with Postfix("ours.example", relayhost=sink.port, settings=_TUNED) as server:
        yield Middle(server.smtp_port, server.pid)


@contextlib.contextmanager
def script(sink: CountingSink) -> Iterator[Middle]:
    """Postfix handing each message to `openssl cms` by pipe(8), as how-tos show it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        signer, key, reader, _, _ = map(str, cast_of(_KEY).write(place))
        streamed = "-binary -stream -crlfeol"
        (place / "filter.sh").write_text(
            "#!/bin/sh\n"
            f"openssl cms -sign {streamed} -signer {signer} -inkey {key} |"
            f" openssl cms -encrypt {streamed} -aes-256-cbc {reader} |"
            f' curl -s --mail-from "$1" --mail-rcpt "$2" -T - smtp://127.0.0.1:{sink.port}/bench\n'
        )
        (place / "filter.sh").chmod(0o755)
        service = (
            f"cms unix - n n - {2 * (os.cpu_count() or 1)} pipe"
            f" flags=q user=nobody argv={place}/filter.sh ${{sender}} ${{recipient}}"
        )
        for file in place.iterdir():
            file.chmod(0o755)  # for user nobody; a key of this measurement only
        settings = {**_TUNED, "default_transport": "cms:", "cms_destination_recipient_limit": "1"}
        with Postfix("ours.example", settings=settings, services=[service]) as server:
            yield Middle(server.smtp_port, server.pid)


MIDDLES: dict[str, Callable[[CountingSink], contextlib.AbstractContextManager[Middle]]] = {
    "direct": nothing,
    "Postfix": postfix,
    "Postfix + script": script,
    "smimegw, 1 process": one_worker,
    "smimegw, 2 workers": two_workers,
}


def measure(
    rounds: int, seconds: float, sizes: tuple[str, ...] = ("5 KB", "50 KB", "25 MB")
) -> list[dict[str, Any]]:
    """One row per middle, size and number of sessions; the middles take turns in each round."""
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    peaks: dict[str, int] = {}
    with CountingSink() as sink:
        for _ in range(rounds):
            for name, middle in MIDDLES.items():
                with middle(sink) as there:
                    for size in _SIZES if name != "Postfix + script" else _SIZES[:2]:
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
        check=True, capture_output=True, timeout=600, env=_with_sbin(),
    )  # fmt: skip
    sink.wait_for(goal)
    return count / (time.monotonic() - began)


def _with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def needed() -> None:
    """Say what is missing before anything is started."""
    for name in ("smtp-source", "smtp-sink", "cc", "openssl", "curl"):
        if shutil.which(name, path=_with_sbin()["PATH"]) is None:
            raise SystemExit(f"{name} is not installed; run `make peers`")
    assert Path("/proc/self/stat").exists()
