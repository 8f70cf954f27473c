"""Says when no more mail should be taken: too many from one peer, or an event loop that lags."""

from __future__ import annotations

import asyncio
from collections import Counter

from smimegw.limits import Limits
from smimegw.ports import Events

_WINDOW_SECONDS = 60.0
_TICK_SECONDS = 0.1


class PerMinute:
    """Counts per peer in windows of a minute, so that memory is bounded by one minute's peers."""

    def __init__(self, most: int) -> None:
        """Prepare; *most* 0 is no limit."""
        self._most = most
        self._since = 0.0
        self._counts: Counter[str] = Counter()

    def allows(self, peer: str, now: float) -> bool:
        """Count one more of *peer* at loop time *now*; False when that is too many."""
        if not self._most:
            return True
        if now - self._since >= _WINDOW_SECONDS:
            self._since = now
            self._counts.clear()
        self._counts[peer] += 1
        return self._counts[peer] <= self._most


class LoopLag:
    """Watches how late the event loop is; one that lags for seconds serves nobody well (O11).

    Attributes:
        overloaded: It has lagged for `overload_seconds`, and not yet been well for as long.
    """

    def __init__(self, limits: Limits, events: Events) -> None:
        self.overloaded = False
        self._limits = limits
        self._events = events
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._expected = 0.0
        self._changed_at = 0.0  # when what we see began to differ from what we say

    @property
    def trouble(self) -> str:
        """Why a balancer should send mail elsewhere; empty when all is well."""
        return "the event loop lags, new mail gets 451 4.4.5" if self.overloaded else ""

    def start(self) -> None:
        """Watch, until `stop` was called as often."""
        self._users += 1
        if self._timer is None:
            self._changed_at = asyncio.get_running_loop().time()
            self._schedule()

    def stop(self) -> None:
        """Watch no more when nobody else needs it."""
        self._users -= 1
        if not self._users and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._expected = loop.time() + _TICK_SECONDS
        self._timer = loop.call_at(self._expected, self._tick)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        self.see(now - self._expected, now)
        self._schedule()

    def see(self, lag: float, now: float) -> None:
        """Judge one measurement."""
        if (lag > self._limits.loop_lag_seconds) is self.overloaded:
            self._changed_at = now
        elif now - self._changed_at >= self._limits.overload_seconds:
            self.overloaded = not self.overloaded
            self._changed_at = now
            if self.overloaded:
                text = "the event loop lags; new mail gets 451 4.4.5 until it does not"
                self._events.emit("gateway.overloaded", seconds=lag, text=text)
            else:
                self._events.emit("gateway.relieved")
