"""Private keys are encrypted, private from the first octet, and never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from pki import files, keys
from pki.errors import PassphraseError
from pki.keys import KeyKind

KEY = keys.generate(KeyKind.P_256)


def test_a_written_key_opens_again(tmp_path: Path) -> None:
    """Same key after the round trip."""
    keys.write_key(tmp_path / "key.pem", KEY, b"secret")
    assert keys.read_key(tmp_path / "key.pem", b"secret").private_numbers() == (
        KEY.private_numbers()
    )


@pytest.mark.parametrize("passphrase", [b"Secret", b"secret ", b"\x00", b"s" * 5000])
def test_a_wrong_passphrase_is_refused(tmp_path: Path, passphrase: bytes) -> None:
    """And the text tells what to do."""
    keys.write_key(tmp_path / "key.pem", KEY, b"secret")
    with pytest.raises(PassphraseError, match="try again"):
        keys.read_key(tmp_path / "key.pem", passphrase)


@pytest.mark.parametrize("octets", [b"", b"garbage", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, octets: bytes) -> None:
    """The same text as for a wrong passphrase: telling them apart needs a sound file."""
    (tmp_path / "key.pem").write_bytes(octets)
    with pytest.raises(PassphraseError, match="damaged"):
        keys.read_key(tmp_path / "key.pem", b"secret")


def test_a_missing_key_says_that_it_may_be_offline(tmp_path: Path) -> None:
    """The root's key belongs into a safe."""
    with pytest.raises(PassphraseError, match="offline"):
        keys.read_key(tmp_path / "key.pem", b"secret")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """The key of yesterday's mail cannot be made again."""
    path = tmp_path / "key.pem"
    keys.write_key(path, KEY, b"secret")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        keys.write_key(path, keys.generate(KeyKind.P_256), b"secret")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """No half file, no temporary file."""
    with pytest.raises(FileNotFoundError):
        files.write_new(tmp_path / "missing" / "key.pem", b"x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        files.replace(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
