"""Writes what a command makes so that a file is whole under its name, or not there.

Whatever ends the command in between – Ctrl-C, SIGTERM, a full disk – leaves what was there before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from smimegw.errors import UsageError


def write_new(file: Path, octets: bytes) -> None:
    """Write a file with a secret in it, for its owner only, durably.

    Raises:
        UsageError: There is one already; it is not touched.
        OSError: It cannot be written.
    """
    try:
        with _written(file, (octets,), 0o600) as temporary:
            # A link, because unlike a rename it never replaces a file that is already there.
            file.hardlink_to(temporary)
    except FileExistsError:
        raise UsageError(f"{file} is there already; a key is never overwritten") from None


def replace(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a file, or another one in its place; pipes and devices are written to.

    Raises:
        OSError: It cannot be written; what was there is left as it was.
    """
    file = Path(os.path.realpath(file))  # a link stays one
    if file.exists() and not file.is_file():
        with file.open("wb") as stream:
            stream.writelines(pieces)
        return
    if file.exists() and not os.access(file, os.W_OK):
        raise PermissionError(13, "Permission denied", str(file))
    mode = file.stat().st_mode & 0o777 if file.exists() else None
    with _written(file, pieces, 0o666) as temporary:
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(file)


@contextlib.contextmanager
def _written(file: Path, pieces: Iterable[bytes], mode: int) -> Iterator[Path]:
    """A file of another name with *pieces* in it, on the disk; gone afterwards."""
    temporary = file.with_name(f".{secrets.token_hex(8)}.new")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as exc:
            raise type(exc)(exc.errno, exc.strerror, str(file)) from None  # the name people gave
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
