"""Keeps large contents in files that have no name and that nobody else can read.

Up to a limit a content stays in memory.  What is longer goes into an unlinked file, sealed in
chunks with AES-256-GCM under a key that only this process has in memory: nothing readable is ever
on the disk, and after a crash nothing is left.  The file goes with the last reference to it.
"""

from __future__ import annotations

import _thread
import errno
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smimegw.content import Content
from smimegw.errors import SpoolError
from smimegw.limits import DEFAULT_LIMITS

_CHUNK_OCTETS: Final = 64 * 1024
_TAG_OCTETS: Final = 16
_SEALED_OCTETS: Final = _CHUNK_OCTETS + _TAG_OCTETS
_KEY_BITS: Final = 256
_NONCE_OCTETS: Final = 12


class FileStore:
    """Implements `content.Store` with files below *directory*, which must exist.

    Args:
        directory: On a disk with room for all messages under way, and what is made of them.
        memory_octets: What is no longer than this stays in memory.
    """

    def __init__(
        self, directory: Path, *, memory_octets: int = DEFAULT_LIMITS.memory_octets
    ) -> None:
        self._directory = directory
        self._memory_octets = memory_octets

    def writer(self) -> SpoolWriter:
        """For one content."""
        return SpoolWriter(self._directory, self._memory_octets)

    def store(self, pieces: Iterable[bytes]) -> Content:
        """Keep *pieces* as one content.

        Raises:
            SpoolError: There is no room for them.
        """
        writer = self.writer()
        for piece in pieces:
            writer.append(piece)
        return writer.finish()


class SpoolWriter:
    """Takes one content; see `content.Writer`."""

    def __init__(self, directory: Path, memory_octets: int) -> None:
        self._directory = directory
        self._memory_octets = memory_octets
        self._waiting = bytearray()
        self._file: _File | None = None

    def append(self, octets: bytes) -> None:
        """Take the next octets.

        Raises:
            SpoolError: There is no room for them.
        """
        self._waiting += octets
        if self._file is None:
            if len(self._waiting) <= self._memory_octets:
                return
            self._file = _File(self._directory)
        whole = len(self._waiting) - len(self._waiting) % _CHUNK_OCTETS
        for start in range(0, whole, _CHUNK_OCTETS):
            self._file.append(bytes(self._waiting[start : start + _CHUNK_OCTETS]))
        del self._waiting[:whole]

    def finish(self) -> Content:
        """What was taken; nothing is taken afterwards.

        Raises:
            SpoolError: There is no room for it.
        """
        last, self._waiting = bytes(self._waiting), bytearray()
        if self._file is None:
            return Content(last)
        if last:
            self._file.append(last)
        return Content.read_from(self._file, self._file.length)


class _File:
    """One unlinked file of sealed chunks; only the last of them may be shorter."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            self._descriptor = _unnamed(directory)
        except OSError as exc:
            self._failed(exc)
        weakref.finalize(self, _close, self._descriptor).atexit = False
        self._cipher = AESGCM(AESGCM.generate_key(_KEY_BITS))
        self._chunks = 0
        self._last_read: tuple[int, bytes] = (-1, b"")  # whoever looks around reads it again
        self.length = 0

    def append(self, chunk: bytes) -> None:
        sealed = self._cipher.encrypt(_nonce(self._chunks), chunk, None)
        position, view = self._chunks * _SEALED_OCTETS, memoryview(sealed)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, position)
                position, view = position + written, view[written:]
        except OSError as exc:
            self._failed(exc)
        self._chunks += 1
        self.length += len(chunk)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            number, skipped = divmod(start, _CHUNK_OCTETS)
            piece = self._chunk(number)[skipped : skipped + end - start]
            yield piece
            start += len(piece)

    def _chunk(self, number: int) -> bytes:
        # Threads may read at the same time; the pair is exchanged as a whole.
        kept, chunk = self._last_read
        if kept == number:
            return chunk
        try:
            sealed = os.pread(self._descriptor, _SEALED_OCTETS, number * _SEALED_OCTETS)
            chunk = self._cipher.decrypt(_nonce(number), sealed, None)
        except OSError as exc:
            self._failed(exc)
        except (InvalidTag, ValueError):
            raise SpoolError(
                f"a file of the spool in {self._directory} does not hold what was written to it;"
                " check the disk"
            ) from None
        self._last_read = (number, chunk)
        return chunk

    def _failed(self, error: OSError) -> NoReturn:
        raise SpoolError(
            f"the spool in {self._directory} cannot be used: {error.strerror}; make room on the"
            " disk, or set spool in [gateway] to a directory that this process may write"
        ) from error


def _nonce(number: int) -> bytes:
    # Every chunk is written once, under a key of its file's own: no nonce is used twice.
    return number.to_bytes(_NONCE_OCTETS, "big")


def _close(descriptor: int) -> None:
    """Give the room back, in a thread: for what is large that takes longer than others may wait."""
    try:
        _thread.start_new_thread(os.close, (descriptor,))
    except RuntimeError:  # no more threads
        os.close(descriptor)


def _unnamed(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    # Not every file system knows files without a name; then it has one for a moment.
    descriptor, name = tempfile.mkstemp(dir=directory)
    Path(name).unlink()
    return descriptor
