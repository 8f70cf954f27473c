"""A deadline for work that blocks in a thread, with a way to wake it from outside."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import ldap3


class Attempt:
    """The time for one question to one server."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._connection: ldap3.Connection | None = None
        self.aborted = False

    def remaining(self) -> float:
        """Seconds left; never 0, because a socket would take that for "do not wait"."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """The time is up or somebody gave up waiting."""
        return self.aborted or time.monotonic() >= self._end

    def watch(self, connection: ldap3.Connection) -> None:
        """Let `abort` cut *connection*."""
        with self._lock:
            self._connection = connection

    def release(self) -> None:
        """Keep `abort` away from the connection: the next question may be using it already."""
        with self._lock:
            self._connection = None

    def abort(self) -> None:
        """Wake the blocked thread by shutting its socket down; safe from any thread."""
        with self._lock:
            self.aborted = True
            raw = self._connection.socket if self._connection else None
            if isinstance(raw, socket.socket):
                # Not connected yet or closed already: nothing to wake.  And not
                # SSLSocket.shutdown, which takes the TLS state away under the reading thread.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(raw, socket.SHUT_RDWR)
