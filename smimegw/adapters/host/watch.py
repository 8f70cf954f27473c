"""Looks at the machine itself: room on the disk, and a clock that can be believed (R-21, R-24)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smimegw import RELEASED
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.ports import Clock, Events, HostTrouble

_REMEMBERED = timedelta(seconds=5)  # a busy gateway need not look for every message


class HostWatch:
    """Implements `Host`.

    Args:
        directory: The state directory; its file system must keep some room.
        stamped: A file that is written with every message; it cannot be from the future.
        events: Told when trouble begins and when it is over.
        clock: The one to judge.
        limits: How much room.
    """

    def __init__(
        self,
        directory: Path,
        stamped: Path,
        *,
        events: Events,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._directory = directory
        self._stamped = stamped
        self._events = events
        self._clock = clock
        self._limits = limits
        self._looked_at: datetime | None = None
        self._trouble: HostTrouble | None = None

    def trouble(self) -> HostTrouble | None:
        """Why this machine should take no mail now; None when all is well."""
        now = self._clock.now()
        if self._looked_at is None or not (self._looked_at <= now < self._looked_at + _REMEMBERED):
            self._looked_at = now
            self._tell(self._clock_trouble(now) or self._disk_trouble())
        return self._trouble

    def _tell(self, found: HostTrouble | None) -> None:
        before, self._trouble = self._trouble, found
        if found is not None and (before is None or before.row != found.row):
            self._events.emit("host.trouble", text=found.text, code=found.row)
        elif found is None and before is not None:
            self._events.emit("host.recovered", code=before.row)

    def _clock_trouble(self, now: datetime) -> HostTrouble | None:
        if now < RELEASED:
            text = (
                f"the clock says {now:%Y-%m-%d %H:%M}, before this release was made"
                f" ({RELEASED:%Y-%m-%d})"
            )
            return HostTrouble("R-24", f"{text}; set it, certificates cannot be judged with it")
        behind = self._last_stamp() - now
        if behind > timedelta(seconds=self._limits.clock_behind_seconds):
            text = f"the clock is {int(behind.total_seconds())} s behind the last entry of"
            return HostTrouble(
                "R-24", f"{text} {self._stamped}; set the clock, or wait until it has caught up"
            )
        return None

    def _last_stamp(self) -> datetime:
        try:
            return datetime.fromtimestamp(self._stamped.stat().st_mtime, UTC)
        except OSError:
            return RELEASED  # nothing was written yet, or writing will tell

    def _disk_trouble(self) -> HostTrouble | None:
        try:
            found = os.statvfs(self._directory)
        except OSError as error:
            return HostTrouble("R-21", f"{self._directory}: {error.strerror}; make it readable")
        free = found.f_bavail * found.f_frsize
        if free < self._limits.disk_free_octets:
            text = f"{free >> 20} MiB are free at {self._directory}, less than the floor of"
            floor = self._limits.disk_free_octets >> 20
            return HostTrouble("R-21", f"{text} {floor} MiB; free space, mail is taken again then")
        # Some file systems have no fixed number of inodes and say 0.
        if found.f_files and found.f_favail < self._limits.disk_free_inodes:
            text = f"{found.f_favail} inodes are free at {self._directory}"
            return HostTrouble("R-21", f"{text}; remove files, mail is taken again then")
        return None
