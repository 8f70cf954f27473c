"""RecipientInfos: a content key wrapped for each recipient, by RSA or ECDH (RFC 5652, 6.2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from smimegw.cms import asn1, der, key_agreement, key_encryption_algorithms
from smimegw.cms.algorithms import KeyEncryption, public_key_of
from smimegw.cms.asn1 import Element
from smimegw.cms.identifiers import (
    CertificateIdentifier,
    issuer_and_serial_number,
    read_identifier,
)
from smimegw.cms.key_agreement import KeyAgreeRecipientInfo
from smimegw.cms.key_encryption_algorithms import KeyTransport, OAEPParameters
from smimegw.cms.keys import DecryptionCredential, oaep_padding
from smimegw.errors import CMSError, DecryptionError, UnsupportedAlgorithmError
from smimegw.limits import Limits
from smimegw.x509.certificate import Certificate

_VERSION_0 = der.integer(0)
_KEY_AGREE = 0xA1
_OTHERS = (0xA2, 0xA3, 0xA4)  # kekri, pwri, ori: nobody's certificate, ignored

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom to encrypt, and how."""

    certificate: Certificate
    key_encryption: KeyEncryption


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransRecipientInfo:
    """A content key under an RSA key (RFC 5652, 6.2.1)."""

    identifier: CertificateIdentifier
    algorithm: Element = field(repr=False)
    encrypted_key: bytes = field(repr=False)

    @property
    def is_weak(self) -> bool:
        """Key transport is not one of old mail only."""
        return False

    def content_key(
        self, credential: DecryptionCredential, key_octets: int, rng: Random = os.urandom
    ) -> bytes:
        """Recover a content key of *key_octets*.

        What PKCS#1 v1.5 does not decrypt to a key of the right length becomes a random one, so
        that nobody learns from our answers whether the padding was good (RFC 3218, 2.3.2).

        Raises:
            DecryptionError: Another algorithm, or OAEP does not decrypt.
            KeystoreError: The key cannot be used now.
        """
        try:
            transport = key_encryption_algorithms.read_key_transport(self.algorithm)
        except CMSError:
            raise DecryptionError from None
        substitute = rng(key_octets)
        try:
            content_key = credential.key.decrypt(self.encrypted_key, transport)
        except DecryptionError:
            content_key = b""
        if len(content_key) == key_octets:
            return content_key
        if transport.oaep is not None:
            raise DecryptionError
        return substitute


RecipientInfo = KeyTransRecipientInfo | KeyAgreeRecipientInfo


def read_recipient_infos(
    element: Element, limits: Limits
) -> tuple[tuple[RecipientInfo, ...], bool]:
    """Read RecipientInfos, and whether there were more than limits.recipient_infos of them.

    Raises:
        CMSError: Malformed.
    """
    found: list[RecipientInfo] = []
    reader = element.children()
    scanned = 0
    while not reader.at_end:
        if scanned >= limits.recipient_infos:
            return tuple(found), True
        choice = reader.read()
        scanned += 1
        if choice.tag == asn1.SEQUENCE:
            found.append(_read_key_trans(choice))
        elif choice.tag == _KEY_AGREE:
            room = limits.recipient_infos - scanned + 1
            agreed, more = key_agreement.read_key_agree(choice, room)
            found += agreed
            if more:
                return tuple(found), True
            scanned += max(len(agreed) - 1, 0)
        elif choice.tag not in _OTHERS:
            raise CMSError("RecipientInfo of an unknown kind")
    return tuple(found), False


def write_recipient_infos(recipients: Sequence[Recipient], content_key: bytes) -> bytes:
    """Wrap *content_key* for every recipient, each certificate once.

    Raises:
        UnsupportedAlgorithmError: A certificate's key cannot be used with its key encryption.
    """
    if not recipients:
        raise ValueError("encryption without recipients")
    unique = {recipient.certificate: recipient for recipient in recipients}
    return der.set_of(_write(recipient, content_key) for recipient in unique.values())


def needs_version_2(recipients: Sequence[Recipient]) -> bool:
    """Whether one of them makes EnvelopedData version 2 (RFC 5652, 6.1)."""
    return any(recipient.key_encryption.is_agreement for recipient in recipients)


def _write(recipient: Recipient, content_key: bytes) -> bytes:
    if recipient.key_encryption.is_agreement:
        return key_agreement.write_key_agree(
            recipient.certificate, recipient.key_encryption, content_key
        )
    return _write_key_trans(recipient, content_key)


def _read_key_trans(element: Element) -> KeyTransRecipientInfo:
    fields = element.children()
    fields.read(asn1.INTEGER).integer()
    identifier = read_identifier(fields.read())
    algorithm = fields.read(asn1.SEQUENCE)
    encrypted_key = fields.read(asn1.OCTET_STRING, asn1.OCTET_STRING | asn1.CONSTRUCTED).octets()
    fields.finish()
    return KeyTransRecipientInfo(
        identifier=identifier, algorithm=algorithm, encrypted_key=encrypted_key
    )


def _write_key_trans(recipient: Recipient, content_key: bytes) -> bytes:
    key = public_key_of(recipient.certificate)
    if not isinstance(key, rsa.RSAPublicKey):
        raise UnsupportedAlgorithmError(
            f"{recipient.key_encryption.label} needs an RSA key, the certificate's is another"
        )
    encrypted_key = key.encrypt(content_key, _padding(recipient.key_encryption))
    return der.sequence(
        _VERSION_0,
        issuer_and_serial_number(recipient.certificate),
        key_encryption_algorithms.write_key_transport(recipient.key_encryption),
        der.octet_string(encrypted_key),
    )


@cache
def _padding(key_encryption: KeyEncryption) -> padding.AsymmetricPadding:
    digest = key_encryption.digest
    transport = KeyTransport(
        oaep=None if digest is None else OAEPParameters(digest=digest, mgf_digest=digest)
    )
    return oaep_padding(transport) or padding.PKCS1v15()
