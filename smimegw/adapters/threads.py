"""A few threads that belong to one part of the gateway and do for it what may block.

As `ThreadPoolExecutor` does it, but a result comes back without a lock and a second future: for
what takes microseconds that was most of the work, and each message asks several times.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Tell = Callable[["asyncio.Future[Any]", object, BaseException | None], None]
_Job = tuple[asyncio.AbstractEventLoop, _Tell, "asyncio.Future[Any]", Callable[[], Any]]
_Jobs = SimpleQueue[_Job | None]


class Threads:
    """Up to *most* threads, made when first needed; all of it is used from one event loop."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: _Jobs = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in one of the threads; raises what it raises.

        A cancelled caller does not stop the function; its result is dropped.

        Raises:
            RuntimeError: The threads were told to end.
        """
        return await self._begun(function, *args, **kwargs)

    async def run_within(
        self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, waiting no longer than *seconds*.

        Raises:
            RuntimeError: As `run`.
            TimeoutError: It took longer; the function goes on.
        """
        answer = self._begun(function, *args, **kwargs)
        timer = answer.get_loop().call_later(seconds, _give_up, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def _begun(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        if self._closed:
            raise RuntimeError(f"the threads {self._name} have ended")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if self._under_way >= len(self._threads) < self._most:
            self._start()
        self._under_way += 1
        self._jobs.put((loop, self._tell, answer, lambda: function(*args, **kwargs)))
        return answer

    def end(self) -> None:
        """Take no more work, drop what has not begun; who waits for that is told so."""
        self._closed = True
        with contextlib.suppress(Exception):
            while (job := self._jobs.get_nowait()) is not None:
                job[2].cancel()
        self._dismiss()

    def join(self) -> None:
        """Wait for what is under way, which blocks; only after `end`."""
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        # Daemons: a disk or server that never answers must not keep the process.
        number = len(self._threads)
        name = f"{self._name}_{number}"
        thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _dismiss(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)

    def __del__(self) -> None:
        self._dismiss()

    def _tell(
        self, answer: asyncio.Future[Any], result: object, trouble: BaseException | None
    ) -> None:
        self._under_way -= 1
        if answer.done():  # whoever waited has gone
            return
        if trouble is None:
            answer.set_result(result)
        else:
            answer.set_exception(trouble)


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        loop, tell, answer, function = job
        result: Any = None
        trouble: BaseException | None = None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 – theirs who wait
            trouble = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, answer, result, trouble)
        del job, tell, answer, function, result, trouble  # nothing is kept while waiting
