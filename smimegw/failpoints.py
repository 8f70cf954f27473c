"""Named points at which a test may kill, break or hang the process; without the variable, nothing.

``SMIMEGW_FAILPOINTS="dots.after-answer=kill"`` names one or more points separated by spaces, with
an action each: ``kill``, ``raise``, ``hang``, ``enospc``, ``eio`` or ``nomem``, and ``@2`` behind
it for the second time the point is reached.  ``SMIMEGW_FAILPOINTS_SEEN`` names a file that lists
every point that was reached.  Production never sets them; what they cost is one comparison.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter

_ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}


class FailpointError(RuntimeError):
    """Raised at a point that was told to ``raise``."""


class _Plan:
    """What to do where."""

    def __init__(self, text: str, seen: str) -> None:
        self._actions: dict[str, tuple[str, int]] = {}
        for word in text.split():
            name, _, action = word.partition("=")
            verb, _, turn = action.partition("@")
            self._actions[name] = (verb, int(turn or 1))
        self._counts: Counter[str] = Counter()
        self._seen = os.open(seen, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if seen else -1

    def reach(self, name: str) -> None:
        self._counts[name] += 1
        if self._seen >= 0:
            os.write(self._seen, f"{name}\n".encode())
        verb, turn = self._actions.get(name, ("", 0))
        if verb and self._counts[name] == turn:
            _act(name, verb)


def _act(name: str, verb: str) -> None:
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "hang":
        time.sleep(3600)  # as a process does that waits for a disk that never answers
    elif verb in _ERRORS:
        raise OSError(_ERRORS[verb], os.strerror(_ERRORS[verb]))
    elif verb == "nomem":
        raise MemoryError
    raise FailpointError(name)


def _from_environment() -> _Plan | None:
    text = os.environ.get("SMIMEGW_FAILPOINTS", "")
    seen = os.environ.get("SMIMEGW_FAILPOINTS_SEEN", "")
    return _Plan(text, seen) if text or seen else None


_plan = _from_environment()


def reach(name: str) -> None:
    """Pass the point *name*; returns unless a test wants otherwise."""
    if _plan is not None:
        _plan.reach(name)


def arm(text: str, seen: str = "") -> None:
    """Take *text* for what the environment would have said: for a process that was forked."""
    global _plan
    _plan = _Plan(text, seen) if text or seen else None
