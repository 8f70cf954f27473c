"""A key-encryption key in a file that a passphrase opens: scrypt, then AES-256-GCM (RFC 7914)."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, decrypt, encrypt
from smimegw.errors import KeystoreError

_CONTEXT = b"smimegw key-encryption key\0"
_FORMAT = 1
_SALT_OCTETS = 16
_KEY_OCTETS = 32
_COST = 2**17  # with a block size of 8: 128 MiB and some tenths of a second for every guess
_BLOCK_SIZE = 8
_MOST_COST = 2**20

Passphrase = Callable[[], bytes]


def protect(key: KeyEncryptionKey, passphrase: bytes, *, cost: int = _COST) -> bytes:
    """Return the file that holds *key* under *passphrase*."""
    salt = os.urandom(_SALT_OCTETS)
    wrapping = _derive(passphrase, salt, cost)
    document = {
        "smimegw_key_encryption_key": _FORMAT,
        "id": key.identifier,
        "kdf": "scrypt",
        "cost": cost,
        "salt": base64.b64encode(salt).decode("ascii"),
        "sealed": base64.b64encode(encrypt(wrapping, key.export(), _CONTEXT)).decode("ascii"),
    }
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def load(octets: bytes, passphrase: Passphrase | None = None) -> KeyEncryptionKey:
    """Read a key-encryption key: 32 octets, their base64, or a file that `protect` wrote.

    Raises:
        KeystoreError: None of them, no passphrase, or the wrong one; *locked* is set.
    """
    if not is_protected(octets):
        return KeyEncryptionKey.load(octets)
    try:
        document = json.loads(octets)
        form = (document["smimegw_key_encryption_key"], document["kdf"])
        cost = int(document["cost"])
        salt = base64.b64decode(document["salt"], validate=True)
        sealed = base64.b64decode(document["sealed"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        raise _damaged() from None
    if form != (_FORMAT, "scrypt") or not 2 <= cost <= _MOST_COST or cost & (cost - 1):
        raise _damaged()
    if passphrase is None:
        raise _locked(
            "the key-encryption key needs a passphrase; set keystore.passphrase in the"
            " configuration"
        )
    try:
        return KeyEncryptionKey.load(decrypt(_derive(passphrase(), salt, cost), sealed, _CONTEXT))
    except KeystoreError:
        # One text for both: telling them apart would need to trust a damaged file.
        raise _locked(
            "the passphrase of the key-encryption key is wrong, or its file is damaged; correct"
            " keystore.passphrase, else restore the file from its backup"
        ) from None


def is_protected(octets: bytes) -> bool:
    """Whether a file has the form that `protect` gives it; raw keys may begin like it."""
    return len(octets) != _KEY_OCTETS and octets.lstrip().startswith(b"{")


def _derive(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=_KEY_OCTETS, n=cost, r=_BLOCK_SIZE, p=1).derive(passphrase)


def _damaged() -> KeystoreError:
    return _locked("the file of the key-encryption key is damaged; restore it from its backup")


def _locked(text: str) -> KeystoreError:
    return KeystoreError(text, retryable=False, locked=True)
