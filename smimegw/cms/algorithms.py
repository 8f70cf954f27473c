"""Names every algorithm the gateway reads or writes, and which one suits a certificate."""

from __future__ import annotations

from enum import Enum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519

from smimegw.cms.content_ciphers import ContentCipher
from smimegw.errors import CertificateError, UnsupportedAlgorithmError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import CURVES, RSA_EXPONENTS

__all__ = [
    "ContentCipher",
    "DigestAlgorithm",
    "KeyEncryption",
    "KeyWrap",
    "PublicKey",
    "SignatureScheme",
    "digest_for",
    "key_encryption_for",
    "public_key_of",
    "signature_scheme_for",
]

PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | x25519.X25519PublicKey
    | x448.X448PublicKey
)
_OTHER_KINDS = (
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    x25519.X25519PublicKey,
    x448.X448PublicKey,
)


class DigestAlgorithm(Enum):
    """A message digest (RFC 5754, 2); SHA-1 is read only and never a strong one.

    SHAKE256 with 512 bits is there for Ed448 alone (RFC 8419, 3.1).
    """

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    SHAKE256 = "shake256"

    def __init__(self, label: str) -> None:
        """*label* is the name for records."""
        # in the micalg parameter (RFC 8551, 3.5.3.2; RFC 8692 for SHAKE256)
        self.micalg = label if label == "shake256" else "sha-" + label.removeprefix("sha")
        self.is_weak = label == "sha1"  # collisions are known

    @property
    def oid(self) -> str:
        """The digest's object identifier."""
        return _DIGEST_OIDS[self]

    def primitive(self) -> hashes.HashAlgorithm:
        """The hash of `cryptography`."""
        return _PRIMITIVES[self]

    __hash__ = object.__hash__  # members are few and unique; Enum's own is a slow function

    @classmethod
    def from_oid(cls, oid: str) -> DigestAlgorithm:
        """Find a digest.

        Raises:
            UnsupportedAlgorithmError: Not one of ours.
        """
        for algorithm, known in _DIGEST_OIDS.items():
            if known == oid:
                return algorithm
        raise UnsupportedAlgorithmError(f"digest algorithm {oid} is not supported")


_DIGEST_OIDS = {
    DigestAlgorithm.SHA1: "1.3.14.3.2.26",
    DigestAlgorithm.SHA256: "2.16.840.1.101.3.4.2.1",
    DigestAlgorithm.SHA384: "2.16.840.1.101.3.4.2.2",
    DigestAlgorithm.SHA512: "2.16.840.1.101.3.4.2.3",
    DigestAlgorithm.SHAKE256: "2.16.840.1.101.3.4.2.18",  # id-shake256-len
}
_PRIMITIVES: dict[DigestAlgorithm, hashes.HashAlgorithm] = {
    DigestAlgorithm.SHA1: hashes.SHA1(),  # noqa: S303 – reading only
    DigestAlgorithm.SHA256: hashes.SHA256(),
    DigestAlgorithm.SHA384: hashes.SHA384(),
    DigestAlgorithm.SHA512: hashes.SHA512(),
    DigestAlgorithm.SHAKE256: hashes.SHAKE256(64),
}


class SignatureScheme(Enum):
    """How a key signs."""

    RSA_PKCS1V15 = "rsa-pkcs1v15"
    RSA_PSS = "rsa-pss"
    ECDSA = "ecdsa"
    ED25519 = "ed25519"
    ED448 = "ed448"

    __hash__ = object.__hash__

    @property
    def is_pure(self) -> bool:
        """The key signs the octets themselves, not a digest of them (PureEdDSA, RFC 8419)."""
        return self in _PURE_DIGESTS

    @property
    def fixed_digest(self) -> DigestAlgorithm | None:
        """The one digest that goes with it in signed attributes; None when there is a choice."""
        return _PURE_DIGESTS.get(self)

    def goes_with(self, digest: DigestAlgorithm) -> bool:
        """Whether a signature may be read with *digest*; SHAKE256 is for EdDSA alone."""
        return self.is_pure or digest is not DigestAlgorithm.SHAKE256


_PURE_DIGESTS = {
    SignatureScheme.ED25519: DigestAlgorithm.SHA512,
    SignatureScheme.ED448: DigestAlgorithm.SHAKE256,
}


class KeyWrap(Enum):
    """AES key wrap (RFC 3394), used after a key agreement, and what old mail has instead."""

    AES_128 = (16, "2.16.840.1.101.3.4.1.5")
    AES_192 = (24, "2.16.840.1.101.3.4.1.25")
    AES_256 = (32, "2.16.840.1.101.3.4.1.45")
    TRIPLE_DES = (24, "1.2.840.113549.1.9.16.3.6")

    @property
    def key_octets(self) -> int:
        """Length of the key-encryption key."""
        return self.value[0]

    @property
    def oid(self) -> str:
        """The wrap's object identifier."""
        return self.value[1]

    @property
    def is_weak(self) -> bool:
        """Only undone around the key of an old cipher, where those are allowed (RFC 3370, 4.3)."""
        return self is KeyWrap.TRIPLE_DES


