"""Escrow: copies of decryption keys that only several people together can open.

A copy is CMS to the recovery certificate, so that any CMS program opens it with the recovery key.
That key lies beside it under a passphrase, and the passphrase is what is split among people.
Signing keys have no copies: nobody may ever sign for somebody else.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from smimegw.adapters.keys.containers import KeyMaterial, read_key_material
from smimegw.adapters.keys.shares import Share, join, split
from smimegw.cms import envelope
from smimegw.cms.algorithms import ContentCipher, key_encryption_for
from smimegw.cms.keys import DecryptionCredential, PrivateKey, SoftwareDecryptionKey
from smimegw.cms.recipient_info import Recipient
from smimegw.content import Content
from smimegw.errors import (
    CertificateError,
    CMSError,
    DecryptionError,
    KeystoreError,
    LimitError,
    NoMatchingKeyError,
    UsageError,
)
from smimegw.x509.certificate import Certificate

_SECRET_OCTETS = 32
_RECOVERY_BITS = 4096
_RECOVERY_YEARS = 30  # longer than anybody keeps mail; it is not renewed, it is made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryKey:
    """What `make_recovery_key` makes; the key is nowhere in clear.

    Attributes:
        certificate: PEM; what keys are escrowed to.
        key: PEM, encrypted; kept with the backups.
        shares: For people; together they open *key*.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    shares: tuple[Share, ...] = field(repr=False)


def make_recovery_key(name: str, *, needed: int, shares: int, now: datetime) -> RecoveryKey:
    """Make a recovery certificate, its key under a passphrase, and the shares of that.

    Raises:
        UsageError: Numbers or a name that make no sense.
    """
    secret = secrets.token_bytes(_SECRET_OCTETS)
    parts = split(secret, needed=needed, shares=shares)
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as exc:
        raise UsageError(f"the name of the recovery certificate: {exc}") from None
    key = rsa.generate_private_key(public_exponent=65537, key_size=_RECOVERY_BITS)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365 * _RECOVERY_YEARS))
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    protection = BestAvailableEncryption(passphrase_of(secret))
    return RecoveryKey(
        certificate=certificate.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection),
        shares=parts,
    )


def passphrase_of(secret: bytes) -> bytes:
    """The passphrase of the recovery key's file, as text that other programs take."""
    return base64.b32encode(secret).rstrip(b"=")


def escrowed(material: KeyMaterial, recovery: Certificate) -> bytes:
    """Return *material* as AuthEnvelopedData to the recovery certificate, DER (RFC 5083).

    Raises:
        KeystoreError: The recovery certificate cannot be encrypted to.
    """
    pem = material.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for certificate in (material.certificate, *material.chain):
        pem += certificate.parsed.public_bytes(Encoding.PEM)
    try:
        recipient = Recipient(recovery, key_encryption_for(recovery, oaep=True))
        return b"".join(envelope.encrypt([pem], len(pem), [recipient], ContentCipher.AES_256_GCM))
    except (CMSError, CertificateError) as exc:
        raise KeystoreError(
            f"keys cannot be escrowed to the recovery certificate: {exc}; make another one with"
            " `smimegw key make-recovery`",
            retryable=False,
        ) from exc


def recovery_credential(
    certificate: Certificate, key: bytes, shares: Sequence[Share]
) -> DecryptionCredential:
    """Open the recovery key with shares.

    Raises:
        UsageError: Too few shares, of another key, or the file is damaged.
    """
    passphrase = passphrase_of(join(shares))
    try:
        private = load_pem_private_key(key, passphrase)
    except (ValueError, TypeError):
        raise UsageError(
            "these shares do not open the recovery key; are they of another recovery key, or is"
            " its file damaged?"
        ) from None
    if not isinstance(private, PrivateKey):
        raise UsageError("the recovery key is of a kind that is not used")
    return DecryptionCredential(certificate, SoftwareDecryptionKey(private))


def recovered(copy: bytes, credential: DecryptionCredential) -> KeyMaterial:
    """Open an escrowed copy.

    Raises:
        UsageError: It is of another recovery certificate, or was changed.
    """
    try:
        pem = envelope.decrypt(envelope.parse_enveloped(copy), [credential])
        return read_key_material(b"".join(Content.of(pem)))
    except NoMatchingKeyError:
        raise UsageError("the copy was made for another recovery certificate") from None
    except (CMSError, DecryptionError, LimitError, UsageError):
        raise UsageError("the escrowed copy was changed, or is none") from None
