"""Private keys of the CA and of its subscribers: made, kept encrypted, opened again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pki import files
from pki.errors import PassphraseError, RequestError
from smimegw.limits import DEFAULT_LIMITS

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_KEY_FILE_OCTETS = 64 * 1024


class KeyKind(StrEnum):
    """The kinds of keys that the CA makes."""

    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"
    P_384 = "p-384"


def generate(kind: KeyKind) -> PrivateKey:
    """Make a new key pair."""
    match kind:
        case KeyKind.RSA_3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyKind.RSA_4096:
            return rsa.generate_private_key(public_exponent=65537, key_size=4096)
        case KeyKind.P_256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyKind.P_384:
            return ec.generate_private_key(ec.SECP384R1())
        case _:
            assert_never(kind)


def kind_of(key: PublicKey) -> KeyKind:
    """Return the kind to make when a key like *key* is replaced: at least as strong."""
    if isinstance(key, rsa.RSAPublicKey):
        return KeyKind.RSA_3072 if key.key_size <= 3072 else KeyKind.RSA_4096
    return KeyKind.P_256 if isinstance(key.curve, ec.SECP256R1) else KeyKind.P_384


def write_key(path: Path, key: PrivateKey, passphrase: bytes) -> None:
    """Write a key as encrypted PKCS#8 that only its owner may read; never overwrites.

    Raises:
        FileExistsError: A key is there already.
        OSError: The disk did not take it.
    """
    octets = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )
    files.write_new(path, octets, mode=files.PRIVATE)


def read_key(path: Path, passphrase: bytes) -> PrivateKey:
    """Open a key file that `write_key` wrote.

    Raises:
        PassphraseError: Wrong passphrase, no key file, or a damaged one.
    """
    try:
        with path.open("rb") as stream:
            octets = stream.read(_KEY_FILE_OCTETS)
    except FileNotFoundError:
        raise PassphraseError(
            f"{path}: there is no key file. An offline key has to be brought back before use."
        ) from None
    try:
        key = serialization.load_pem_private_key(octets, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # One text for both: telling them apart would need to trust a damaged file.
        raise PassphraseError(
            f"{path}: the key does not open. The passphrase is wrong, or the file is damaged; "
            "try again with the right passphrase, else restore the file from the backup."
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PassphraseError(f"{path}: holds a kind of key that this CA never makes.")
    return key


def accept_public_key(key: object) -> PublicKey:
    """Return *key* if certificates may be issued for it.

    Raises:
        RequestError: Neither RSA nor a NIST curve, or too weak (S/MIME BR, 6.1.5 and 6.1.6).
    """
    advice = "Make a new key, for example RSA with 3072 bits or P-256, and a new request."
    if isinstance(key, rsa.RSAPublicKey):
        low, high = DEFAULT_LIMITS.rsa_bits_min, DEFAULT_LIMITS.rsa_bits_max
        if not low <= key.key_size <= high:
            raise RequestError(
                f"The RSA key has {key.key_size} bits; {low} to {high} are allowed. {advice}"
            )
        exponent = key.public_numbers().e
        if exponent < 65537 or exponent % 2 == 0:
            raise RequestError(f"The RSA key's public exponent is below 65537 or even. {advice}")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise RequestError(
                f"The curve {key.curve.name} is not allowed; P-256, P-384 and P-521 are. {advice}"
            )
        return key
    raise RequestError(f"The key is neither RSA nor on a NIST curve. {advice}")


def public_key_octets(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo, DER; equal for equal keys."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
