"""The worker threads: results, errors, context, cancellation and closing."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from smimegw.adapters.pool.worker import ThreadWorkers

TRANSACTION: ContextVar[str] = ContextVar("TRANSACTION", default="none")


def test_result_and_arguments() -> None:
    """The function gets its arguments and its result comes back, from another thread."""

    async def scenario() -> None:
        workers = ThreadWorkers(2)
        here = threading.get_ident()
        there, total = await workers.run(lambda a, *, b: (threading.get_ident(), a + b), 1, b=2)
        assert (there != here, total) == (True, 3)
        await workers.close()

    asyncio.run(scenario())


def test_error_comes_back() -> None:
    """What the function raises, the caller gets."""

    async def scenario() -> None:
        workers = ThreadWorkers(1)
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
        await workers.close()

    asyncio.run(scenario())


def test_context_variables_are_visible() -> None:
    """Log lines from a worker keep the transaction's id."""

    async def scenario() -> None:
        workers = ThreadWorkers(1)
        TRANSACTION.set("4ZkRjG3vXpz2T8")
        assert await workers.run(TRANSACTION.get) == "4ZkRjG3vXpz2T8"
        await workers.close()

    asyncio.run(scenario())


def test_cancelled_caller_leaves_its_work_to_the_end() -> None:
    """Work goes on, is counted, and close waits for it."""

    async def scenario() -> None:
        workers = ThreadWorkers(1)
        started, may_end = threading.Event(), threading.Event()
        ended: list[bool] = []

        def work() -> None:
            started.set()
            may_end.wait()
            ended.append(True)

        task = asyncio.create_task(workers.run(work))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert workers.busy == 1
        may_end.set()
        await workers.close()
        assert ended == [True]

    asyncio.run(scenario())


def test_closed_workers_take_no_work() -> None:
    """After close, and close may be called twice."""

    async def scenario() -> None:
        workers = ThreadWorkers(1)
        await workers.close()
        await workers.close()
        with pytest.raises(RuntimeError):
            await workers.run(len, "")

    asyncio.run(scenario())


def test_no_thread_is_no_pool() -> None:
    """A wrong number is refused where it is written."""
    with pytest.raises(ValueError, match="at least one"):
        ThreadWorkers(0)
