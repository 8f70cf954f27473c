"""Runs pure functions in a few threads, off the event loop.

Signing, encrypting and parsing take longer than a millisecond and `cryptography` releases the GIL
while it works, so threads are enough; processes would need every value copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadWorkers:
    """Implements `ports.Workers` with *threads* threads."""

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError("at least one worker thread is needed")
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="smimegw-worker")
        # A caller that is cancelled lets go of its future while the thread goes on; without a
        # reference here its work could be collected half-way and close() could not wait for it.
        self._running: set[Future[Any]] = set()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a worker thread and return what it returns.

        The caller's context variables are visible inside, so log lines keep their transaction id.
        A cancelled caller does not stop the function; its result is dropped.

        Raises:
            RuntimeError: The workers were closed.
        """
        context = copy_context()
        future: Future[T] = self._executor.submit(lambda: context.run(function, *args, **kwargs))
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(future)

    @property
    def busy(self) -> int:
        """How many functions run or wait for a thread."""
        return len(self._running)

    async def close(self) -> None:
        """Take no more work, drop what has not begun, wait for what runs; may be called twice."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
