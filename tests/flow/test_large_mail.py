"""How much memory a large mail needs, from the spool to the next hop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.large_mail import OCTETS


@pytest.mark.parametrize("direction", ["outbound", "clear", "opaque"])
def test_large_mail_is_never_in_memory(direction: str, tmp_path: Path) -> None:
    """Protected or opened, fifty MiB need less than half of their size (cases L01).

    All stages take part, and what arrives is compared with what was written.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.flow.large_mail", direction, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after - before < OCTETS / 2
