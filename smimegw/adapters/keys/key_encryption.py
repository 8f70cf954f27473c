"""The key-encryption key: wraps the data key of each key object, which wraps the private key.

Two levels, so that a new key-encryption key means wrapping 32 octets anew per object and never
touching a private key.  AES-256-GCM on both; the associated data say what the object is, so that
nothing can be moved to another object.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smimegw.errors import KeystoreError

_KEY_OCTETS = 32
_NONCE_OCTETS = 12  # NIST SP 800-38D, 5.2.1.1
_TAG_OCTETS = 16
_DATA_KEY_CONTEXT = b"smimegw data key\0"
_SECRET_CONTEXT = b"smimegw secret\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A secret that only its key-encryption key opens.

    Attributes:
        key_identifier: `KeyEncryptionKey.identifier` of the key that sealed it.
        wrapped_key: The data key under the key-encryption key: nonce, ciphertext, tag.
        sealed: The secret under the data key: nonce, ciphertext, tag.
    """

    key_identifier: str
    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


class KeyEncryption(Protocol):
    """A key-encryption key, wherever it is: in memory or in a token."""

    @property
    def identifier(self) -> str:
        """Tells which key it is and nothing about it.

        Raises:
            KeystoreError: Its token does not answer.
        """
        ...

    def wrap(self, data_key: bytes, associated_data: bytes) -> bytes:
        """Encrypt a data key, bound to *associated_data*: nonce, ciphertext, tag.

        Raises:
            KeystoreError: The key cannot be used now.
        """
        ...

    def unwrap(self, wrapped_key: bytes, associated_data: bytes) -> bytes:
        """Undo `wrap`.

        Raises:
            KeystoreError: Changed since, of another object, or the key cannot be used now.
        """
        ...


class KeyEncryptionKey:
    """An AES-256 key that never leaves this object except by `export`."""

    __slots__ = ("_key", "identifier")

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_OCTETS:
            raise ValueError(f"a key-encryption key has {_KEY_OCTETS} octets")
        self._key = key
        # Tells which key is meant without telling anything about it.
        self.identifier = "kek-" + hmac.digest(key, b"smimegw key identifier", "sha256")[:8].hex()

    def __repr__(self) -> str:
        return f"KeyEncryptionKey({self.identifier})"

    @classmethod
    def generate(cls) -> KeyEncryptionKey:
        """Make a new random key."""
        return cls(os.urandom(_KEY_OCTETS))

    @classmethod
    def load(cls, octets: bytes) -> KeyEncryptionKey:
        """Read what a file, credential or environment variable holds: 32 octets or their base64.

        Raises:
            KeystoreError: Neither of both; *locked* is set.
        """
        if len(octets) == _KEY_OCTETS:
            return cls(octets)
        try:
            return cls(base64.b64decode(octets.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise KeystoreError(
                "the key-encryption key is neither 32 octets nor 32 octets in base64; point"
                " keystore.key_encryption_key to the file that `smimegw key generate-kek` wrote",
                retryable=False,
                locked=True,
            ) from None

    def export(self) -> bytes:
        """The key in base64 with a line end, for the file an administrator keeps safe."""
        return base64.b64encode(self._key) + b"\n"

    def wrap(self, data_key: bytes, associated_data: bytes) -> bytes:
        """See `KeyEncryption.wrap`."""
        return encrypt(self._key, data_key, associated_data)

    def unwrap(self, wrapped_key: bytes, associated_data: bytes) -> bytes:
        """See `KeyEncryption.unwrap`."""
        return decrypt(self._key, wrapped_key, associated_data)


class KeyRing:
    """The key-encryption key that seals, and those from before it that still open.

    Args:
        current: Seals what is new.
        previous: Open what was sealed by them; `rewrap` moves it to *current*.
    """

    __slots__ = ("_all", "current")

    def __init__(self, current: KeyEncryption, previous: Iterable[KeyEncryption] = ()) -> None:
        self.current = current
        self._all = (current, *previous)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._all)} keys)"

    def seal(self, secret: bytes, associated_data: bytes) -> SealedSecret:
        """Encrypt *secret* under a new data key, bound to *associated_data*.

        Raises:
            KeystoreError: The token of the key-encryption key does not answer.
        """
        data_key = os.urandom(_KEY_OCTETS)
        return SealedSecret(
            key_identifier=self.current.identifier,
            wrapped_key=self.current.wrap(data_key, _DATA_KEY_CONTEXT + associated_data),
            sealed=encrypt(data_key, secret, _SECRET_CONTEXT + associated_data),
        )

    def open(self, secret: SealedSecret, associated_data: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            KeystoreError: Sealed by a key we have not (*locked*), or changed since, or bound to
                other associated data; or a token does not answer.
        """
        data_key = self._data_key(secret, associated_data)
        return decrypt(data_key, secret.sealed, _SECRET_CONTEXT + associated_data)

    def rewrap(self, secret: SealedSecret, associated_data: bytes) -> SealedSecret:
        """Return *secret* under the current key; the secret itself is not opened.

        Raises:
            KeystoreError: As `open`.
        """
        data_key = self._data_key(secret, associated_data)
        return replace(
            secret,
            key_identifier=self.current.identifier,
            wrapped_key=self.current.wrap(data_key, _DATA_KEY_CONTEXT + associated_data),
        )

    def _data_key(self, secret: SealedSecret, associated_data: bytes) -> bytes:
        for key in self._all:
            if key.identifier == secret.key_identifier:
                return key.unwrap(secret.wrapped_key, _DATA_KEY_CONTEXT + associated_data)
        names = ", ".join(key.identifier for key in self._all)
        raise KeystoreError(
            f"sealed with key-encryption key {secret.key_identifier}, configured is {names}; set"
            " keystore.key_encryption_key to the right one, or name it in"
            " keystore.previous_key_encryption_keys",
            retryable=False,
            locked=True,
        )


def encrypt(key: bytes, octets: bytes, associated_data: bytes) -> bytes:
    """AES-GCM under a random nonce: nonce, ciphertext, tag."""
    nonce = os.urandom(_NONCE_OCTETS)
    return nonce + AESGCM(key).encrypt(nonce, octets, associated_data)


def decrypt(key: bytes, octets: bytes, associated_data: bytes) -> bytes:
    """Undo `encrypt`.

    Raises:
        KeystoreError: Changed since, or of another object.
    """
    if len(octets) < _NONCE_OCTETS + _TAG_OCTETS:
        raise changed()
    nonce, ciphertext = octets[:_NONCE_OCTETS], octets[_NONCE_OCTETS:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated_data)
    except (InvalidTag, ValueError):
        raise changed() from None


def changed() -> KeystoreError:
    """What does not open under its own key."""
    return KeystoreError(
        "changed since it was written, or belongs to another mailbox or certificate; restore it"
        " from a backup or import the key again",
        retryable=False,
    )
