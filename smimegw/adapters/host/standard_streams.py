"""Makes standard input, output and error usable, whatever the caller of a command gave."""

from __future__ import annotations

import contextlib
import io
import os
import sys


def settle_standard_streams() -> None:
    """Open what is closed on nothing, and let output replace letters that a terminal lacks.

    A closed descriptor would be the number of the next file that is opened, and whatever is written
    to standard output would go there.  A terminal in Latin-1 has no ``←``, and a file name need not
    be in the terminal's character set: both are shown as ``\\u2190``, and the command goes on.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one, and programs that are started inherit it.
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
