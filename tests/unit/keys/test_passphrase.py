"""The key-encryption key under a passphrase."""

from __future__ import annotations

import json

import pytest

from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.keys.passphrase import load, protect
from smimegw.errors import KeystoreError

KEY = KeyEncryptionKey(bytes(range(32)))
FILE = protect(KEY, b"correct horse", cost=2)


def test_right_passphrase_opens() -> None:
    """The key that comes back is the one that went in."""
    assert load(FILE, lambda: b"correct horse").export() == KEY.export()


def test_wrong_passphrase_is_locked() -> None:
    """The keystore stays locked, and the text says what to correct (R-13)."""
    with pytest.raises(KeystoreError, match=r"passphrase .* is wrong") as caught:
        load(FILE, lambda: b"correct mule")
    assert caught.value.locked


def test_missing_passphrase_is_locked() -> None:
    """The administrator is told which key of the configuration is missing."""
    with pytest.raises(KeystoreError, match=r"keystore\.passphrase") as caught:
        load(FILE)
    assert caught.value.locked


def test_key_in_clear_needs_no_passphrase() -> None:
    """Plain files go on as they are."""
    assert load(KEY.export()).identifier == KEY.identifier


def test_raw_key_may_begin_like_json() -> None:
    """One raw key of 256 begins with the brace of a file with a passphrase (M10)."""
    raw = b"{" + bytes(31)
    assert load(raw).identifier == KeyEncryptionKey(raw).identifier


@pytest.mark.parametrize(
    "change",
    [{"cost": 2**24}, {"cost": 3}, {"cost": "x"}, {"salt": "%"}, {"sealed": ""}, {"kdf": "md5"},
     {"smimegw_key_encryption_key": 2}],
)  # fmt: skip
def test_changed_file_is_refused(change: dict[str, object]) -> None:
    """Neither a damaged file nor one that asks for gigabytes is worked on."""
    octets = json.dumps(json.loads(FILE) | change).encode()
    with pytest.raises(KeystoreError, match="damaged"):
        load(octets, lambda: b"correct horse")


def test_default_cost_is_high() -> None:
    """Each guess costs 128 MiB of memory (RFC 7914, 2)."""
    assert json.loads(protect(KEY, b"x"))["cost"] == 2**17


def test_file_holds_no_key() -> None:
    """Neither the key nor its base64 stands in the file (cases M01)."""
    assert KEY.export().strip() not in FILE
    assert bytes(range(32)) not in FILE
