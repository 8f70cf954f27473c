"""A key-encryption key that is in a token and never leaves it: AES-256-GCM there."""

from __future__ import annotations

import os
from typing import Any

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11.types import DecryptMixin, EncryptMixin

from smimegw.adapters.pkcs11.token import OpenSession, Token
from smimegw.adapters.pkcs11.trouble import NOT_DECRYPTED
from smimegw.errors import KeystoreError, UsageError

_BITS = 256
_ID_OCTETS = 16
_NONCE_OCTETS = 12  # NIST SP 800-38D, 5.2.1.1
_TAG_BITS = 128
_PROBE_BITS = 64


class TokenKeyEncryption:
    """The AES key of this label in *token*; what a keystore wraps its data keys with."""

    def __init__(self, token: Token, label: str) -> None:
        self._token = token
        self._label = label
        self._id = b""

    def __repr__(self) -> str:
        return f"TokenKeyEncryption({self._token!r}, {self._label!r})"

    @property
    def identifier(self) -> str:
        """``kek-`` and the beginning of its CKA_ID.

        Raises:
            KeystoreError: There is no such key, or the token does not answer.
        """
        if not self._id:
            self._id = self._token.use(lambda opened: bytes(self._key(opened)[Attribute.ID]))
        return f"kek-{self._id[:8].hex()}"

    def wrap(self, data_key: bytes, associated_data: bytes) -> bytes:
        """Encrypt a data key, bound to *associated_data*: nonce, ciphertext, tag.

        Raises:
            KeystoreError: The key cannot be used now.
        """

        def encrypt(opened: OpenSession) -> bytes:
            key = self._key(opened)
            if not isinstance(key, EncryptMixin):
                raise self._unfit()
            return nonce + _octets(
                key.encrypt(data_key, mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
            )

        nonce = os.urandom(_NONCE_OCTETS)
        parameters = GCMParams(nonce, associated_data, _TAG_BITS)
        return self._token.use(encrypt)

    def unwrap(self, wrapped_key: bytes, associated_data: bytes) -> bytes:
        """Undo `wrap`.

        Raises:
            KeystoreError: Changed since, of another object, or the key cannot be used now.
        """

        def decrypt(opened: OpenSession) -> bytes | None:
            key = self._key(opened)
            if not isinstance(key, DecryptMixin):
                raise self._unfit()
            try:
                return _octets(
                    key.decrypt(
                        wrapped_key[_NONCE_OCTETS:],
                        mechanism=Mechanism.AES_GCM,
                        mechanism_param=parameters,
                    )
                )
            except NOT_DECRYPTED:
                # A wrong tag and a token that is out of order have one word in some tokens.
                opened.session.generate_random(_PROBE_BITS)
                return None

        parameters = GCMParams(wrapped_key[:_NONCE_OCTETS], associated_data, _TAG_BITS)
        data_key = self._token.use(decrypt) if len(wrapped_key) > _NONCE_OCTETS else None
        if data_key is None:
            raise KeystoreError(
                "changed since it was written, or belongs to another mailbox or certificate;"
                " restore it from a backup or import the key again",
                retryable=False,
            )
        return data_key

    def _key(self, opened: OpenSession) -> pkcs11.SecretKey:
        name = b"\0" + self._label.encode()  # no CKA_ID that others look for
        known = opened.objects.get(name)
        if isinstance(known, pkcs11.SecretKey):
            return known
        found = _keys(opened.session, self._label)
        if len(found) != 1:
            raise KeystoreError(
                f"token {self._token.name} holds {len(found)} AES keys {self._label!r} where one"
                " is expected; smimegw key generate-kek --token makes one, a backup brings it back",
                server=self._token.name,
                retryable=False,
                locked=True,
            )
        opened.objects[name] = found[0]
        return found[0]

    def _unfit(self) -> KeystoreError:
        return KeystoreError(
            f"token {self._token.name} does not let the key {self._label!r} encrypt and decrypt",
            retryable=False,
            locked=True,
        )


def generate(token: Token, label: str) -> TokenKeyEncryption:
    """Make a new key-encryption key in *token*.

    Raises:
        UsageError: There is one of that label.
        KeystoreError: The token cannot do that, or does not answer.
    """

    def make(session: pkcs11.Session) -> None:
        if _keys(session, label):
            raise UsageError(
                f"token {token.name} has a key {label!r} already; a key is never overwritten"
            )
        session.generate_key(
            KeyType.AES,
            _BITS,
            id=os.urandom(_ID_OCTETS),
            label=label,
            store=True,
            template={
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.PRIVATE: True,
                Attribute.ENCRYPT: True,
                Attribute.DECRYPT: True,
                Attribute.WRAP: False,
                Attribute.UNWRAP: False,
                Attribute.SIGN: False,
                Attribute.VERIFY: False,
            },
        )

    token.write(make)
    return TokenKeyEncryption(token, label)


def _keys(session: pkcs11.Session, label: str) -> list[pkcs11.SecretKey]:
    wanted: dict[Attribute, Any] = {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.AES,
        Attribute.LABEL: label,
    }
    found = list(session.get_objects(wanted))
    return [key for key in found if isinstance(key, pkcs11.SecretKey)]


def _octets(output: Any) -> bytes:
    return output if isinstance(output, bytes) else b"".join(output)
