"""Threads of one part."""

from __future__ import annotations

import asyncio
import threading

import pytest

from smimegw.adapters.threads import Threads


def test_what_a_function_returns_comes_back() -> None:
    """The function runs in a thread of that part."""

    async def run() -> tuple[int, str]:
        threads = Threads(1, "part")
        try:
            named = await threads.run(lambda: threading.current_thread().name)
            return await threads.run(max, 1, 2), named
        finally:
            threads.end()

    assert asyncio.run(run()) == (2, "part_0")


def test_what_a_function_raises_is_raised_to_who_waits() -> None:
    """A failure ends neither the thread nor the loop."""

    async def run() -> int:
        threads = Threads(1, "part")
        try:
            with pytest.raises(ZeroDivisionError):
                await threads.run(divmod, 1, 0)
            return await threads.run(int, "7")
        finally:
            threads.end()

    assert asyncio.run(run()) == 7


def test_no_more_than_allowed_work_at_the_same_time() -> None:
    """A third one waits for a thread."""

    async def run() -> tuple[int, bool]:
        threads, held, begun = Threads(2, "part"), threading.Event(), threading.Semaphore(0)

        def hold() -> None:
            begun.release()
            held.wait()

        waiting = [asyncio.ensure_future(threads.run(hold)) for _ in range(3)]
        await asyncio.to_thread(lambda: (begun.acquire(), begun.acquire()))
        third = begun.acquire(blocking=False)
        held.set()
        await asyncio.gather(*waiting)
        threads.end()
        threads.join()
        return len(waiting), third

    assert asyncio.run(run()) == (3, False)


def test_a_cancelled_caller_does_not_stop_the_function() -> None:
    """Its result is dropped and the thread goes on."""

    async def run() -> int:
        threads, held, begun = Threads(1, "part"), threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            held.wait()

        waiting = asyncio.ensure_future(threads.run(hold))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.set()
        result = await threads.run(int, "7")
        threads.end()
        return result

    assert asyncio.run(run()) == 7


def test_who_waits_for_what_has_not_begun_is_told_of_the_end() -> None:
    """Ending drops it; nobody waits for ever."""

    async def run() -> None:
        threads, held, begun = Threads(1, "part"), threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            held.wait()

        first = asyncio.ensure_future(threads.run(hold))
        await asyncio.to_thread(begun.wait)
        second = asyncio.ensure_future(threads.run(int))
        await asyncio.sleep(0)
        threads.end()
        with pytest.raises(asyncio.CancelledError):
            await second
        held.set()
        await first
        with pytest.raises(RuntimeError):
            await threads.run(int)
        await asyncio.to_thread(threads.join)

    asyncio.run(run())


def test_threads_that_nobody_holds_any_more_end() -> None:
    """A keystore that is exchanged takes its threads along."""

    async def run() -> threading.Thread:
        return await Threads(1, "part").run(threading.current_thread)

    thread = asyncio.run(run())
    thread.join()
    assert not thread.is_alive()


def test_waiting_ends_when_the_function_takes_too_long() -> None:
    """The thread goes on with it, and can be used again."""

    async def run() -> int:
        threads, held = Threads(1, "part"), threading.Event()
        with pytest.raises(TimeoutError):
            await threads.run_within(0, held.wait)
        held.set()
        return await threads.run_within(60, int, "7")

    assert asyncio.run(run()) == 7
