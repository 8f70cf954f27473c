"""Packs certificates and keys for those who use them: PEM, chain and PKCS #12 (RFC 7292)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12

from pki import keys
from pki.certified import Certified
from pki.errors import RequestError
from pki.home import Home
from pki.keys import PrivateKey
from pki.places import ROOT
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox

_ROUNDS = 200_000  # readers add the two bags up, and some refuse more than a million
_LEGACY_ROUNDS = 50_000
_FIT_FOR_PKCS12 = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
_UNSAFE_IN_FILE_NAME = re.compile(r"[^A-Za-z0-9@._+-]")


class Format(StrEnum):
    """What `smimegw-ca export` can write."""

    PEM = "pem"
    CHAIN = "chain"
    P12 = "p12"
    MOBILECONFIG = "mobileconfig"


def fingerprint(certified: Certified) -> str:
    """Return ``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(certified.der).hexdigest()


def pem(certified: Certified) -> bytes:
    """Return the certificate alone."""
    return certified.certificate.public_bytes(Encoding.PEM)


def chain(home: Home, certified: Certified) -> bytes:
    """Return the certificate, then its issuers up to the root."""
    path = [certified.certificate, *issuers(home, certified)]
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in path)


def issuers(home: Home, certified: Certified) -> tuple[x509.Certificate, ...]:
    """Return the certificates above one, nearest first."""
    root = home.authority(ROOT)
    if certified.serial == root.serial:
        return ()
    if certified.issuer == ROOT:
        return (root.certificate,)
    return (home.authority(certified.issuer).certificate, root.certificate)


def pkcs12_file(
    home: Home,
    certified: Certified,
    *,
    ca_passphrase: bytes,
    passphrase: bytes,
    legacy: bool = False,
) -> bytes:
    """Return key, certificate and issuers in one encrypted file.

    Args:
        legacy: 3DES and SHA-1 for programs that read nothing else (GnuPG 2.2, old Windows).

    Raises:
        RequestError: The CA does not have the key.
        PassphraseError: *ca_passphrase* does not open it.
    """
    mailbox = require_key(certified)
    key = keys.read_key(home.key_path(certified.serial), ca_passphrase)
    return pack(
        key,
        certified.certificate,
        issuers(home, certified),
        name=mailbox.address,
        passphrase=passphrase,
        legacy=legacy,
    )


def pack(
    key: PrivateKey,
    certificate: x509.Certificate,
    above: Sequence[x509.Certificate],
    *,
    name: str,
    passphrase: bytes,
    legacy: bool = False,
    rounds: int = _ROUNDS,
) -> bytes:
    """Return key, certificate and issuers in one encrypted file.

    Args:
        key: The private key.
        certificate: Its certificate.
        above: The certificates above that one.
        name: What programs show.
        passphrase: Protects the file.
        legacy: 3DES and SHA-1 for programs that read nothing else (GnuPG 2.2, old Windows).
        rounds: How often the passphrase is hashed; fewer will do for one that nobody can guess.

    Raises:
        RequestError: Keys of this kind cannot be put into PKCS #12.
    """
    if not isinstance(key, _FIT_FOR_PKCS12):
        raise RequestError(
            f"A key of kind {keys.kind_of(key.public_key())} cannot be put into PKCS #12. "
            "Let its owner make it and send a request, or take another kind of key."
        )
    encryption = PrivateFormat.PKCS12.encryption_builder()
    if legacy:
        encryption = (
            encryption.kdf_rounds(min(rounds, _LEGACY_ROUNDS))
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())  # noqa: S303 - what these programs read
        )
    else:
        encryption = (
            encryption.kdf_rounds(rounds)
            .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
            .hmac_hash(hashes.SHA256())
        )
    return pkcs12.serialize_key_and_certificates(
        name=name.encode(),
        key=key,
        cert=certificate,
        cas=above,
        encryption_algorithm=encryption.build(passphrase),
    )


def require_key(certified: Certified) -> Mailbox:
    """Make sure that the CA has the certificate's key and may give it away; return whose it is.

    Raises:
        RequestError: It has not, or may not.
    """
    serial = serial_text(certified.serial)
    if not certified.mailbox:
        raise RequestError(
            f"{serial} is the CA's own certificate; its key stays in the CA directory. "
            "Back the whole directory up instead."
        )
    if not certified.key_held:
        raise RequestError(
            f"{serial} was issued from a request, so its owner has the key and the CA does not. "
            f"Give him the certificate: smimegw-ca export {serial} --format chain"
        )
    return certified.mailbox


def file_name(certified: Certified) -> str:
    """Return a file name without ending: address, use and the serial number's beginning.

    A local part may hold a slash or a quote; a file name of ours does not.
    """
    address = certified.mailbox.address if certified.mailbox else certified.issuer
    use = certified.profile.value.removeprefix("mailbox-") if certified.profile else "ca"
    safe = _UNSAFE_IN_FILE_NAME.sub("_", address).lstrip(".-")
    return f"{safe[:100]}-{use}-{serial_text(certified.serial)[:8]}"
