"""What the supervisor itself counts for /metrics; the rest is its workers'."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from smimegw.adapters.logs.lines import Value


class SupervisionMetrics:
    """Workers and their ends; an `EventObserver`."""

    def __init__(self, workers: int) -> None:
        self.registry = CollectorRegistry()
        self._ready = Gauge("smimegw_ready", "1 while mail is taken", registry=self.registry)
        wanted = Gauge("smimegw_workers", "Worker processes wanted", registry=self.registry)
        self._running = Gauge(
            "smimegw_workers_ready", "Worker processes that take mail", registry=self.registry
        )
        self._ends = Counter(
            "smimegw_worker_ends_total",
            "Worker processes that ended unasked",
            ["reason"],
            registry=self.registry,
        )
        wanted.set(workers)
        for reason in ("exit", "signal", "hung"):
            self._ends.labels(reason)

    def exposition(self, *, ready: bool, running: int) -> str:
        """The supervisor's part of /metrics."""
        self._ready.set(ready)
        self._running.set(running)
        return generate_latest(self.registry).decode()

    def observe(self, event: str, values: Mapping[str, Value]) -> None:
        """Count one event."""
        if event == "worker.ended":
            self._ends.labels(str(values.get("reason", ""))).inc()
