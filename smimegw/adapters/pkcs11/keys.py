"""Finds, makes and takes in the private keys of a token; what they do stands in `operations`.

token = Token(TokenSettings(module=Path("/usr/lib/…"), label="gateway", pin=read_pin))
keys = TokenKeys(token)
key = keys.generate("rsa-3072", label="alice 2027", duty=Duty.SIGN)
key.sign(data, SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11 import exceptions as p11

from smimegw.adapters.pkcs11 import operations
from smimegw.adapters.pkcs11.public_keys import (
    PrivateKey,
    PublicKey,
    curve_parameters,
    edwards_parameters,
    private_attributes,
    public_attributes,
    read_public_key,
)
from smimegw.adapters.pkcs11.token import OpenSession, Token
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.cms.keys import AgreementKey
from smimegw.errors import DecryptionError, KeystoreError, UsageError

_ID_OCTETS = 16
_CURVES: Mapping[str, ec.EllipticCurve] = {
    "p-256": ec.SECP256R1(),
    "p-384": ec.SECP384R1(),
    "p-521": ec.SECP521R1(),
    "brainpool-p256": ec.BrainpoolP256R1(),
    "brainpool-p384": ec.BrainpoolP384R1(),
    "brainpool-p512": ec.BrainpoolP512R1(),
}
_RSA_BITS = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
KINDS = (*_RSA_BITS, *_CURVES, "ed25519")
"""The kinds of key pairs that `TokenKeys.generate` asks for; not every token can all."""


class Duty(Enum):
    """What the token lets a key be used for."""

    SIGN = "sign"
    DECRYPT = "decrypt"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key in a token; both a `SigningKey` and a `DecryptionKey`.

    Attributes:
        token: Where it is.
        id: CKA_ID, which the public key object has, too.
        label: CKA_LABEL.
        public_key: Its public half.
    """

    token: Token
    id: bytes
    label: str
    public_key: PublicKey = field(repr=False)

    def sign(self, data: bytes, scheme: SignatureScheme, digest: DigestAlgorithm) -> bytes:
        """See `SigningKey.sign`."""
        return self.token.use(
            lambda opened: operations.sign(
                _private(opened, self.id), self.public_key, data, scheme, digest
            )
        )

    def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
        """See `DecryptionKey.decrypt`."""
        return self.token.use(
            lambda opened: operations.decrypt(_private(opened, self.id), encrypted_key, transport)
        )

    def exchange(self, peer_public_key: AgreementKey) -> bytes:
        """See `DecryptionKey.exchange`."""
        own, peer = self.public_key, peer_public_key
        if (
            not isinstance(own, ec.EllipticCurvePublicKey)
            or not isinstance(peer, ec.EllipticCurvePublicKey)
            or own.curve.name != peer.curve.name
        ):
            raise DecryptionError
        return self.token.use(lambda opened: operations.exchange(_private(opened, self.id), peer))


