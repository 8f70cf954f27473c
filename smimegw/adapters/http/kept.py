"""Remembers what was fetched, and that fetching failed, within a number of octets.

A good answer outlives its time: when its server is down it is still the last word that we have, and
whoever judges it knows how old it may be (R-05).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_FAILED = timedelta(seconds=60)  # before a server is tried again, doubled for each failure
_FAILED_LONGEST = timedelta(minutes=5)
_ENTRIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One remembered answer.

    Attributes:
        content: The last good one; None when there never was one.
        since: When it was asked for last.
        ask_again: When it has to be asked for again.
        failures: How often that failed since.
    """

    content: bytes | None = field(repr=False)
    since: datetime
    ask_again: datetime
    failures: int = 0

    def is_due(self, now: datetime) -> bool:
        """Whether to ask again; what is from the future is: somebody has set the clock back."""
        return not self.since <= now < self.ask_again


class KeptAnswers:
    """Answers by key; the longest unused go first when *octets* are used up."""

    def __init__(self, octets: int) -> None:
        self._left = octets
        self._kept: OrderedDict[tuple[str, ...], Kept] = OrderedDict()

    def find(self, key: tuple[str, ...]) -> Kept | None:
        """What is remembered, however old."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def keep(
        self, key: tuple[str, ...], content: bytes, ask_again: datetime, *, now: datetime
    ) -> None:
        """Remember a good answer."""
        self._put(key, Kept(content=content, since=now, ask_again=ask_again))

    def fail(self, key: tuple[str, ...], now: datetime) -> None:
        """Remember that there was none; an earlier good one stays."""
        old = self._kept.get(key)
        failures = old.failures if old else 0
        pause = min(_FAILED * 2 ** min(failures, 8), _FAILED_LONGEST)
        content = old.content if old else None
        kept = Kept(content=content, since=now, ask_again=now + pause, failures=failures + 1)
        self._put(key, kept)

    def __len__(self) -> int:
        return len(self._kept)

    def _put(self, key: tuple[str, ...], kept: Kept) -> None:
        self._drop(key)
        self._kept[key] = kept
        self._left -= len(kept.content or b"")
        while len(self._kept) > 1 and (self._left < 0 or len(self._kept) > _ENTRIES):
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, ...]) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._left += len(old.content or b"")
