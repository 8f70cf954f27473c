"""Writes files so that after a crash each one is either whole or not there.

Octets go to a temporary name, are flushed to the disk, and only then get their real name; the
directory is flushed too, because the name itself is data.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_new(path: Path, octets: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file that must not exist yet; a key that was there is never overwritten.

    Raises:
        FileExistsError: Something has that name already; it is left as it was.
        OSError: The disk is full, read-only or broken; nothing is left behind.
    """
    with _flushed(path, octets, mode) as temporary:
        os.link(temporary, path)  # unlike rename, link refuses to replace


def replace(path: Path, octets: bytes, *, mode: int = PUBLIC) -> None:
    """Write a file, replacing an older version of it in one step.

    Raises:
        OSError: The disk is full, read-only or broken; the older version is still there.
    """
    with _flushed(path, octets, mode) as temporary:
        temporary.replace(path)


def make_directory(path: Path) -> None:
    """Make a directory that only its owner may enter, and flush its name to the disk."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    flush_directory(path.parent)


def flush_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _flushed(path: Path, octets: bytes, mode: int) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        temporary.touch(mode=PRIVATE, exist_ok=False)  # a key is private even while it is written
        with temporary.open("r+b") as stream:
            stream.write(octets)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    flush_directory(path.parent)