class TokenKeys:
    """The key pairs of a token."""

    def __init__(self, token: Token) -> None:
        self.token = token

    def all(self) -> tuple[TokenKey, ...]:
        """Return every key pair whose private half is there and whose kind is used.

        Raises:
            KeystoreError: The token does not answer.
        """
        return self.token.use(lambda opened: self._found(opened, {}))

    def find(self, *, id: bytes = b"", label: str = "") -> TokenKey:  # noqa: A002 – CKA_ID
        """Return the one key pair of that id, label or both.

        Raises:
            KeystoreError: None, several, or the token does not answer.
        """
        wanted: dict[Attribute, Any] = {}
        if id:
            wanted[Attribute.ID] = id
        if label:
            wanted[Attribute.LABEL] = label
        found = self.token.use(lambda opened: self._found(opened, wanted))
        if len(found) != 1:
            name = " ".join((*([f"id {id.hex()}"] if id else []), *([label] if label else [])))
            raise KeystoreError(
                f"token {self.token.name} holds {len(found)} private keys {name} that can be used"
                " where one is expected; pkcs11-tool --login --list-objects shows what it holds",
                server=self.token.name,
                retryable=False,
            )
        return found[0]

    def generate(self, kind: str, *, label: str, duty: Duty = Duty.BOTH) -> TokenKey:
        """Make a key pair of one of `KINDS` in the token; its private half never leaves it.

        Raises:
            UsageError: No such kind.
            KeystoreError: The token cannot do that, or does not answer.
        """
        identifier = os.urandom(_ID_OCTETS)
        public = _public_template(identifier, label, duty)
        private = _private_template(identifier, label, duty)

        def make(session: pkcs11.Session) -> PublicKey:
            if kind in _RSA_BITS:
                made, _ = session.generate_keypair(
                    KeyType.RSA,
                    _RSA_BITS[kind],
                    store=True,
                    public_template=public,
                    private_template=private,
                )
                return read_public_key(made)
            key_type, parameters = KeyType.EC_EDWARDS, edwards_parameters()
            if kind in _CURVES:
                key_type, parameters = KeyType.EC, curve_parameters(_CURVES[kind])
            domain = session.create_domain_parameters(
                key_type, {Attribute.EC_PARAMS: parameters}, local=True
            )
            made, _ = domain.generate_keypair(
                store=True, public_template=public, private_template=private
            )
            return read_public_key(made)

        if kind not in KINDS:
            raise UsageError(f'there is no kind of key "{kind}"; there are: {", ".join(KINDS)}')
        return TokenKey(self.token, identifier, label, self.token.write(make))

    def add(self, key: PrivateKey, *, label: str, duty: Duty = Duty.BOTH) -> TokenKey:
        """Put a key pair that was made elsewhere into the token, from where it never comes back.

        Raises:
            KeystoreError: The token cannot hold it, or does not answer.
        """
        identifier = os.urandom(_ID_OCTETS)
        public_key: PublicKey = key.public_key()
        private = private_attributes(key) | _private_template(identifier, label, duty)
        public = public_attributes(public_key) | _public_template(identifier, label, duty)

        def put(session: pkcs11.Session) -> None:
            session.create_object(private)
            session.create_object(public)

        self.token.write(put)
        return TokenKey(self.token, identifier, label, public_key)

    def remove(self, key: TokenKey) -> None:
        """Destroy a key pair for good.

        Raises:
            KeystoreError: The token does not do it.
        """

        def destroy(session: pkcs11.Session) -> None:
            for found in list(session.get_objects({Attribute.ID: key.id})):
                found.destroy()

        self.token.write(destroy)

    def _found(self, opened: OpenSession, wanted: dict[Attribute, Any]) -> tuple[TokenKey, ...]:
        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **wanted}
        keys = []
        for private in list(opened.session.get_objects(wanted)):
            identifier, label = bytes(private[Attribute.ID]), str(private[Attribute.LABEL])
            try:
                public = read_public_key(_public_half(opened.session, private, identifier))
            except KeystoreError:
                continue  # a kind of key that nobody here uses
            keys.append(TokenKey(self.token, identifier, label, public))
        return tuple(keys)


def _public_half(
    session: pkcs11.Session, private: pkcs11.Object, identifier: bytes
) -> pkcs11.Object:
    if private[Attribute.KEY_TYPE] is KeyType.RSA:
        return private
    wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: identifier}
    for found in list(session.get_objects(wanted)):
        return found
    raise KeystoreError("the token holds a private key without its public one", retryable=False)


def _private(opened: OpenSession, identifier: bytes) -> pkcs11.PrivateKey:
    known = opened.objects.get(identifier)
    if isinstance(known, pkcs11.PrivateKey):
        return known
    wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: identifier}
    for found in list(opened.session.get_objects(wanted)):
        if isinstance(found, pkcs11.PrivateKey):
            opened.objects[identifier] = found
            return found
    raise p11.ObjectHandleInvalid  # gone since it was found


def _private_template(identifier: bytes, label: str, duty: Duty) -> dict[Attribute, Any]:
    return {
        Attribute.ID: identifier,
        Attribute.LABEL: label,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.SIGN: duty is not Duty.DECRYPT,
        Attribute.DECRYPT: duty is not Duty.SIGN,
        Attribute.DERIVE: duty is not Duty.SIGN,
        Attribute.UNWRAP: False,
    }


def _public_template(identifier: bytes, label: str, duty: Duty) -> dict[Attribute, Any]:
    return {
        Attribute.ID: identifier,
        Attribute.LABEL: label,
        Attribute.TOKEN: True,
        Attribute.VERIFY: duty is not Duty.DECRYPT,
        Attribute.ENCRYPT: duty is not Duty.SIGN,
        Attribute.WRAP: False,
    }
