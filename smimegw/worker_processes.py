"""Keeps the worker processes running: each is started again when it died or hung, until the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.logs.sums import counted, summed
from smimegw.adapters.process.channel import Order, Report
from smimegw.adapters.process.child import Child, End
from smimegw.config.model import Configuration
from smimegw.errors import WorkersError

_WORKER = "smimegw.cli.worker"
_FIRST_PAUSE_SECONDS = 0.5  # before a worker that died is started again; doubled each time
_LONGEST_PAUSE_SECONDS = 60.0
_STABLE_SECONDS = 60.0  # who ran so long has not died of its start
_RELOAD_SECONDS = 30.0


class WorkerProcesses:
    """The workers of one supervisor.

    Args:
        configuration: What every worker runs.
        events: Told how they end.

    Attributes:
        stopping: Set at the end: nobody is started any more.
        stop_reason: Why, for the log.
        complete: Every worker was ready once.
        failure: They do not start, or one said that none of them may run.
    """

    def __init__(self, configuration: Configuration, events: LoggedEvents) -> None:
        self.stopping = asyncio.Event()
        self.stop_reason = ""
        self.complete = False
        self.failure: WorkersError | None = None
        self._configuration = configuration
        self._limits = configuration.limits
        self._events = events
        self._children: dict[int, Child] = {}
        self._news = asyncio.Event()
        self._at_once = False
        self._dead = ""  # counters of workers that have ended

    @property
    def ready(self) -> Sequence[Child]:
        """Those that let clients in."""
        return [child for child in self._children.values() if child.ready.is_set()]

    @property
    def policies(self) -> Sequence[str]:
        """The digest of the policy of each; empty of one that has none yet."""
        return [child.last.policy for child in self._children.values()]

    @property
    def metrics(self) -> Sequence[str]:
        """What each of them counts, and what those that have ended counted together."""
        return [*(child.last.metrics for child in self._children.values()), self._dead]

    async def keep_all(self, begun: Callable[[], None]) -> None:
        """Keep them running until the end, and call *begun* when all let clients in.

        The first worker alone – it makes tables and finds mistakes –, then the others.  All of them
        load their modules meanwhile.
        """
        numbers = range(1, self._configuration.gateway.processes + 1)
        keeping = [asyncio.create_task(self._keep(number)) for number in numbers]
        await self._until(lambda: all(self._is_ready(number) for number in numbers))
        if not self.stopping.is_set():
            self.complete = True
            begun()
        await asyncio.gather(*keeping)

    def stop(self, reason: str) -> None:
        """Start nobody any more; those that run are told by `say`."""
        self.stop_reason = self.stop_reason or reason
        self.stopping.set()
        self._news.set()

    def say(self, word: str) -> None:
        """Give every worker a word: ``stop`` or ``reload``."""
        for child in self._children.values():
            child.say(word)

    def kill(self) -> None:
        """End every worker without warning."""
        for child in self._children.values():
            child.kill()

    def end_at_once(self) -> None:
        """End every worker without warning, and take no exit code amiss."""
        self._at_once = True
        self.kill()

    async def reload(self) -> None:
        """Let every worker read policy and trust again; return when all have, or do not answer."""
        before = {child: child.reloads for child in self._children.values()}
        self.say("reload")

        def is_done() -> bool:
            running = self._children.values()
            return not any(c in running and c.reloads == n for c, n in before.items())

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELOAD_SECONDS):
                await self._until(is_done)

    def _is_ready(self, number: int) -> bool:
        child = self._children.get(number)
        return child is not None and child.ready.is_set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Return when that holds, or at the end; asked again whenever a worker says a word."""
        while not (self.stopping.is_set() or holds()):
            self._news.clear()
            await self._news.wait()

    def _reported(self, _: Report) -> None:
        """A word from a worker; its condition is in `Child.last`."""
        self._news.set()

    # --- one worker ------------------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        """Keep worker *number* running until the end."""
        failures, pause = 0, _FIRST_PAUSE_SECONDS
        while not self.stopping.is_set():
            began = time.monotonic()
            end, was_ready = await self._run(number)
            if self.stopping.is_set() and (end.code == 0 or self._at_once):
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
                again_in="" if hopeless or self.stopping.is_set() else f"{pause:g}",
            )
            if hopeless:
                self.failure = self.failure or WorkersError(end.text, code=end.code)
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
            await self._until(lambda: self.complete or self._is_ready(1))
        if self.stopping.is_set():
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
        if self.ready and self.complete:
            return False
        return end.code == 2 or failures >= self._limits.worker_starts

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
