"""Reads a private key with its certificates from a PKCS #12 or PEM file that somebody hands in."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)

from smimegw.adapters.keys.pkcs12_cost import check_encrypted_private_key, check_pkcs12
from smimegw.cms.algorithms import public_key_of
from smimegw.cms.keys import PrivateKey
from smimegw.errors import (
    CertificateError,
    PasswordError,
    UnsupportedAlgorithmError,
    UsageError,
)
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMaterial:
    """A private key, its certificate, and further certificates of the path, issuer first."""

    certificate: Certificate
    chain: tuple[Certificate, ...]
    private_key: PrivateKey = field(repr=False)

    def pkcs8(self) -> bytes:
        """The private key as PKCS #8, DER, in clear."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def read_key_material(
    octets: bytes,
    password: bytes | None = None,
    *,
    certificates: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
) -> KeyMaterial:
    """Read a PKCS #12 file, armoured or not, or PEM with one key and its certificates.

    Args:
        octets: The file with the key.
        password: For an encrypted key.
        certificates: A second PEM or DER file, when the certificate is not in the first.

    Raises:
        UsageError: Nothing that can be used; the text says why and what to do.
        LimitError: The file is absurdly large or slow to open.
    """
    if password is not None and b"\0" in password:  # the library would end the process
        raise UsageError(
            "the password holds an octet of zero, which no password has; is its file in UTF-16?"
            " Write it in UTF-8"
        )
    try:
        if b"-----BEGIN PKCS12-----" in octets:
            key, found = _read_pkcs12(_without_armour(octets, limits), password, limits)
        elif b"-----BEGIN " in octets:
            key, found = _read_pem(octets, password, limits)
        else:
            key, found = _read_pkcs12(octets, password, limits)
    except CertificateError as exc:
        raise UsageError(f"a certificate in the file cannot be read: {exc}") from exc
    if not isinstance(key, PrivateKey):
        raise UsageError("only RSA and elliptic curve keys can be used")
    found = (*found, *read_certificates(certificates)) if certificates else found
    certificate = _certificate_of(key, found)
    try:
        public_key_of(certificate, limits)
    except UnsupportedAlgorithmError as exc:
        raise UsageError(f"this key cannot be used: {exc}") from exc
    others = tuple(item for item in dict.fromkeys(found) if item != certificate)
    return KeyMaterial(
        certificate=certificate, chain=_in_order(certificate, others), private_key=key
    )


def read_certificates(octets: bytes) -> tuple[Certificate, ...]:
    """Read every certificate of a PEM file, or the one of a DER file.

    Raises:
        UsageError: None, or one that cannot be read.
    """
    try:
        if b"-----BEGIN " not in octets:
            return (Certificate.parse(octets),)
        blocks = [match for match in _PEM.finditer(octets) if match[1].endswith(b"CERTIFICATE")]
        if not blocks:
            raise UsageError("the file holds no certificate")
        return tuple(_pem_certificate(match[0]) for match in blocks)
    except CertificateError as exc:
        raise UsageError(f"not a certificate that can be used: {exc}") from exc


def _without_armour(octets: bytes, limits: Limits) -> bytes:
    # QUIRK 2026-11 GnuTLS's certtool writes PKCS #12 like this, and RFC 9216 prints it so
    if len(octets) > 2 * limits.key_file_octets:
        raise UsageError(f"a key file of more than {limits.key_file_octets} octets is none")
    blocks = [match[0] for match in _PEM.finditer(octets) if match[1] == b"PKCS12"]
    try:
        (block,) = blocks
        return base64.b64decode(b"".join(block.splitlines()[1:-1]), validate=True)
    except (ValueError, binascii.Error):
        raise UsageError("the armoured PKCS #12 file is damaged") from None


def _read_pkcs12(
    octets: bytes, password: bytes | None, limits: Limits
) -> tuple[object, tuple[Certificate, ...]]:
    check_pkcs12(octets, limits)
    try:
        (password or b"").decode()  # RFC 7292, B.1: letters, not octets
    except UnicodeDecodeError:
        raise PasswordError("wrong password: it is not UTF-8; write its file in UTF-8") from None
    try:
        loaded = pkcs12.load_pkcs12(octets, password)
    except (ValueError, x509.InvalidVersion):
        if password is None:
            raise UsageError("the PKCS #12 file has a password; give --password-file") from None
        raise PasswordError("wrong password, or the PKCS #12 file is damaged") from None
    except TypeError:
        raise UsageError(
            "the PKCS #12 file holds a kind of private key that cannot be read from there, such as"
            " X25519; write it as PEM: openssl pkcs12 -in FILE -out key.pem"
        ) from None
    except UnsupportedAlgorithm:
        raise UsageError("the PKCS #12 file is encrypted in a way that is not supported") from None
    if loaded.key is None:
        raise UsageError("the PKCS #12 file holds no private key; export it together with its key")
    entries = ([loaded.cert] if loaded.cert else []) + loaded.additional_certs
    return loaded.key, tuple(_certificate(entry.certificate) for entry in entries)


def _read_pem(
    octets: bytes, password: bytes | None, limits: Limits
) -> tuple[object, tuple[Certificate, ...]]:
    if len(octets) > limits.key_file_octets:
        raise UsageError(f"a key file of more than {limits.key_file_octets} octets is none")
    blocks = [(match[1], match[0]) for match in _PEM.finditer(octets)]
    keys = [pem for label, pem in blocks if label.endswith(b"PRIVATE KEY")]
    if len(keys) != 1:
        raise UsageError(f"the PEM file holds {len(keys)} private keys where one is expected")
    encrypted = b"ENCRYPTED" in keys[0]
    if b"BEGIN ENCRYPTED PRIVATE KEY" in keys[0]:
        check_encrypted_private_key(keys[0], limits)
    if encrypted and password is None:
        raise UsageError("the private key has a password; give --password-file")
    try:
        key: object = load_pem_private_key(keys[0], password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise PasswordError("wrong password, or the private key is damaged") from None
        raise UsageError("the private key cannot be read: damaged key") from None
    certificates = [pem for label, pem in blocks if label.endswith(b"CERTIFICATE")]
    return key, tuple(_pem_certificate(pem) for pem in certificates)


def _certificate_of(key: PrivateKey, found: Sequence[Certificate]) -> Certificate:
    if not found:
        raise UsageError("the file holds a private key and no certificate; give both")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for certificate in found:
        if _public_key(certificate) == public:
            return certificate
    raise UsageError("the private key does not belong to the certificate: the public keys differ")


def _in_order(certificate: Certificate, others: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The path upwards as far as names lead; what does not belong to it is dropped."""
    path: list[Certificate] = []
    current = certificate
    while not current.is_self_issued:
        above = [c for c in others if c.subject_der == current.issuer_der and c not in path]
        if not above:
            break
        current = above[0]
        path.append(current)
    return tuple(path)


def _public_key(certificate: Certificate) -> bytes:
    try:
        return certificate.subject_public_key_info
    except CertificateError:
        return b""  # another kind of key, so another certificate's


def _pem_certificate(pem: bytes) -> Certificate:
    try:
        return _certificate(x509.load_pem_x509_certificate(pem))
    except PARSE_ERRORS as exc:
        raise CertificateError("malformed", "not a certificate in PEM") from exc


def _certificate(parsed: x509.Certificate) -> Certificate:
    return Certificate.parse(parsed.public_bytes(Encoding.DER))
