"""The path validator's libraries are used by several threads, from the first message on."""

from __future__ import annotations

import subprocess
import sys

_UNFINISHED = """
from asn1crypto import core
import smimegw.x509.judge

def heirs(parent):
    for heir in parent.__subclasses__():
        yield heir
        yield from heirs(heir)

print(*sorted({heir.__qualname__ for heir in heirs(core.Asn1Value)
               if heir not in core._SETUP_CLASSES and heir is not core.Choice}))
"""


def test_no_class_of_the_asn1_library_is_finished_by_two_threads_at_once() -> None:
    """All are finished on import; else each certificate could be refused for good (R-08)."""
    done = subprocess.run(
        [sys.executable, "-c", _UNFINISHED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
