"""The key-encryption key: what it seals, only it opens, and only for what it was sealed for."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, KeyRing
from smimegw.errors import KeystoreError

KEY = KeyEncryptionKey(bytes(range(32)))
KEK = KeyRing(KEY)


def test_what_was_sealed_opens_again() -> None:
    """Sealing and opening with the same associated data gives the secret back."""
    assert KEK.open(KEK.seal(b"secret", b"alice"), b"alice") == b"secret"


def test_other_associated_data_do_not_open() -> None:
    """A secret moved to another object does not open (cases M03)."""
    sealed = KEK.seal(b"secret", b"alice")
    with pytest.raises(KeystoreError, match="another mailbox or certificate") as caught:
        KEK.open(sealed, b"bob")
    assert not caught.value.locked


@pytest.mark.parametrize("part", ["wrapped_key", "sealed"])
@pytest.mark.parametrize("position", [0, 20, -1])
def test_one_changed_octet_is_noticed(part: str, position: int) -> None:
    """AES-256-GCM on both levels covers nonce, ciphertext and tag."""
    sealed = KEK.seal(b"secret" * 5, b"alice")
    octets = bytearray(getattr(sealed, part))
    octets[position] ^= 1
    with pytest.raises(KeystoreError):
        KEK.open(replace(sealed, **{part: bytes(octets)}), b"alice")


@pytest.mark.parametrize("part", ["wrapped_key", "sealed"])
def test_too_short_octets_are_an_error_of_ours(part: str) -> None:
    """A truncated file ends in KeystoreError, not in one of the crypto library."""
    sealed = KEK.seal(b"secret", b"alice")
    with pytest.raises(KeystoreError):
        KEK.open(replace(sealed, **{part: b"short"}), b"alice")


def test_wrong_key_encryption_key_is_locked_and_names_both() -> None:
    """The administrator is told which key is wanted and which is configured (R-13)."""
    sealed = KeyRing(KeyEncryptionKey.generate()).seal(b"secret", b"alice")
    with pytest.raises(KeystoreError) as caught:
        KEK.open(sealed, b"alice")
    assert caught.value.locked
    assert sealed.key_identifier in str(caught.value)
    assert KEY.identifier in str(caught.value)


def test_every_secret_has_a_data_key_of_its_own() -> None:
    """Equal secrets do not look equal, and the data key under the KEK differs."""
    first, second = KEK.seal(b"secret", b"alice"), KEK.seal(b"secret", b"alice")
    assert first.sealed != second.sealed
    assert first.wrapped_key != second.wrapped_key


@pytest.mark.parametrize(
    "octets",
    [bytes(range(32)), base64.b64encode(bytes(range(32))), KEY.export()],
    ids=["raw", "base64", "exported"],
)
def test_load_takes_raw_octets_and_base64(octets: bytes) -> None:
    """Credentials are often raw, files and variables are text."""
    assert KeyEncryptionKey.load(octets).identifier == KEY.identifier


@pytest.mark.parametrize(
    "octets", [b"", b"short", bytes(31), bytes(33), base64.b64encode(bytes(16)), b"\xff" * 44]
)
def test_load_refuses_anything_else(octets: bytes) -> None:
    """A wrong file is a locked keystore, never a short key."""
    with pytest.raises(KeystoreError) as caught:
        KeyEncryptionKey.load(octets)
    assert caught.value.locked


def test_repr_shows_no_key() -> None:
    """Key material is never in a repr."""
    assert KEY.export().strip().decode() not in f"{KEY!r} {KEK!r}"
    assert bytes(range(32)).hex() not in f"{KEY!r} {KEK!r}"


# --- rotation ----------------------------------------------------------------------------------


def test_ring_opens_what_an_earlier_key_sealed() -> None:
    """Both keys are readable while keys are moved from one to the other."""
    new = KeyRing(KeyEncryptionKey.generate(), [KEY])
    assert new.open(KEK.seal(b"secret", b"alice"), b"alice") == b"secret"


def test_rewrapped_secret_needs_the_earlier_key_no_longer() -> None:
    """After rotation the new key alone opens, and the old one no longer does (cases M05)."""
    key = KeyEncryptionKey.generate()
    moved = KeyRing(key, [KEY]).rewrap(KEK.seal(b"secret", b"alice"), b"alice")
    assert KeyRing(key).open(moved, b"alice") == b"secret"
    with pytest.raises(KeystoreError) as caught:
        KEK.open(moved, b"alice")
    assert caught.value.locked


def test_rewrapping_leaves_the_sealed_secret_as_it_is() -> None:
    """Rotation moves data keys; the private key is never opened for it."""
    before = KEK.seal(b"secret", b"alice")
    after = KeyRing(KeyEncryptionKey.generate(), [KEY]).rewrap(before, b"alice")
    assert after.sealed == before.sealed
    assert after.wrapped_key != before.wrapped_key


def test_rewrapping_under_other_associated_data_is_refused() -> None:
    """Rotation cannot be used to move a key to another mailbox (cases M03)."""
    ring = KeyRing(KeyEncryptionKey.generate(), [KEY])
    with pytest.raises(KeystoreError, match="another mailbox"):
        ring.rewrap(KEK.seal(b"secret", b"alice"), b"bob")
