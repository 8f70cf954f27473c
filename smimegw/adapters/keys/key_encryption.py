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
from dataclasses import dataclass, field

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

    def seal(self, secret: bytes, associated_data: bytes) -> SealedSecret:
        """Encrypt *secret* under a new data key, bound to *associated_data*."""
        data_key = os.urandom(_KEY_OCTETS)
        return SealedSecret(
            key_identifier=self.identifier,
            wrapped_key=_encrypt(self._key, data_key, _DATA_KEY_CONTEXT + associated_data),
            sealed=_encrypt(data_key, secret, _SECRET_CONTEXT + associated_data),
        )

    def open(self, secret: SealedSecret, associated_data: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            KeystoreError: Sealed by another key (*locked*), or changed since, or bound to other
                associated data.
        """
        if secret.key_identifier != self.identifier:
            raise KeystoreError(
                f"sealed with key-encryption key {secret.key_identifier}, configured is"
                f" {self.identifier}; set keystore.key_encryption_key to the right one",
                retryable=False,
                locked=True,
            )
        try:
            data_key = _decrypt(self._key, secret.wrapped_key, _DATA_KEY_CONTEXT + associated_data)
            return _decrypt(data_key, secret.sealed, _SECRET_CONTEXT + associated_data)
        except (InvalidTag, ValueError):
            raise KeystoreError(
                "changed since it was written, or belongs to another mailbox or certificate",
                retryable=False,
            ) from None


def _encrypt(key: bytes, octets: bytes, associated_data: bytes) -> bytes:
    nonce = os.urandom(_NONCE_OCTETS)
    return nonce + AESGCM(key).encrypt(nonce, octets, associated_data)


def _decrypt(key: bytes, octets: bytes, associated_data: bytes) -> bytes:
    if len(octets) < _NONCE_OCTETS + _TAG_OCTETS:
        raise ValueError("too short")
    return AESGCM(key).decrypt(octets[:_NONCE_OCTETS], octets[_NONCE_OCTETS:], associated_data)
