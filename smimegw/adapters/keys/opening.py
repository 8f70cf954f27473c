"""Opens the private keys of key objects and keeps them open, in memory or in a token."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from smimegw.adapters.keys.key_encryption import KeyRing
from smimegw.adapters.keys.key_object import Holder, KeyObject
from smimegw.cms.algorithms import PublicKey
from smimegw.cms.keys import (
    DecryptionKey,
    PrivateKey,
    SigningKey,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.errors import KeystoreError


class HeldKey(SigningKey, DecryptionKey, Protocol):
    """A private key in a token."""

    @property
    def public_key(self) -> PublicKey:
        """Its public half, as the token tells it."""
        ...


class KeyToken(Protocol):
    """The token that the keystore's keys may be in, each under a URI (RFC 7512)."""

    def find(self, uri: str) -> HeldKey:
        """Return the key that *uri* names.

        Raises:
            KeystoreError: It is not there, or the token does not answer.
        """
        ...

    def add(self, private_key: PrivateKey, *, label: str, signs: bool, decrypts: bool) -> str:
        """Put a key into the token and return its URI.

        Raises:
            KeystoreError: The token cannot hold it, or does not answer.
        """
        ...

    def remove(self, uri: str) -> None:
        """Destroy a key for good; nothing happens when it is gone already.

        Raises:
            KeystoreError: The token does not do it.
        """
        ...


_NO_KEY_ENCRYPTION_KEY = (
    "there is no key-encryption key; set keystore.key_encryption_key in the configuration (a new"
    " one is made by `smimegw key generate-kek FILE`)"
)


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """Handles of one private key, each with one duty."""

    signing: SigningKey = field(repr=False)
    decryption: DecryptionKey = field(repr=False)


class Opener:
    """Opens keys with the ring and the token of one keystore; safe to use from several threads."""

    def __init__(
        self, ring: KeyRing | None, token: KeyToken | None = None, *, locked_because: str = ""
    ) -> None:
        self._ring = ring
        self._locked_because = locked_because or _NO_KEY_ENCRYPTION_KEY
        self._token = token
        self._lock = threading.Lock()
        # By the whole object: a file whose mailboxes were edited is another object, and its seal
        # is judged again.
        self._opened: dict[KeyObject, OpenedKey] = {}
        self._kept: tuple[KeyObject, ...] = ()

    @property
    def ring(self) -> KeyRing:
        """The key-encryption keys.

        Raises:
            KeystoreError: There are none: the keystore is locked.
        """
        if self._ring is None:
            text = f"the keystore is locked: {self._locked_because}"
            raise KeystoreError(text, locked=True)
        return self._ring

    @property
    def token(self) -> KeyToken:
        """The token.

        Raises:
            KeystoreError: None is configured.
        """
        if self._token is None:
            raise KeystoreError(
                "this key is in a token, and none is configured; set [keystore.token] in the"
                " configuration",
                retryable=False,
                locked=True,
            )
        return self._token

    def open(self, key: KeyObject, path: Path) -> OpenedKey:
        """Return the handles of *key*, from the second time on without opening it again.

        Raises:
            KeystoreError: Locked, changed since it was written, or the token does not answer; the
                text names *path*.
        """
        with self._lock:
            opened = self._opened.get(key)
        if opened is not None:
            return opened
        secret = self.secret(key, path)
        try:
            opened = _loaded(secret) if key.holder is Holder.FILE else self._held(key, secret)
        except KeystoreError as exc:
            raise _at(path, exc) from exc
        with self._lock:
            return self._opened.setdefault(key, opened)

    def secret(self, key: KeyObject, path: Path) -> bytes:
        """Return what is sealed: PKCS #8, or the URI of the key in the token.

        Raises:
            KeystoreError: As `open`.
        """
        ring = self.ring
        try:
            return ring.open(key.secret, key.associated_data)
        except KeystoreError as exc:
            raise _at(path, exc) from exc

    def forget_all_but(self, keys: tuple[KeyObject, ...]) -> None:
        """Close every key that is not one of *keys*; the same tuple again costs nothing."""
        with self._lock:
            if keys is self._kept:
                return
            self._kept = keys
            for gone in self._opened.keys() - set(keys):
                del self._opened[gone]

    def _held(self, key: KeyObject, uri: bytes) -> OpenedKey:
        held = self.token.find(uri.decode())
        public = held.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public != key.certificate.subject_public_key_info:
            raise KeystoreError(
                "the key in the token is not the certificate's; restore the token from its backup"
                " or import the key again",
                retryable=False,
            )
        return OpenedKey(held, held)


def private_key_of(octets: bytes) -> PrivateKey:
    """Read PKCS #8 that was sealed.

    Raises:
        KeystoreError: A kind of key that is not used.
    """
    # RSA numbers were checked at import (tens of milliseconds), and the seal keeps them so.
    private = load_der_private_key(octets, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, PrivateKey):
        raise KeystoreError("an unknown kind of private key", retryable=False)
    return private


def _loaded(octets: bytes) -> OpenedKey:
    private = private_key_of(octets)
    return OpenedKey(SoftwareSigningKey(private), SoftwareDecryptionKey(private))


def _at(path: Path, error: KeystoreError) -> KeystoreError:
    return KeystoreError(
        f"{path}: {error}", server=error.server, retryable=error.retryable, locked=error.locked
    )
