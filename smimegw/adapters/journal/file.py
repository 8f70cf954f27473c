"""The journal of final dots: one synced line on the local disk before each; `custody.Journal`.

Lines that wait while the disk is busy are written and synced together.  Answers are written but
not synced: a lost one makes a dot look in doubt that was not, never the other way round.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from smimegw.adapters.journal.lines import answer_line, sent_line, told_line, unfinished_of
from smimegw.adapters.threads import Threads
from smimegw.custody import Dot, Unfinished, accepted_of
from smimegw.errors import JournalError
from smimegw.failpoints import reach
from smimegw.limits import MIB

_ROTATE_OCTETS = 16 * MIB  # then only what is open is carried over into a new file
_CLOSE_SECONDS = 5.0  # a disk that does not answer must not keep the process
_Accepted = tuple[Dot, tuple[str, ...]]


class FileJournal:
    """Implements `custody.Journal` in one file of one process.

    Args:
        path: The file; a lock beside it keeps a second process out.
        rotate_octets: How large it may become.

    Attributes:
        on_failure: Called once when the disk failed; the process must then end (C27).
    """

    def __init__(self, path: Path, *, rotate_octets: int = _ROTATE_OCTETS) -> None:
        self._path = path
        self._rotate_octets = rotate_octets
        self._descriptor = -1
        self._lock = -1
        self._failure = ""
        self._closed = False
        self._sent: dict[str, Dot] = {}
        self._untold: dict[str, list[_Accepted]] = {}
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._thread = Threads(1, "journal")
        self.on_failure: Callable[[str], None] = lambda _: None

    # --- begin and end ---------------------------------------------------------------------------

    def recover(self) -> Unfinished:
        """Lock the journal and read what the process before left open; nothing is changed yet.

        Raises:
            JournalError: Another process uses it, or it cannot be read.
        """
        try:
            self._lock = os.open(
                self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            octets = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            self._unlock()
            if error.errno == errno.EAGAIN:
                text = "is in use by another gateway; each needs a state directory of its own"
                raise JournalError(f"journal {self._path} {text}") from error
            raise self._error("read", error) from error
        return unfinished_of(octets)

    def begin(self, keep: Iterable[_Accepted] = ()) -> None:
        """Begin a new file; of the old one only *keep* is carried over.

        Raises:
            JournalError: It cannot be written.
        """
        for dot, tokens in keep:
            self._untold.setdefault(dot.txn, []).append((dot, tokens))
        try:
            self._begin_file()
        except OSError as error:
            raise self._error("written", error) from error

    async def close(self) -> None:
        """Write what waits and close the file; may be called twice."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing}, timeout=_CLOSE_SECONDS)
        self._closed = True
        self._thread.end()
        if self._flushing is None:
            self._thread.join()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._unlock()

    # --- the port --------------------------------------------------------------------------------

    async def sending(self, dots: Sequence[Dot]) -> None:
        """Write durably that *dots* are about to be sent.

        Raises:
            JournalError: They must not be sent.
        """
        if self._failure:
            raise JournalError(self._failure, fatal=True)
        for dot in dots:
            self._sent[dot.id] = dot
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._write(b"".join(sent_line(dot) for dot in dots))
        try:
            await written
        except BaseException:
            # Cancelled or not written: these dots will not be sent.
            for dot in dots:
                self.answered(dot, "not-sent")
            raise

    def answered(self, dot: Dot, outcome: str, tokens: Iterable[str] = ()) -> None:
        """Note what the next hop said; *tokens* are those of the accepted recipients."""
        accepted = tuple(tokens)
        self._sent.pop(dot.id, None)
        if accepted:
            self._untold.setdefault(dot.txn, []).append((dot, accepted))
        self._note(answer_line(dot, outcome, accepted))

    def told(self, txn: str) -> None:
        """The client has its reply: nothing of this transaction is open any more."""
        if self._untold.pop(txn, None):
            self._note(told_line(txn))

    def untold(self, txn: str) -> tuple[_Accepted, ...]:
        """Accepted dots of a transaction whose client was not told; open until `told`."""
        return tuple(self._untold.get(txn, ()))

    def accepted(self, fingerprint: str) -> frozenset[str]:
        """Tokens of the accepted of one message, whose client may still not know."""
        return accepted_of(fingerprint, self._untold.values())

    # --- writing ---------------------------------------------------------------------------------

    def _write(self, lines: bytes) -> None:
        self._lines.append(lines)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def _note(self, line: bytes) -> None:
        """Write a line that needs no sync: at once, so that a kill finds it, unless the disk is
        busy with a sync, for which the loop must not wait."""
        if self._closed:
            return
        if self._flushing is not None:
            self._write(line)
            return
        with contextlib.suppress(JournalError):  # without it the dot looks in doubt: the safe side
            self._append(line, sync=False)

    async def _flush(self) -> None:
        """Write until nothing waits; whatever comes meanwhile goes together into the next turn."""
        try:
            while self._lines:
                octets, self._lines = b"".join(self._lines), []
                waiting, self._waiting = self._waiting, []
                trouble: JournalError | None = None
                try:
                    await self._thread.run(self._append, octets, bool(waiting))
                except JournalError as error:
                    trouble = error
                except RuntimeError:  # the thread has ended
                    trouble = JournalError("the journal is closed, the gateway is about to end")
                for future in waiting:
                    if future.cancelled():
                        continue
                    if trouble is None:
                        future.set_result(None)
                    else:
                        future.set_exception(trouble)
        finally:
            self._flushing = None

    def _append(self, octets: bytes, sync: bool) -> None:
        """Write, and sync where a dot waits for it; the latter in the thread only."""
        if self._failure:
            raise JournalError(self._failure, fatal=True)
        try:
            if self._descriptor < 0:
                self._begin_file()
            if sync:
                reach("journal.before-write")
            size = _append_whole(self._descriptor, octets)
            if sync:
                reach("journal.before-sync")
                os.fsync(self._descriptor)
                reach("journal.synced")
            if sync and size > self._rotate_octets:
                self._begin_file()
        except OSError as error:
            raise self._error("written", error) from error

    def _begin_file(self) -> None:
        """Make a file that holds only what is open, and put it in the old one's place."""
        fresh = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(fresh, flags, 0o600)
        try:
            os.write(descriptor, self._open_lines())
            os.fsync(descriptor)
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor

    def _open_lines(self) -> bytes:
        lines = [sent_line(dot) for dot in list(self._sent.values())]
        for accepted in list(self._untold.values()):
            for dot, tokens in list(accepted):
                lines += [sent_line(dot), answer_line(dot, "accepted", tokens)]
        return b"".join(lines)

    def _error(self, verb: str, error: OSError) -> JournalError:
        text = f"journal {self._path} cannot be {verb}: {error.strerror or error}"
        if error.errno != errno.EIO:
            return JournalError(f"{text}; free space, or look at its owner and mode")
        # After a failed sync nobody knows what is on the disk, and a second try would not tell.
        if not self._failure:
            self._failure = f"{text}; the disk is failing, this node must not accept mail"
            self.on_failure(self._failure)
        return JournalError(self._failure, fatal=True)

    def _unlock(self) -> None:
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = -1


def _append_whole(descriptor: int, octets: bytes) -> int:
    """Append all of *octets* or nothing; returns the file's size."""
    before = os.fstat(descriptor).st_size
    written = os.write(descriptor, octets)
    if written != len(octets):
        os.ftruncate(descriptor, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return before + written
