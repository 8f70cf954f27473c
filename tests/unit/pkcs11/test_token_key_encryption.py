"""A key-encryption key in a real token."""

from __future__ import annotations

import pytest
from pkcs11 import Attribute, ObjectClass, exceptions

from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, KeyRing
from smimegw.adapters.pkcs11.key_encryption import TokenKeyEncryption, generate
from smimegw.adapters.pkcs11.token import OpenSession
from smimegw.errors import KeystoreError, UsageError
from tests.peers.softhsm import SoftToken, make_token


@pytest.fixture(scope="module")
def soft() -> SoftToken:
    """A token with one key-encryption key."""
    soft = make_token()
    generate(soft.open(), "kek-1")
    return soft


def _key(soft: SoftToken) -> TokenKeyEncryption:
    return TokenKeyEncryption(soft.open(), "kek-1")


def test_what_the_token_s_key_sealed_opens_again(soft: SoftToken) -> None:
    """Another process with the same token opens it."""
    sealed = KeyRing(_key(soft)).seal(b"secret", b"alice")
    assert KeyRing(_key(soft)).open(sealed, b"alice") == b"secret"
    assert sealed.key_identifier == _key(soft).identifier


@pytest.mark.parametrize("position", [0, 20, -1])
def test_one_changed_octet_is_noticed(soft: SoftToken, position: int) -> None:
    """Nonce, ciphertext and tag are covered in the token, too (cases M03)."""
    octets = bytearray(_key(soft).wrap(bytes(32), b"alice"))
    octets[position] ^= 1
    with pytest.raises(KeystoreError, match="changed since") as caught:
        _key(soft).unwrap(bytes(octets), b"alice")
    assert not caught.value.locked


def test_other_associated_data_do_not_open(soft: SoftToken) -> None:
    """A data key moved to another object does not open (cases M03)."""
    wrapped = _key(soft).wrap(bytes(32), b"alice")
    with pytest.raises(KeystoreError, match="another mailbox"):
        _key(soft).unwrap(wrapped, b"bob")


def test_keys_move_from_a_file_into_the_token(soft: SoftToken) -> None:
    """Rotation goes between any two kinds of key-encryption key."""
    old = KeyEncryptionKey.generate()
    moved = KeyRing(_key(soft), [old]).rewrap(KeyRing(old).seal(b"secret", b"alice"), b"alice")
    assert KeyRing(_key(soft)).open(moved, b"alice") == b"secret"


def test_key_encryption_key_never_leaves(soft: SoftToken) -> None:
    """Its value is refused even to whoever has the PIN (cases M01)."""

    def read(opened: OpenSession) -> object:
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: "kek-1"}
        (found,) = opened.session.get_objects(wanted)
        return found[Attribute.VALUE]

    with pytest.raises(KeystoreError) as caught:
        soft.open().use(read)
    assert isinstance(caught.value.__cause__, exceptions.AttributeSensitive)


def test_missing_key_is_locked_and_says_what_to_do(soft: SoftToken) -> None:
    """A token without the key is a locked keystore (R-13)."""
    with pytest.raises(KeystoreError, match="generate-kek --token") as caught:
        _ = TokenKeyEncryption(soft.open(), "another").identifier
    assert caught.value.locked


def test_label_is_never_used_twice(soft: SoftToken) -> None:
    """Two keys of one name would be one too many to choose from."""
    with pytest.raises(UsageError, match="never overwritten"):
        generate(soft.open(), "kek-1")
