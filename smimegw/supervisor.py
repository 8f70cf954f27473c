"""Runs several gateway processes that share the ports, and stands for them before the outside.

The supervisor takes no mail, so that nothing a stranger sends can hurt it.  It has the status
port, and it is the one that systemd and the administrator know: SIGHUP reloads all workers,
SIGTERM drains them, a second SIGTERM ends them at once.
"""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial

from smimegw import __version__
from smimegw.adapters.http.status import StatusServer
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.logs.sums import summed
from smimegw.adapters.logs.supervision import SupervisionMetrics
from smimegw.adapters.process.ports import check_free
from smimegw.config.model import Configuration
from smimegw.errors import ConfigurationError, Problem
from smimegw.oversight import Condition, Overseer
from smimegw.worker_processes import WorkerProcesses

_LAST_SECONDS = 10.0  # beyond the time to drain


class Supervisor:
    """The process above the workers.

    Args:
        configuration: What every worker runs.
        overseer: Who started us.
    """

    def __init__(self, configuration: Configuration, *, overseer: Overseer) -> None:
        self._configuration = configuration
        self._overseer = overseer
        self._own = SupervisionMetrics(configuration.gateway.processes)
        log = configuration.log
        self._events = LoggedEvents(form=log.format, level=log.level, observers=(self._own,))
        self._workers = WorkerProcesses(configuration, self._events)
        self._reload_turn = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()  # a task that nobody holds may be lost
        address = configuration.metrics.address
        self._status = StatusServer(
            address.host,
            address.port,
            ready=self._reasons,
            metrics=self._metrics,
            shadow=configuration.gateway.shadow,
        )

    async def run(self) -> None:
        """Keep the workers running until SIGTERM or SIGINT, then drain them.

        Raises:
            ConfigurationError: A port is taken.
            WorkersError: They do not start, or one says that none of them may run.
        """
        began = time.monotonic()
        self._events.emit(
            "gateway.started",
            version=__version__,
            hostname=str(self._configuration.gateway.hostname),
            listeners=tuple(self._configuration.listener),
        )
        await self._open()
        self._handle_signals()
        beating = asyncio.create_task(self._beat())
        keeping = [asyncio.create_task(self._workers.keep_all(partial(self._begun, began)))]
        try:
            await self._workers.stopping.wait()
        finally:
            await self._drain(keeping)
            beating.cancel()
            await self._status.stop()
            self._events.emit("gateway.stopped", reason=self._workers.stop_reason)
        if self._workers.failure is not None:
            raise self._workers.failure

    # --- start -----------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Take the status port; the listeners' are the workers', but nobody else may have them."""
        problems = []
        for name, listener in self._configuration.listener.items():
            trouble = await check_free(listener.address.host, listener.address.port)
            if trouble:
                problems.append((f"listener.{name}.address", trouble))
        try:
            await self._status.start()
        except OSError as exc:
            problems.append(("metrics.address", exc.strerror or str(exc)))
        if problems:
            await self._status.stop()
            raise ConfigurationError(
                tuple(
                    Problem(
                        file="configuration",
                        line=None,
                        key=key,
                        message=f"cannot be listened on: {text}; ss -ltnp shows who has it",
                    )
                    for key, text in problems
                )
            )

    def _begun(self, began: float) -> None:
        listeners = self._configuration.listener.items()
        self._events.emit(
            "gateway.ready",
            listeners=tuple(f"{n}={e.address.host}:{e.address.port}" for n, e in listeners),
            seconds=time.monotonic() - began,
        )
        self._overseer.ready(self._condition())

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_by, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _stop_by(self, number: signal.Signals) -> None:
        if self._workers.stopping.is_set():
            self._workers.end_at_once()
        else:
            self.stop(number.name)

    def stop(self, reason: str) -> None:
        """Begin to drain."""
        self._workers.stop(reason)

    # --- while they run --------------------------------------------------------------------------

    def reload(self) -> None:
        """Let every worker read policy and trust again."""
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        async with self._reload_turn:
            self._overseer.reloading()
            await self._workers.reload()
            self._overseer.reloaded(self._condition())

    async def _beat(self) -> None:
        told = False
        while True:
            if self._overseer.every_seconds:
                self._overseer.beat(self._condition())
            policies = {policy for policy in self._workers.policies if policy}
            if len(policies) > 1 and not told:
                text = "workers have different policies; reload, so that all have the newest"
                self._events.emit("worker.differs", text=text)
            told = len(policies) > 1
            await asyncio.sleep(self._overseer.every_seconds or 1.0)

    def _condition(self) -> Condition:
        policies = self._workers.policies
        return Condition(
            reasons=tuple(self._reasons()),
            policy=policies[0] if policies else "",
            metrics=self._metrics,
        )

    def _reasons(self) -> list[str]:
        if self._workers.stopping.is_set():
            return ["draining"]
        ready = self._workers.ready
        if not self._workers.complete or not ready:
            return ["starting"]
        return sorted({reason for child in ready for reason in child.last.reasons})

    def _metrics(self) -> bytes:
        running = len(self._workers.ready)
        own = self._own.exposition(ready=not self._reasons(), running=running)
        return (own + summed(self._workers.metrics, without=["smimegw_ready"])).encode()

    # --- the end ---------------------------------------------------------------------------------

    async def _drain(self, keeping: list[asyncio.Task[None]]) -> None:
        """Let every worker finish; end those that do not."""
        self._events.emit("gateway.draining", reason=self._workers.stop_reason)
        self._overseer.stopping()
        self._workers.say("stop")
        seconds = self._configuration.limits.drain_seconds + _LAST_SECONDS
        _, left = await asyncio.wait(keeping, timeout=seconds)
        if left:
            self._workers.kill()
            await asyncio.wait(left)
