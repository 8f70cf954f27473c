"""One private key at rest: a JSON file with its certificates, whose it is, and the sealed key.

Everything but the key is readable without the key-encryption key, so that a locked gateway still
knows which mail needs it.  What is readable is bound to the sealed key as associated data: id,
purpose, mailboxes and the certificate's fingerprint.  A file that was swapped with another, or
whose mailboxes were edited, does not open (cases M03).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.keys.key_encryption import SealedSecret
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, CertificateError, KeystoreError
from smimegw.x509.certificate import Certificate


class Holder(StrEnum):
    """Where the private key itself is."""

    FILE = "file"
    TOKEN = "token"  # noqa: S105 – no password

    @property
    def file_format(self) -> int:
        """Number of the file format: 1 knows no tokens and is still what sealed keys have."""
        return 1 if self is Holder.FILE else 2


class KeyPurpose(StrEnum):
    """What a certificate allows its key to be used for."""

    SIGN = "sign"
    ENCRYPT = "encrypt"
    BOTH = "both"

    @property
    def signs(self) -> bool:
        """The key may sign."""
        return self is not KeyPurpose.ENCRYPT

    @property
    def decrypts(self) -> bool:
        """Mail may have been encrypted to this key."""
        return self is not KeyPurpose.SIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyObject:
    """What one file of the keystore says.

    Attributes:
        certificate: The end-entity certificate of the key.
        chain: Further certificates of its path, issuer first, as they were imported.
        mailboxes: For whom the key may be used; some or all of the certificate's.
        purpose: What the certificate allowed at import.
        secret: Sealed: the private key (PKCS #8, DER), or the URI of the key in a token.
        holder: Which of both.
    """

    certificate: Certificate
    chain: tuple[Certificate, ...]
    mailboxes: tuple[Mailbox, ...]
    purpose: KeyPurpose
    secret: SealedSecret
    holder: Holder = Holder.FILE

    @property
    def associated_data(self) -> bytes:
        """What the secret is bound to."""
        return associated_data(self.certificate, self.mailboxes, self.purpose, self.holder)

    @property
    def identifier(self) -> str:
        """The certificate's SHA-256 fingerprint in hexadecimal; also the file's name."""
        return identifier_of(self.certificate)


def identifier_of(certificate: Certificate) -> str:
    """Return under which name the key of *certificate* is kept."""
    return certificate.fingerprint.removeprefix("sha256:")


def purpose_of(certificate: Certificate) -> KeyPurpose:
    """Return what *certificate* allows its key to be used for (RFC 8550, 4.4.2).

    Raises:
        CertificateError: ``key-usage``: neither, or it is a CA's; ``weak-key``: kind of key.
    """
    if certificate.is_ca:
        raise CertificateError("key-usage", "this is the certificate of a CA, not of a mailbox")
    usage = certificate.key_usage
    match certificate.public_key:
        case rsa.RSAPublicKey():
            decrypts = usage is None or usage.key_encipherment
        case ec.EllipticCurvePublicKey():
            decrypts = usage is None or usage.key_agreement
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            decrypts = False
        case x25519.X25519PublicKey() | x448.X448PublicKey():
            if usage is None or usage.key_agreement:
                return KeyPurpose.ENCRYPT  # it can do nothing else
            raise CertificateError("key-usage", "the certificate does not allow encryption")
        case _:
            raise CertificateError("weak-key", "only RSA and elliptic curve keys can be used")
    signs = usage is None or usage.digital_signature or usage.content_commitment
    if signs and decrypts:
        return KeyPurpose.BOTH
    if not signs and not decrypts:
        raise CertificateError("key-usage", "the certificate allows neither signing nor encryption")
    return KeyPurpose.SIGN if signs else KeyPurpose.ENCRYPT


def associated_data(
    certificate: Certificate,
    mailboxes: tuple[Mailbox, ...],
    purpose: KeyPurpose,
    holder: Holder = Holder.FILE,
) -> bytes:
    """Return what the sealed key is bound to; JSON because it says where each value ends."""
    values: list[object] = [
        holder.file_format,
        identifier_of(certificate),
        purpose.value,
        [mailbox.address for mailbox in mailboxes],
    ]
    if holder is not Holder.FILE:
        values.append(holder.value)
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def write_key_object(key: KeyObject) -> bytes:
    """Return the file's octets."""
    document = {
        "format": key.holder.file_format,
        "id": key.identifier,
        "purpose": key.purpose.value,
        "mailboxes": [mailbox.address for mailbox in key.mailboxes],
        "certificates": [_pem(certificate) for certificate in (key.certificate, *key.chain)],
        "key_encryption_key": key.secret.key_identifier,
        "wrapped_key": base64.b64encode(key.secret.wrapped_key).decode("ascii"),
        "sealed": base64.b64encode(key.secret.sealed).decode("ascii"),
    }
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def parse_key_object(octets: bytes, identifier: str) -> KeyObject:
    """Read a file's octets; *identifier* is its name without the ending.

    Raises:
        KeystoreError: Not such a file, or not the one of that name.  The text does not name the
            file; the caller knows it.
    """
    try:
        document = json.loads(octets)
        holder = _holder(document["format"])
        certificate, *chain = (_certificate(pem) for pem in document["certificates"])
        key = KeyObject(
            certificate=certificate,
            chain=tuple(chain),
            mailboxes=tuple(Mailbox.parse(address) for address in document["mailboxes"]),
            purpose=KeyPurpose(document["purpose"]),
            secret=SealedSecret(
                key_identifier=str(document["key_encryption_key"]),
                wrapped_key=_octets(document["wrapped_key"]),
                sealed=_octets(document["sealed"]),
            ),
            holder=holder,
        )
    except KeyError as exc:
        raise _broken(f"it has no {exc.args[0]!r}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise _broken("it is not JSON as `smimegw key import` writes it") from exc
    except (AddressError, CertificateError) as exc:
        raise _broken(str(exc)) from exc
    if not identifier == document.get("id") == key.identifier:
        raise _broken("its name is not the fingerprint of the certificate inside")
    return key


def _holder(number: object) -> Holder:
    for holder in Holder:
        if holder.file_format == number:
            return holder
    raise _broken(f"format {number!r} is not known to this version")


def _broken(reason: str) -> KeystoreError:
    return KeystoreError(f"{reason}; restore it from a backup or import the key again")


def _pem(certificate: Certificate) -> str:
    return certificate.parsed.public_bytes(Encoding.PEM).decode("ascii")


def _certificate(pem: Any) -> Certificate:
    try:
        parsed = x509.load_pem_x509_certificate(pem.encode("ascii"))
    except x509.InvalidVersion as exc:
        raise CertificateError("malformed", str(exc)) from exc
    return Certificate.parse(parsed.public_bytes(Encoding.DER))


def _octets(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError("base64") from exc
