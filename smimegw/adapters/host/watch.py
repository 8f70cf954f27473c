"""Looks at the machine itself: room on the disk, and a clock that can be believed (R-21, R-24)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smimegw import RELEASED
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.ports import Clock, Events, HostTrouble

_REMEMBERED = timedelta(seconds=5)  # a busy gateway need not look for every message
_PATIENCE_SECONDS = 0.1  # how long the event loop waits for a sound file system
_ANSWER_SECONDS = 5.0  # a file system that takes longer can keep no records


class HostWatch:
    """Implements `Host`.

    It looks from a thread of its own, which a file system that hangs may keep: the event loop goes
    on, and says so.

    Args:
        directories: The state directory and the spool; their file systems must keep some room.
        stamped: A file that is written with every message; it cannot be from the future.
        events: Told when trouble begins and when it is over.
        clock: The one to judge.
        limits: How much room.
        patience_seconds: How long one call may wait for a look.
        answer_seconds: How long a look may take until that is trouble.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        stamped: Path,
        *,
        events: Events,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
        patience_seconds: float = _PATIENCE_SECONDS,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self._directories = tuple(dict.fromkeys(directories))
        self._stamped = stamped
        self._events = events
        self._clock = clock
        self._limits = limits
        self._patience_seconds = patience_seconds
        self._answer_seconds = answer_seconds
        self._looked_at: datetime | None = None
        self._newest = RELEASED
        self._look: _Look | None = None
        self._trouble: HostTrouble | None = None

    def trouble(self) -> HostTrouble | None:
        """Why this machine should take no mail now; None when all is well."""
        now = self._clock.now()
        if self._look is None and self._is_due(now):
            self._looked_at = now
            self._look = _Look(self._directories, self._stamped)
            self._look.done.wait(self._patience_seconds)
        look = self._look
        if look is not None and look.done.is_set():
            self._look = None
            of_disks = [self._disk_trouble(*found) for found in look.found]
            self._tell(self._clock_trouble(now, look.stamp) or next(filter(None, of_disks), None))
        elif look is not None and time.monotonic() - look.begun > self._answer_seconds:
            directory = (*self._directories, self._stamped)[len(look.found)]
            text = f"the file system of {directory} does not answer"
            hint = "repair the disk, or the connection to the server that has it"
            self._tell(HostTrouble("R-21", f"{text}; {hint}"))
        return self._trouble

    def _is_due(self, now: datetime) -> bool:
        seen = self._looked_at
        return seen is None or not seen <= now < seen + _REMEMBERED

    def _tell(self, found: HostTrouble | None) -> None:
        before, self._trouble = self._trouble, found
        if found is not None and (before is None or before.row != found.row):
            self._events.emit("host.trouble", text=found.text, code=found.row)
        elif found is None and before is not None:
            self._events.emit("host.recovered", code=before.row)

    def _clock_trouble(self, now: datetime, stamp: datetime) -> HostTrouble | None:
        if now < RELEASED:
            text = (
                f"the clock says {now:%Y-%m-%d %H:%M}, before this release was made"
                f" ({RELEASED:%Y-%m-%d})"
            )
            return HostTrouble("R-24", f"{text}; set it, certificates cannot be judged with it")
        # What is in flight when the clock is set back stamps the file anew, with the wrong time.
        self._newest = max(self._newest, stamp)
        behind = self._newest - now
        if behind > timedelta(seconds=self._limits.clock_behind_seconds):
            text = f"the clock is {int(behind.total_seconds())} s behind the last entry of"
            return HostTrouble(
                "R-24",
                f"{text} {self._stamped}; set the clock, or wait until it has caught up; if it is"
                " right now and was ahead before, touch that file and restart",
            )
        return None

    def _disk_trouble(
        self, directory: Path, found: os.statvfs_result | OSError
    ) -> HostTrouble | None:
        if isinstance(found, OSError):
            return HostTrouble("R-21", f"{directory}: {found.strerror}; make it readable")
        free = found.f_bavail * found.f_frsize
        if free < self._limits.disk_free_octets:
            text = f"{free >> 20} MiB are free at {directory}, less than the floor of"
            floor = self._limits.disk_free_octets >> 20
            return HostTrouble("R-21", f"{text} {floor} MiB; free space, mail is taken again then")
        # Some file systems have no fixed number of inodes and say 0.
        if found.f_files and found.f_favail < self._limits.disk_free_inodes:
            text = f"{found.f_favail} inodes are free at {directory}"
            return HostTrouble("R-21", f"{text}; remove files, mail is taken again then")
        return None


class _Look:
    """One look at the file systems, in a thread that nobody has to wait for.

    Attributes:
        begun: Monotonic time.
        done: Set when the others are.
        found: Of each directory's file system.
        stamp: When the file was last written.
    """

    def __init__(self, directories: Sequence[Path], stamped: Path) -> None:
        self.begun = time.monotonic()
        self.done = threading.Event()
        self.found: list[tuple[Path, os.statvfs_result | OSError]] = []
        self.stamp = RELEASED  # nothing was written yet, or writing will tell
        # A daemon: one that hangs keeps the process from nothing, not even from ending.
        threading.Thread(target=self._run, args=(directories, stamped), daemon=True).start()

    def _run(self, directories: Sequence[Path], stamped: Path) -> None:
        try:
            for directory in directories:
                self.found.append((directory, _asked(directory)))
            with contextlib.suppress(OSError):
                self.stamp = datetime.fromtimestamp(stamped.stat().st_mtime, UTC)
        finally:
            self.done.set()


def _asked(directory: Path) -> os.statvfs_result | OSError:
    try:
        return os.statvfs(directory)
    except OSError as error:
        return error
