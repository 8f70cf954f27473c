"""Reads files that stand where others may put something: regular ones of a known size at most.

A pipe nobody writes to would hold a reader up for good, ``/dev/zero`` never ends, and what is
huge takes the memory that mail needs.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from smimegw.limits import DEFAULT_LIMITS

SECRET_OCTETS = 64 * 1024
TEXT_OCTETS = 4 * 1024 * 1024  # of what people write: configurations, policies, senders
CERTIFICATES_OCTETS = DEFAULT_LIMITS.crl_octets  # of certificates and lists of revoked ones


def read_regular(path: Path, octets: int) -> bytes:
    """Return what the regular file at *path*, or the one that a link there leads to, holds.

    Raises:
        OSError: It cannot be read, is something else than a file, or has more than *octets*; the
            words to show are in `strerror`, as always.
    """
    require_regular(path, octets)
    # Not to wait, should it have been replaced by a pipe in between.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        _require(os.fstat(descriptor), path, octets)
        content = file.read(octets + 1)
    if len(content) > octets:  # such as those of /proc, which have no size
        raise _too_large(path, octets)
    return content


def read_given(path: Path, octets: int) -> bytes:
    """As `read_regular`, and also what a pipe brings: for files that somebody names by hand.

    A pipe that nobody writes to is empty.

    Raises:
        OSError: It cannot be read, or has more than *octets*.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(octets + 1)
    if len(content) > octets:
        raise _too_large(path, octets)
    return content


def require_regular(path: Path, octets: int) -> None:
    """See that *path* is a regular file of at most *octets*, or a link to one.

    Raises:
        OSError: It is not, or cannot be reached.
    """
    _require(path.stat(), path, octets)  # without opening it: that does something to devices


def _require(status: os.stat_result, path: Path, octets: int) -> None:
    if S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not S_ISREG(status.st_mode):
        text = "not a regular file but a pipe, socket or device; put a file there"
        raise OSError(errno.EINVAL, text, str(path))
    if status.st_size > octets:
        raise _too_large(path, octets)


def _too_large(path: Path, octets: int) -> OSError:
    text = f"larger than {octets >> 10} KiB; is that the right file?"
    return OSError(errno.EFBIG, text, str(path))
