"""Key handles with one duty each: software keys here, tokens and agents elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x448, x25519

from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.errors import DecryptionError, UnsupportedAlgorithmError
from smimegw.x509.certificate import Certificate

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | x25519.X25519PrivateKey
    | x448.X448PrivateKey
)
_QUICK_RSA_BITS = 3072  # the time grows with the third power
AgreementKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey
"""A public key that a secret can be agreed with."""


class SigningKey(Protocol):
    """Signs and does nothing else."""

    def sign(self, data: bytes, scheme: SignatureScheme, digest: DigestAlgorithm) -> bytes:
        """Hash *data* with *digest* and sign; ECDSA as DER, the PSS salt as long as the digest.

        EdDSA signs *data* itself; *digest* is then what the signed attributes were made with.

        Raises:
            UnsupportedAlgorithmError: The key cannot do *scheme*.
            KeystoreError: The key cannot be used now.
        """
        ...


class DecryptionKey(Protocol):
    """Recovers content keys and does nothing else."""

    def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
        """Undo RSA key transport.

        Raises:
            DecryptionError: It does not decrypt; padding, length and key kind all look alike.
            KeystoreError: The key cannot be used now.
        """
        ...

    def exchange(self, peer_public_key: AgreementKey) -> bytes:
        """Return the raw ECDH shared secret.

        Raises:
            DecryptionError: Another curve or kind of key.
            KeystoreError: The key cannot be used now.
        """
        ...


@dataclass(frozen=True, slots=True)
class SoftwareSigningKey:
    """A signing key in this process's memory."""

    _private_key: PrivateKey = field(repr=False)

    def sign(self, data: bytes, scheme: SignatureScheme, digest: DigestAlgorithm) -> bytes:
        """See `SigningKey.sign`."""
        key, primitive = self._private_key, digest.primitive()
        if scheme is SignatureScheme.RSA_PKCS1V15 and isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), primitive)
        if scheme is SignatureScheme.RSA_PSS and isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, pss_padding(primitive, primitive.digest_size), primitive)
        if scheme is SignatureScheme.ECDSA and isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(primitive))
        if scheme is SignatureScheme.ED25519 and isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        if scheme is SignatureScheme.ED448 and isinstance(key, ed448.Ed448PrivateKey):
            return key.sign(data)
        raise UnsupportedAlgorithmError(f"the signing key cannot sign with {scheme.value}")


@dataclass(frozen=True, slots=True)
class SoftwareDecryptionKey:
    """A decryption key in this process's memory."""

    _private_key: PrivateKey = field(repr=False)

    def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
        """See `DecryptionKey.decrypt`.

        The crypto library answers bad PKCS#1 v1.5 padding with random-looking octets (implicit
        rejection) where it can; nobody may rely on it.
        """
        if not isinstance(self._private_key, rsa.RSAPrivateKey):
            raise DecryptionError
        try:
            return self._private_key.decrypt(encrypted_key, _transport_padding(transport))
        except (ValueError, UnsupportedAlgorithm):
            raise DecryptionError from None

    def exchange(self, peer_public_key: AgreementKey) -> bytes:
        """See `DecryptionKey.exchange`."""
        key, peer = self._private_key, peer_public_key
        try:
            if isinstance(key, ec.EllipticCurvePrivateKey):
                if isinstance(peer, ec.EllipticCurvePublicKey):
                    return key.exchange(ec.ECDH(), peer)
            elif isinstance(key, x25519.X25519PrivateKey):
                if isinstance(peer, x25519.X25519PublicKey):
                    return key.exchange(peer)  # a secret of zeros is refused (RFC 7748, 6.1)
            elif isinstance(key, x448.X448PrivateKey) and isinstance(peer, x448.X448PublicKey):
                return key.exchange(peer)
        except (ValueError, UnsupportedAlgorithm):
            raise DecryptionError from None
        raise DecryptionError


def is_quick(key: SigningKey | DecryptionKey) -> bool:
    """Whether *key* is in this process's memory and works in about a millisecond."""
    if not isinstance(key, SoftwareSigningKey | SoftwareDecryptionKey):
        return False
    private = key._private_key
    return not isinstance(private, rsa.RSAPrivateKey) or private.key_size <= _QUICK_RSA_BITS


@dataclass(frozen=True, slots=True)
class SigningCredential:
    """A certificate, the certificates above it (leaf's issuer first) and the handle of its key."""

    certificate: Certificate
    chain: tuple[Certificate, ...]
    key: SigningKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecryptionCredential:
    """A certificate and the handle of its key."""

    certificate: Certificate
    key: DecryptionKey = field(repr=False)


def pss_padding(primitive: hashes.HashAlgorithm, salt_octets: int) -> padding.PSS:
    """PSS with one hash for everything."""
    return padding.PSS(mgf=padding.MGF1(primitive), salt_length=salt_octets)


def oaep_padding(transport: KeyTransport) -> padding.OAEP | None:
    """The OAEP padding that *transport* names; None for PKCS#1 v1.5."""
    if transport.oaep is None:
        return None
    return padding.OAEP(
        mgf=padding.MGF1(transport.oaep.mgf_digest.primitive()),
        algorithm=transport.oaep.digest.primitive(),
        label=None,
    )


def _transport_padding(transport: KeyTransport) -> padding.AsymmetricPadding:
    return oaep_padding(transport) or padding.PKCS1v15()
