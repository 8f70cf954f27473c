"""Tells systemd how the process is: the protocol of sd_notify(3), without its library."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

from smimegw.oversight import Condition

_STATUS_SECONDS = 5.0  # without a watchdog: how often the line of `systemctl status` is renewed


class SystemdOverseer:
    """Implements `Overseer` with datagrams to ``NOTIFY_SOCKET``; without the variable, nothing.

    Args:
        environ: The environment that systemd made.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_seconds = _watchdog_seconds(environ)
        self._status = ""

    @property
    def every_seconds(self) -> float:
        """Half of what systemd's watchdog waits for (sd_watchdog_enabled(3))."""
        if not self._address:
            return 0.0
        return self._watchdog_seconds / 2 or _STATUS_SECONDS

    def ready(self, condition: Condition) -> None:
        """The start is over."""
        self._send(f"READY=1\n{self._status_line(condition)}")

    def beat(self, condition: Condition) -> None:
        """Keep the watchdog quiet; tell the status when it has changed."""
        before, line = self._status, self._status_line(condition)
        alive = "WATCHDOG=1\n" if self._watchdog_seconds else ""
        self._send(alive + (line if line != before else ""))

    def reloading(self) -> None:
        """A reload begins; ``Type=notify-reload`` wants the time with it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, condition: Condition) -> None:
        """It is over."""
        self.ready(condition)

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1\nSTATUS=draining: running transactions are finished")

    def _status_line(self, condition: Condition) -> str:
        text = "; ".join(condition.reasons) or f"taking mail, policy {condition.policy[:12]}"
        self._status = "STATUS=" + text.replace("\n", " ")
        return self._status

    def _send(self, text: str) -> None:
        if not (self._address and text):
            return
        # Whoever does not listen must not stop mail.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.setblocking(False)
            way.sendto(text.encode(), self._address)


def _address(text: str) -> str:
    """A path, or a name in the abstract namespace; others such as vsock are not for services."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """What ``WatchdogSec=`` says, if it means this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() else 0.0
