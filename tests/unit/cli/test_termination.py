"""Commands that SIGINT or SIGTERM ends: the exit code, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smimegw.cli.whole_files import replace, write_new
from smimegw.errors import UsageError


def interrupted() -> Iterator[bytes]:
    yield b"half"
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted")],
)
def test_command_that_is_ended_says_so(
    tmp_path: Path, number: signal.Signals, code: int, text: str
) -> None:
    """Ctrl-C is 130, SIGTERM is 143, and neither shows a traceback."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "smimegw.cli.main", "message", "inspect", str(pipe)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with pipe.open("wb"):  # waits until the command reads
            process.send_signal(number)
            said = process.communicate()[1]
    assert (process.returncode, "Traceback" in said) == (code, False)
    assert text in said


def test_output_that_is_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    """A message of before is not half overwritten."""
    (tmp_path / "mail.eml").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "mail.eml", interrupted())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"mail.eml": b"before"}


def test_output_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    """What is replaced stays as public, or as private, as it was, where a link leads to."""
    real, link = tmp_path / "real.eml", tmp_path / "link.eml"
    real.touch(mode=0o600)
    link.symlink_to(real.name)
    replace(link, [b"new"])
    assert (link.is_symlink(), real.read_bytes()) == (True, b"new")
    assert real.stat().st_mode & 0o777 == 0o600


def test_output_may_be_a_device() -> None:
    """Nothing takes the place of /dev/null."""
    replace(Path("/dev/null"), [b"new"])
    assert not Path("/dev/null").is_file()


def test_secret_is_never_overwritten(tmp_path: Path) -> None:
    """A key that is there stays, and nothing else is left."""
    write_new(tmp_path / "kek", b"one")
    with pytest.raises(UsageError, match="is there already"):
        write_new(tmp_path / "kek", b"two")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one"]
