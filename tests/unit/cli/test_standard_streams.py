"""Commands with terminals that lack letters, with closed streams and with a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smimegw.config.describe import sample
from tests.fakes.smime import ALICE

_GATEWAY, _CA = ("smimegw.cli.main", "smimegw"), ("pki.cli", "smimegw-ca")


def run(
    program: tuple[str, str], *arguments: str, shell: str = "", charset: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a shell does; *shell* is what stands behind its arguments there."""
    module, name = program
    code = f"import sys; from {module} import main; sys.argv[0] = '{name}'; main()"
    words = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {shell}', "sh", *words],
        env={**os.environ, "PYTHONIOENCODING": charset, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key that can sign, in clear."""
    path = tmp_path / "alice.key"
    path.write_bytes(ALICE.key_pem + ALICE.pem)
    return path


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """The same with a password."""
    path = tmp_path / "alice.p12"
    path.write_bytes(ALICE.pkcs12("correct horse"))
    return path


def test_letters_that_a_terminal_lacks_are_replaced() -> None:
    """What can be shown is shown, and the command goes on (cases E14)."""
    done = run(_GATEWAY, "records", "verify", "--help", charset="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--tip 5f0c\\u2026" in done.stdout


def test_help_of_the_ca_is_shown_in_another_character_set() -> None:
    """Its examples have quotation marks that Latin-1 has not (cases E14)."""
    done = run(_CA, "init", "--help", charset="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u201cRoot\\u201d" in done.stdout


def test_sample_is_utf_8_on_every_terminal() -> None:
    """It becomes a configuration file, and TOML is UTF-8 (cases E14)."""
    done = run(_GATEWAY, "config", "sample", charset="latin-1")
    assert done.stdout.decode() == sample()
    assert "…" in sample()


def test_file_name_of_another_character_set_is_shown(tmp_path: Path) -> None:
    """Names of files are octets (cases E14)."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/entscheidungen-m\xe4rz.jsonl")
    Path(path).touch()
    done = run(_GATEWAY, "records", "verify", path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"m\\udce4rz.jsonl: 0 records" in done.stdout


def test_closed_standard_input_is_empty(sealed: Path) -> None:
    """Cron and service managers close it: nobody is asked for a password (cases E14)."""
    done = run(_GATEWAY, "message", "sign", "-", "--key", str(sealed), shell="<&-")
    assert done.returncode == 2
    assert b"has a password; give --password-file" in done.stderr


def test_closed_standard_output_is_nowhere(key: Path) -> None:
    """Above all it is not the next file that is opened (cases E14)."""
    before = key.read_bytes()
    done = run(_GATEWAY, "message", "sign", str(key), "--key", str(key), shell=">&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert key.read_bytes() == before


def test_full_disk_is_said_in_one_line() -> None:
    """Where the answer should go there is no room (cases C29)."""
    done = run(_GATEWAY, "--help", shell=">/dev/full")
    assert done.returncode == 2
    assert done.stderr == b"Error: No space left on device\n"
