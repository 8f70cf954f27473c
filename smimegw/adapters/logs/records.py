"""The `Records` port on a file of JSON lines, each on the disk before mail leaves (R-20)."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smimegw.addresses import Mailbox
from smimegw.errors import RecordError
from smimegw.failpoints import reach

_FORBIDDEN = frozenset({"subject", "content", "body", "password"})


class JSONLinesRecords:
    """Appends decision records to a file.

    Args:
        path: The file; it is made when missing, and made anew after it was renamed (logrotate).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = -1
        self._inode = (-1, -1)

    async def write(self, record: Mapping[str, Any]) -> None:
        """Write one record durably.

        Raises:
            RecordError: It could not be written; nothing of it is left in the file.
        """
        line = _line(record)
        await asyncio.to_thread(self._append, line)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, line: bytes) -> None:
        with self._lock:
            try:
                self._open()
                reach("records.before-write")
                self._write(line)
            except OSError as error:
                text = f"decision record {self._path} cannot be written: {error.strerror}"
                raise RecordError(f"{text}.  Free space or repair the disk") from error

    def _open(self) -> None:
        """Open the file unless the one we hold is still the one of that name."""
        if self._descriptor >= 0:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                found = None
            if found is not None and (found.st_dev, found.st_ino) == self._inode:
                return
            os.close(self._descriptor)
            self._descriptor = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        status = os.fstat(self._descriptor)
        self._inode = (status.st_dev, status.st_ino)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, line: bytes) -> None:
        before = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):  # the disk is full in the middle of a line
            os.ftruncate(self._descriptor, before)
            raise OSError(28, "No space left on device")
        reach("records.before-sync")
        os.fsync(self._descriptor)


def _line(record: Mapping[str, Any]) -> bytes:
    for key in record:
        if key.lower() in _FORBIDDEN:
            raise RecordError(f"a decision record never holds {key}; this is a bug")
    try:
        text = json.dumps(record, ensure_ascii=True, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f"a decision record cannot be written: {error}") from error
    return text.encode("ascii") + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, Mailbox):
        return value.address
    raise TypeError(f"{type(value).__name__} has no place in a record")
