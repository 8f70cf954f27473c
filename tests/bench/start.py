"""How long a node takes from its start to ready, and what memory each of its processes has then."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from tests.bench.cast import cast_of
from tests.bench.gateway import BenchGateway, processes_of
from tests.bench.sink import CountingSink


def measure(rounds: int) -> list[dict[str, Any]]:
    """One row for one process and one for two workers; the database is there already."""
    rows = []
    with CountingSink() as sink:
        for workers in (1, 2):
            starts = [_start(sink, workers) for _ in range(rounds)]
            row = {
                name: statistics.median(start[name] for start in starts) for name in starts[0]
            } | {"workers": workers}
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def _start(sink: CountingSink, workers: int) -> dict[str, float]:
    with BenchGateway(cast_of("RSA-2048"), sink.port, workers=workers) as gateway:
        processes = list(processes_of(gateway.pid))
        figures = {
            "seconds": gateway.start_seconds,
            "cpu_seconds": gateway.used().seconds,
            "supervisor_mb": 0.0,
        }
        if len(processes) > 1:  # the first one takes no mail
            figures["supervisor_mb"] = _memory(processes.pop(0), "Rss")
        for name in ("Rss", "Pss"):
            figures[f"{name.lower()}_mb"] = max(_memory(process, name) for process in processes)
    return figures


def _memory(process: int, name: str) -> float:
    """Resident (Rss), or with what is shared divided among those who share it (Pss), in MB."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024 / 1e6
