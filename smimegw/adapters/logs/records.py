"""The `Records` port on a file of JSON lines, each on the disk before mail leaves (R-20).

Records that wait while the disk is busy are written and synced together.  Each line is a link of
a chain (`record_chain`), which goes on through restarts and through files that were renamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smimegw.adapters.logs.record_chain import Tail, chained, tail_of
from smimegw.adapters.threads import Threads
from smimegw.addresses import Mailbox
from smimegw.errors import RecordError
from smimegw.failpoints import reach
from smimegw.limits import MIB

_FORBIDDEN = frozenset({"subject", "content", "body", "password"})
_PACKED = (".gz", ".bz2", ".xz", ".zst")


class JSONLinesRecords:
    """Appends records to a file that no other process writes to.

    Args:
        path: The file; it is made when missing, and made anew after it was renamed (logrotate).
        in_thread: Write notes in a thread, too: the disk may be far away.

    Attributes:
        path: The file.
        on_failure: Told when a note could not be written.
    """

    def __init__(self, path: Path, *, in_thread: bool = False) -> None:
        self.path = self._path = path
        self._in_thread = in_thread
        self._lock = threading.Lock()
        self._thread = Threads(1, "records")
        self._descriptor = -1
        self._inode = (-1, -1)
        self._tail = Tail()
        self._bodies: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self.on_failure: Callable[[str], None] = lambda _: None

    async def write(self, record: Mapping[str, Any]) -> None:
        """Write one record durably.

        Raises:
            RecordError: It could not be written; nothing of it is left in the file.
        """
        body = _body(record)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bodies.append(body)
        self._waiting.append(written)
        self._flush_soon()
        await written

    def note(self, record: Mapping[str, Any]) -> None:
        """Write one record, at once but unsynced: a killed process leaves it, a power cut may not.

        It never raises: what it tells of has happened already.
        """
        try:
            body = _body(record)
            if self._in_thread or self._flushing is not None:
                self._bodies.append(body)  # the disk is busy with a sync: the loop does not wait
                self._flush_soon()
                return
            self._append((body,), sync=False)
        except RecordError as error:
            self.on_failure(str(error))

    def close(self) -> None:
        """Write what waits and close the file."""
        bodies, self._bodies = tuple(self._bodies), []
        if bodies:
            with contextlib.suppress(RecordError):
                self._append(bodies, sync=False)
        with self._lock:
            self._shut()
        self._thread.end()

    # --- writing ---------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        """Write until nothing waits; whatever comes meanwhile goes together into the next turn."""
        try:
            while self._bodies:
                bodies, self._bodies = tuple(self._bodies), []
                waiting, self._waiting = self._waiting, []
                trouble: Exception | None = None
                try:
                    await self._thread.run(self._append, bodies, sync=bool(waiting))
                except Exception as error:  # noqa: BLE001 – theirs who wait, none may be forgotten
                    trouble = error
                _tell(waiting, trouble)
                if trouble is not None and len(bodies) > len(waiting):
                    self.on_failure(str(trouble))
        finally:
            self._flushing = None

    def _append(self, bodies: Sequence[bytes], *, sync: bool) -> None:
        with self._lock:
            before = -1
            try:
                self._open()
                before = os.fstat(self._descriptor).st_size
                if sync:
                    reach("records.before-write")
                self._write(bodies, sync=sync)
            except OSError as error:
                self._take_back(before)
                text = f"decision record {self._path} cannot be written: {error.strerror}"
                raise RecordError(f"{text}.  Free space or repair the disk") from error
            except BaseException:
                self._take_back(before)  # a line that nobody knows of would break the chain
                raise

    def _write(self, bodies: Sequence[bytes], *, sync: bool) -> None:
        octets, tip = chained(self._tail.tip, bodies, self._tail.torn)
        if self._tail.open_line:
            octets = b"\n" + octets
        if os.write(self._descriptor, octets) != len(octets):  # full in the middle of a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            reach("records.before-sync")
            os.fsync(self._descriptor)
        self._tail = Tail(tip=tip)

    def _take_back(self, size: int) -> None:
        """Leave nothing of what failed; the next record looks at the file anew."""
        if size >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
        self._shut()

    # --- the file --------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open the file unless the one we hold is still the one of that name."""
        if self._descriptor >= 0:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                found = None
            if found is not None and (found.st_dev, found.st_ino) == self._inode:
                return
            self._shut()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        status = os.fstat(self._descriptor)
        self._inode = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            self._tail = _tail(self._descriptor, status.st_size)
        else:
            self._tail = Tail(tip=self._tail.tip or _tip_beside(self._path))
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _shut(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _tell(waiting: Sequence[asyncio.Future[None]], trouble: Exception | None) -> None:
    for future in waiting:
        if future.done():  # whoever waited has gone
            continue
        if trouble is None:
            future.set_result(None)
        else:
            future.set_exception(trouble)


def _tail(descriptor: int, size: int) -> Tail:
    """How the file ends; read from its end, because it may be large."""
    length = MIB
    while True:
        octets = os.pread(descriptor, length, max(0, size - length))
        found = tail_of(octets)
        if found.tip or length >= size:
            return found
        length *= 4


def _tip_beside(path: Path) -> str:
    """The last link of the newest renamed file, when this one was renamed while nobody wrote."""
    beside = [
        entry
        for pattern in (f"{path.name}.*", f"{path.name}-*")
        for entry in path.parent.glob(pattern)
        if entry.suffix not in _PACKED and entry.is_file()
    ]
    if not beside:
        return ""
    newest = max(beside, key=lambda entry: entry.stat().st_mtime_ns)
    with newest.open("rb") as file:
        return _tail(file.fileno(), os.fstat(file.fileno()).st_size).tip


def _body(record: Mapping[str, Any]) -> bytes:
    for key in record:
        if key.lower() in _FORBIDDEN:
            raise RecordError(f"a decision record never holds {key}; this is a bug")
    try:
        text = _JSON.encode(record)
    except (TypeError, ValueError) as error:
        raise RecordError(f"a decision record cannot be written: {error}") from error
    return text.encode("ascii")


def _plain(value: object) -> str:
    if isinstance(value, Mailbox):
        return value.address
    raise TypeError(f"{type(value).__name__} has no place in a record")


_JSON = json.JSONEncoder(ensure_ascii=True, default=_plain, allow_nan=False)