class KeyEncryption(Enum):
    """How a content key is encrypted for one recipient; SHA-1 forms are read, never chosen."""

    RSA_PKCS1V15 = "rsa-pkcs1v15"
    RSA_OAEP_SHA1 = "rsa-oaep-sha1"
    RSA_OAEP_SHA256 = "rsa-oaep-sha256"
    RSA_OAEP_SHA384 = "rsa-oaep-sha384"
    RSA_OAEP_SHA512 = "rsa-oaep-sha512"
    ECDH_SHA1KDF = "ecdh-sha1kdf"
    ECDH_SHA256KDF = "ecdh-sha256kdf"
    ECDH_SHA384KDF = "ecdh-sha384kdf"
    ECDH_SHA512KDF = "ecdh-sha512kdf"
    ECDH_HKDF_SHA256 = "ecdh-hkdf-sha256"
    ECDH_HKDF_SHA384 = "ecdh-hkdf-sha384"
    ECDH_HKDF_SHA512 = "ecdh-hkdf-sha512"

    __hash__ = object.__hash__

    def __init__(self, label: str) -> None:
        """*label* is the name for records."""
        self.label = label
        self.is_agreement = label.startswith("ecdh")  # ECDH, and not transported by RSA

    @property
    def is_hkdf(self) -> bool:
        """The key is derived with HKDF (RFC 8418, 2.2), not with X9.63."""
        return "-hkdf-" in self.value

    @property
    def digest(self) -> DigestAlgorithm | None:
        """The hash of OAEP or of the key derivation."""
        name = self.value.rpartition("-")[2].removesuffix("kdf")
        return None if self is KeyEncryption.RSA_PKCS1V15 else DigestAlgorithm(name)


def public_key_of(certificate: Certificate, limits: Limits = DEFAULT_LIMITS) -> PublicKey:
    """Return the certificate's public key when it is of a kind and size that we use.

    Raises:
        UnsupportedAlgorithmError: Another kind, explicit curve parameters, another curve, or an RSA
            modulus or exponent out of bounds.
    """
    try:
        key = certificate.public_key
    except CertificateError:
        # explicit parameters (RFC 5480, 2.1.1), points off the curve, unknown kinds
        raise UnsupportedAlgorithmError("the certificate's public key cannot be used") from None
    if isinstance(key, rsa.RSAPublicKey):
        if not limits.rsa_bits_min <= key.key_size <= limits.rsa_bits_max:
            raise UnsupportedAlgorithmError(f"RSA key of {key.key_size} bits")
        if certificate.rsa_exponent not in RSA_EXPONENTS:
            raise UnsupportedAlgorithmError("RSA key with an exponent out of bounds")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES):
        return key
    if isinstance(key, _OTHER_KINDS):
        return key
    raise UnsupportedAlgorithmError("the certificate's kind of public key is not supported")


def signature_scheme_for(certificate: Certificate) -> SignatureScheme:
    """Return the scheme that every reader knows for the certificate's key.

    Raises:
        UnsupportedAlgorithmError: The key is none we use.
    """
    match public_key_of(certificate):
        case rsa.RSAPublicKey():
            pss = certificate.is_bound_to_pss
            return SignatureScheme.RSA_PSS if pss else SignatureScheme.RSA_PKCS1V15
        case ed25519.Ed25519PublicKey():
            return SignatureScheme.ED25519
        case ed448.Ed448PublicKey():
            return SignatureScheme.ED448
        case ec.EllipticCurvePublicKey():
            return SignatureScheme.ECDSA
        case _:
            raise UnsupportedAlgorithmError("the certificate's key cannot sign")


def digest_for(scheme: SignatureScheme, wanted: DigestAlgorithm) -> DigestAlgorithm:
    """Return the digest that goes with *scheme*: *wanted* where there is a choice."""
    return scheme.fixed_digest or wanted


def key_encryption_for(certificate: Certificate, oaep: bool = False) -> KeyEncryption:
    """Return the key encryption for the certificate's key; *oaep* when the reader knows it.

    Raises:
        UnsupportedAlgorithmError: The key is none we use.
    """
    key = public_key_of(certificate)
    if isinstance(key, rsa.RSAPublicKey):
        if certificate.is_bound_to_pss:
            raise UnsupportedAlgorithmError("the certificate's key is for RSASSA-PSS only")
        return KeyEncryption.RSA_OAEP_SHA256 if oaep else KeyEncryption.RSA_PKCS1V15
    if isinstance(key, x25519.X25519PublicKey):
        return KeyEncryption.ECDH_HKDF_SHA256  # RFC 8551, 2.3
    if isinstance(key, x448.X448PublicKey):
        return KeyEncryption.ECDH_HKDF_SHA512
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UnsupportedAlgorithmError("the certificate's key can only sign")
    # RFC 5753, 8: a derivation hash as strong as the curve
    if key.curve.key_size > 384:
        return KeyEncryption.ECDH_SHA512KDF
    if key.curve.key_size > 256:
        return KeyEncryption.ECDH_SHA384KDF
    return KeyEncryption.ECDH_SHA256KDF
