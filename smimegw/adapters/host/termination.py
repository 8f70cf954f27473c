"""Lets a command that SIGTERM ends tidy up behind it: temporary files go, then it exits."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from types import FrameType

_TERMINATED = 128 + signal.SIGTERM


@contextlib.contextmanager
def ended_cleanly(arguments: Sequence[str], *, services: Collection[str]) -> Iterator[None]:
    """Turn SIGTERM into the end of the program, with 143, while a command runs.

    A second one ends it at once.

    Args:
        arguments: The command and its own.
        services: Commands that have a way of their own to end.
    """
    is_service = any(name in services for name in arguments[:1])
    if is_service or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 – what signal calls
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise SystemExit(_TERMINATED)
