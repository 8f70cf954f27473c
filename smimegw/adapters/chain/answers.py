"""Remembers a directory's answers: for a while, and longer when the directory is down (R-06)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from smimegw.errors import DirectoryError

T = TypeVar("T")

_RETRY_SECONDS = 5.0  # after a failure, before the next mail waits for the directory again


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheTimes:
    """How long answers live.

    Attributes:
        found_seconds: An answer with values is used without asking again.
        absent_seconds: The same for "no entry".
        stale_seconds: An answer with values is used when the directory cannot answer; "no entry"
            never is, because not knowing is not the same.
        entries: How many answers are kept; the longest unused goes first.
    """

    found_seconds: float = 3600.0
    absent_seconds: float = 300.0
    stale_seconds: float = 86_400.0
    entries: int = 20_000


DEFAULT_TIMES = CacheTimes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """What the directory said, how long ago, and whether it should have been asked again."""

    values: tuple[T, ...]
    age_seconds: float = 0.0
    stale: bool = False


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    values: tuple[T, ...]
    at: float
    expired: bool = False


class AnswerCache(Generic[T]):
    """Answers by key; questions for one key that come together are asked once."""

    def __init__(
        self, times: CacheTimes = DEFAULT_TIMES, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._times = times
        self._seconds = seconds
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[tuple[T, ...]]] = {}
        self._failed_at = float("-inf")
        self._forgotten = 0  # how often something was dropped: what was asked before is not kept

    async def answer(self, key: str, ask: Callable[[], Awaitable[tuple[T, ...]]]) -> Answer[T]:
        """Return the answer for *key*, from *ask* unless a kept one will do.

        Raises:
            DirectoryError: *ask* raised it and nothing kept may stand in.
        """
        kept = self._kept.get(key)
        if kept and self._is_fresh(kept):
            self._kept.move_to_end(key)
            return self._from(kept)
        fallback = kept if kept and self._may_stand_in(kept) else None
        if fallback and self._seconds() - self._failed_at < _RETRY_SECONDS:
            return self._from(fallback, stale=True)
        try:
            return Answer(values=await self._ask_once(key, ask))
        except DirectoryError:
            # What we have may have grown too old, or been forgotten, while we asked.
            if fallback and self._still_has(key, fallback) and self._may_stand_in(fallback):
                return self._from(fallback, stale=True)
            raise

    def forget(self, key: str | None = None) -> None:
        """Drop one answer, or all; also those that are on their way."""
        self._leave_alone_what_is_asked()
        if key is None:
            self._kept.clear()
        else:
            self._kept.pop(key, None)

    def expire(self, key: str | None = None) -> None:
        """Ask again next time for one answer, or all.

        What was found may still stand in for a directory that is down (R-06), for as long as
        before.
        """
        self._leave_alone_what_is_asked()
        for each in tuple(self._kept) if key is None else (key,):
            kept = self._kept.get(each)
            if kept is not None:
                self._kept[each] = replace(kept, expired=True)

    def _leave_alone_what_is_asked(self) -> None:
        self._forgotten += 1
        self._asking.clear()

    async def _ask_once(
        self, key: str, ask: Callable[[], Awaitable[tuple[T, ...]]]
    ) -> tuple[T, ...]:
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        # One caller that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, key: str, ask: Callable[[], Awaitable[tuple[T, ...]]]) -> tuple[T, ...]:
        forgotten = self._forgotten
        try:
            values = await ask()
        except DirectoryError:
            self._failed_at = self._seconds()
            raise
        if forgotten == self._forgotten:
            self._kept[key] = _Kept(values, self._seconds())
            self._kept.move_to_end(key)
            while len(self._kept) > self._times.entries:
                self._kept.popitem(last=False)
        return values

    def _asked(self, key: str, task: asyncio.Task[tuple[T, ...]]) -> None:
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is warned when all callers gave up

    def _is_fresh(self, kept: _Kept[T]) -> bool:
        if kept.expired:
            return False
        age = self._seconds() - kept.at
        if kept.values:
            return age < self._times.found_seconds
        # The directory failed after it said "no entry": who knows what it would say now.
        return age < self._times.absent_seconds and kept.at > self._failed_at

    def _still_has(self, key: str, answer: _Kept[T]) -> bool:
        kept = self._kept.get(key)
        return kept is not None and kept.at == answer.at

    def _may_stand_in(self, kept: _Kept[T]) -> bool:
        return bool(kept.values) and self._seconds() - kept.at <= self._times.stale_seconds

    def _from(self, kept: _Kept[T], *, stale: bool = False) -> Answer[T]:
        return Answer(values=kept.values, age_seconds=self._seconds() - kept.at, stale=stale)
