"""Runs several gateway processes that share the ports, and replaces one that dies or hangs.

The supervisor takes no mail, so that nothing a stranger sends can hurt it.  It has the status
port, and it is the one that systemd and the administrator know: SIGHUP reloads all workers,
SIGTERM drains them, a second SIGTERM ends them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from smimegw import __version__
from smimegw.adapters.http.status import StatusServer
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.logs.sums import counted, summed
from smimegw.adapters.logs.supervision import SupervisionMetrics
from smimegw.adapters.process.channel import Order, Report
from smimegw.adapters.process.child import Child, End
from smimegw.adapters.process.ports import check_free
from smimegw.config.model import Configuration
from smimegw.errors import ConfigurationError, Problem, WorkersError
from smimegw.oversight import Condition, Overseer

_WORKER = "smimegw.cli.worker"
_FIRST_PAUSE_SECONDS = 0.5  # before a worker that died is started again; doubled each time
_LONGEST_PAUSE_SECONDS = 60.0
_STABLE_SECONDS = 60.0  # who ran so long has not died of its start
_RELOAD_SECONDS = 30.0
_LAST_SECONDS = 10.0  # beyond the time to drain


class Supervisor:
    """The process above the workers.

    Args:
        configuration: What every worker runs.
        overseer: Who started us.
    """

    def __init__(self, configuration: Configuration, *, overseer: Overseer) -> None:
        self._configuration = configuration
        self._limits = configuration.limits
        self._overseer = overseer
        self._count = configuration.gateway.processes
        self._own = SupervisionMetrics(self._count)
        log = configuration.log
        self._events = LoggedEvents(form=log.format, level=log.level, observers=(self._own,))
        self._children: dict[int, Child] = {}
        self._complete = False  # every worker was ready once
        self._stop = asyncio.Event()
        self._news = asyncio.Event()
        self._stop_reason = ""
        self._at_once = False
        self._failure: WorkersError | None = None
        self._dead = ""  # counters of workers that have ended
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
        keeping = [asyncio.create_task(self._keep_all(began))]
        try:
            await self._stop.wait()
        finally:
            await self._drain(keeping)
            beating.cancel()
            await self._status.stop()
            self._events.emit("gateway.stopped", reason=self._stop_reason)
        if self._failure is not None:
            raise self._failure

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

    async def _keep_all(self, began: float) -> None:
        """The first worker alone – it makes tables and finds mistakes –, then the others.

        All of them load their modules meanwhile.
        """
        numbers = range(1, self._count + 1)
        keeping = [asyncio.create_task(self._keep(number)) for number in numbers]
        await self._until(lambda: all(self._is_ready(number) for number in numbers))
        if not self._stop.is_set():
            self._complete = True
            listeners = self._configuration.listener.items()
            self._events.emit(
                "gateway.ready",
                listeners=tuple(f"{n}={e.address.host}:{e.address.port}" for n, e in listeners),
                seconds=time.monotonic() - began,
            )
            self._overseer.ready(self._condition())
        await asyncio.gather(*keeping)

    def _is_ready(self, number: int) -> bool:
        child = self._children.get(number)
        return child is not None and child.ready.is_set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Return when that holds, or at the end; asked again whenever a worker says a word."""
        while not (self._stop.is_set() or holds()):
            self._news.clear()
            await self._news.wait()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_by, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _stop_by(self, number: signal.Signals) -> None:
        if not self._stop.is_set():
            self.stop(number.name)
            return
        self._at_once = True
        for child in self._children.values():
            child.kill()

    def stop(self, reason: str) -> None:
        """Begin to drain."""
        self._stop_reason = self._stop_reason or reason
        self._stop.set()
        self._news.set()

    # --- one worker ------------------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        """Keep worker *number* running until the end."""
        failures, pause = 0, _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            began = time.monotonic()
            end, was_ready = await self._run(number)
            if self._stop.is_set() and (end.code == 0 or self._at_once):
                return
            failures = 0 if was_ready else failures + 1
            if was_ready and time.monotonic() - began > _STABLE_SECONDS:
                # In peace: somebody asked this one to end.
                pause = _FIRST_PAUSE_SECONDS if end.code else 0.0
            hopeless = self._is_hopeless(end, failures, was_ready)
            self._events.emit(
                "worker.ended",
                worker=number,
                process=end.pid,
                reason=end.reason,
                text=end.text,
                again_in="" if hopeless or self._stop.is_set() else f"{pause:g}",
            )
            if hopeless:
                self._failure = self._failure or WorkersError(end.text, code=end.code)
                self.stop("workers")
            await self._pause(pause)
            pause = min(max(2 * pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)

    async def _run(self, number: int) -> tuple[End, bool]:
        """One life of a worker; how it ended, and whether it ever let clients in."""
        try:
            child = await Child.start(_WORKER, self._limits)
        except OSError as exc:
            text = f"cannot be started: {exc.strerror or exc}"
            return End(reason="exit", text=text, code=1, pid=0), False
        self._children[number] = child
        if number > 1:
            await self._until(lambda: self._complete or self._is_ready(1))
        if self._stop.is_set():
            child.kill()
        else:
            child.begin(Order(worker=number, configuration=self._configuration))
        try:
            end = await child.watch(self._reported)
        except Exception as exc:  # noqa: BLE001 – a worker more or less, but never none unseen
            self._events.emit("internal.error", error=exc)
            end = End(reason="exit", text="lost by the supervisor", code=1, pid=child.pid)
        finally:
            child.kill()
            del self._children[number]
            self._news.set()
        self._dead = summed([self._dead, counted(child.last.metrics)])
        if not child.has_begun:  # it was told to end before it could do anything
            end = replace(end, code=0)
        return end, child.ready.is_set()

    def _is_hopeless(self, end: End, failures: int, was_ready: bool) -> bool:
        """Whether another try would change nothing, and nobody else takes mail meanwhile."""
        if was_ready:
            return end.code == 4  # the disk lies (C27): that is everybody's disk
        if any(child.ready.is_set() for child in self._children.values()) and self._complete:
            return False
        return end.code == 2 or failures >= self._limits.worker_starts

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    # --- while they run --------------------------------------------------------------------------

    def _reported(self, _: Report) -> None:
        """A word from a worker; its condition is in `Child.last`."""
        self._news.set()

    def reload(self) -> None:
        """Let every worker read policy and trust again."""
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        async with self._reload_turn:
            self._overseer.reloading()
            before = {child: child.reloads for child in self._children.values()}
            for child in before:
                child.say("reload")

            def is_done() -> bool:
                running = self._children.values()
                return not any(c in running and c.reloads == n for c, n in before.items())

            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RELOAD_SECONDS):
                    await self._until(is_done)
            self._overseer.reloaded(self._condition())

    async def _beat(self) -> None:
        told = False
        while True:
            if self._overseer.every_seconds:
                self._overseer.beat(self._condition())
            policies = {child.last.policy for child in self._children.values() if child.last.policy}
            if len(policies) > 1 and not told:
                text = "workers have different policies; reload, so that all have the newest"
                self._events.emit("worker.differs", text=text)
            told = len(policies) > 1
            await asyncio.sleep(self._overseer.every_seconds or 1.0)

    def _condition(self) -> Condition:
        policies = [child.last.policy for child in self._children.values()]
        return Condition(
            reasons=tuple(self._reasons()),
            policy=policies[0] if policies else "",
            metrics=self._metrics,
        )

    def _reasons(self) -> list[str]:
        if self._stop.is_set():
            return ["draining"]
        ready = [child for child in self._children.values() if child.ready.is_set()]
        if not self._complete or not ready:
            return ["starting"]
        return sorted({reason for child in ready for reason in child.last.reasons})

    def _metrics(self) -> bytes:
        running = sum(child.ready.is_set() for child in self._children.values())
        own = self._own.exposition(ready=not self._reasons(), running=running)
        theirs = [child.last.metrics for child in self._children.values()]
        return (own + summed([*theirs, self._dead], without=["smimegw_ready"])).encode()

    # --- the end ---------------------------------------------------------------------------------

    async def _drain(self, keeping: list[asyncio.Task[None]]) -> None:
        """Let every worker finish; end those that do not."""
        self._events.emit("gateway.draining", reason=self._stop_reason)
        self._overseer.stopping()
        for child in self._children.values():
            child.say("stop")
        _, left = await asyncio.wait(keeping, timeout=self._limits.drain_seconds + _LAST_SECONDS)
        if left:
            for child in self._children.values():
                child.kill()
            await asyncio.wait(left)
