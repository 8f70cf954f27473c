"""Private keys of the CA and of its subscribers: made, kept encrypted, opened again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x25519

from pki import files
from pki.errors import PassphraseError, RequestError
from smimegw.limits import DEFAULT_LIMITS

SoftwareSigningKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA65PrivateKey
)
PrivateKey = SoftwareSigningKey | x25519.X25519PrivateKey | mlkem.MLKEM768PrivateKey
VerifyingKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey
)
PublicKey = VerifyingKey | x25519.X25519PublicKey | mlkem.MLKEM768PublicKey

_NIST_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_BRAINPOOL_CURVES = (ec.BrainpoolP256R1, ec.BrainpoolP384R1)
_KEY_FILE_OCTETS = 64 * 1024


class KeyKind(StrEnum):
    """The kinds of keys that the CA makes; Brainpool's curves are those of RFC 5639."""

    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"
    P_384 = "p-384"
    ED25519 = "ed25519"
    X25519 = "x25519"
    BRAINPOOL_P256R1 = "brainpool-p256r1"
    BRAINPOOL_P384R1 = "brainpool-p384r1"
    ML_DSA_65 = "ml-dsa-65"
    ML_KEM_768 = "ml-kem-768"

    @property
    def signs(self) -> bool:
        """It can sign, so it can also prove in a request that somebody has it."""
        return _TRAITS[self].signs

    @property
    def encrypts(self) -> bool:
        """Others can encrypt to it."""
        return _TRAITS[self].encrypts

    @property
    def experimental(self) -> bool:
        """Few programs read it yet (RFC 9881, RFC 9935)."""
        return _TRAITS[self].experimental

    @property
    def baseline(self) -> bool:
        """The S/MIME BR allow it (6.1.5 and 7.1.3.1)."""
        return _TRAITS[self].baseline

    @property
    def token(self) -> bool:
        """A PKCS #11 token can make one for a CA."""
        return self in (KeyKind.RSA_3072, KeyKind.RSA_4096, KeyKind.P_256, KeyKind.P_384)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traits:
    """How a kind of key is made, and what it is good for."""

    make: Callable[[], PrivateKey]
    signs: bool = True
    encrypts: bool = True
    experimental: bool = False
    baseline: bool = True


_TRAITS = {
    KeyKind.RSA_3072: _Traits(make=partial(rsa.generate_private_key, 65537, 3072)),
    KeyKind.RSA_4096: _Traits(make=partial(rsa.generate_private_key, 65537, 4096)),
    KeyKind.P_256: _Traits(make=partial(ec.generate_private_key, ec.SECP256R1())),
    KeyKind.P_384: _Traits(make=partial(ec.generate_private_key, ec.SECP384R1())),
    KeyKind.ED25519: _Traits(make=ed25519.Ed25519PrivateKey.generate, encrypts=False),
    KeyKind.X25519: _Traits(make=x25519.X25519PrivateKey.generate, signs=False, baseline=False),
    KeyKind.BRAINPOOL_P256R1: _Traits(
        make=partial(ec.generate_private_key, ec.BrainpoolP256R1()), baseline=False
    ),
    KeyKind.BRAINPOOL_P384R1: _Traits(
        make=partial(ec.generate_private_key, ec.BrainpoolP384R1()), baseline=False
    ),
    KeyKind.ML_DSA_65: _Traits(
        make=mldsa.MLDSA65PrivateKey.generate, encrypts=False, experimental=True
    ),
    KeyKind.ML_KEM_768: _Traits(
        make=mlkem.MLKEM768PrivateKey.generate, signs=False, experimental=True
    ),
}


def generate(kind: KeyKind) -> PrivateKey:
    """Make a new key pair."""
    return _TRAITS[kind].make()


def generate_signing(kind: KeyKind) -> SoftwareSigningKey:
    """Make a new key pair that signs.

    Raises:
        RequestError: Keys of this kind only encrypt.
    """
    key = generate(kind)
    if not isinstance(key, SoftwareSigningKey):
        raise RequestError(
            f"A key of kind {kind} cannot sign, so it is none for a CA. Take rsa-3072 or p-256."
        )
    return key


def kind_of(key: PublicKey) -> KeyKind:
    """Return the kind to make when a key like *key* is replaced: at least as strong."""
    match key:
        case rsa.RSAPublicKey():
            return KeyKind.RSA_3072 if key.key_size <= 3072 else KeyKind.RSA_4096
        case ec.EllipticCurvePublicKey():
            return _CURVE_KINDS.get(key.curve.name, KeyKind.P_384)
        case ed25519.Ed25519PublicKey():
            return KeyKind.ED25519
        case x25519.X25519PublicKey():
            return KeyKind.X25519
        case mldsa.MLDSA65PublicKey():
            return KeyKind.ML_DSA_65
        case mlkem.MLKEM768PublicKey():
            return KeyKind.ML_KEM_768
        case _:
            assert_never(key)


_CURVE_KINDS = {
    "secp256r1": KeyKind.P_256,
    "brainpoolP256r1": KeyKind.BRAINPOOL_P256R1,
    "brainpoolP384r1": KeyKind.BRAINPOOL_P384R1,
}


def baseline_allows(key: PublicKey) -> bool:
    """Whether the S/MIME BR allow this very key (7.1.3.1); P-521 is ours, not theirs."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return kind_of(key).baseline


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
    if not isinstance(key, PrivateKey):
        raise PassphraseError(f"{path}: holds a kind of key that this CA never makes.")
    return key


def read_signing_key(path: Path, passphrase: bytes) -> SoftwareSigningKey:
    """Open a CA's key file.

    Raises:
        PassphraseError: As `read_key`, or the key cannot sign.
    """
    key = read_key(path, passphrase)
    if not isinstance(key, SoftwareSigningKey):
        raise PassphraseError(f"{path}: holds a key that cannot sign, so it is none of a CA.")
    return key


def accept_public_key(key: object) -> PublicKey:
    """Return *key* if certificates may be issued for it.

    Raises:
        RequestError: Of no kind that we issue for, or too weak (S/MIME BR, 6.1.5 and 6.1.6).
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
        if not isinstance(key.curve, _NIST_CURVES + _BRAINPOOL_CURVES):
            raise RequestError(
                f"The curve {key.curve.name} is not allowed; P-256, P-384, P-521, "
                f"brainpoolP256r1 and brainpoolP384r1 are. {advice}"
            )
        return key
    if isinstance(key, PublicKey):
        return key
    raise RequestError(f"Certificates are not issued for this kind of key. {advice}")


def public_key_octets(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo, DER; equal for equal keys."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
