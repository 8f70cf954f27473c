"""Signs, decrypts and agrees with a private key that stays in its token."""

from __future__ import annotations

import contextlib

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism
from pkcs11.types import DecryptMixin, DeriveMixin, SignMixin

from smimegw.adapters.pkcs11.public_keys import PublicKey
from smimegw.adapters.pkcs11.trouble import NOT_DECRYPTED
from smimegw.cms import der
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.errors import DecryptionError, UnsupportedAlgorithmError

_DIGESTS = {
    DigestAlgorithm.SHA1: (Mechanism.SHA_1, MGF.SHA1),
    DigestAlgorithm.SHA256: (Mechanism.SHA256, MGF.SHA256),
    DigestAlgorithm.SHA384: (Mechanism.SHA384, MGF.SHA384),
    DigestAlgorithm.SHA512: (Mechanism.SHA512, MGF.SHA512),
}
_PROBE_BITS = 64


def sign(
    key: pkcs11.PrivateKey,
    public: PublicKey,
    data: bytes,
    scheme: SignatureScheme,
    digest: DigestAlgorithm,
) -> bytes:
    """See `SigningKey.sign`; the digest is made here, so that large data need not travel.

    Raises:
        UnsupportedAlgorithmError: The key cannot do *scheme*.
        pkcs11.PKCS11Error: The token did not do it.
    """
    if not isinstance(key, SignMixin):
        raise UnsupportedAlgorithmError("the token does not let this key sign")
    is_rsa = isinstance(public, rsa.RSAPublicKey)
    if is_rsa and scheme is SignatureScheme.RSA_PKCS1V15 and digest in _DIGESTS:
        # DigestInfo (RFC 8017, 9.2)
        algorithm = der.sequence(der.oid(digest.oid), der.NULL)
        info = der.sequence(algorithm, der.octet_string(_digest(data, digest)))
        return key.sign(info, mechanism=Mechanism.RSA_PKCS)
    if is_rsa and scheme is SignatureScheme.RSA_PSS and digest in _DIGESTS:
        parameters = (*_DIGESTS[digest], digest.primitive().digest_size)
        return key.sign(
            _digest(data, digest), mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=parameters
        )
    if isinstance(public, ec.EllipticCurvePublicKey) and scheme is SignatureScheme.ECDSA:
        # The leftmost octets (FIPS 186-5, 6.4.1); not every token cuts by itself.
        size = (public.curve.key_size + 7) // 8
        raw = key.sign(_digest(data, digest)[:size], mechanism=Mechanism.ECDSA)
        half = len(raw) // 2
        return utils.encode_dss_signature(
            int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        )
    if isinstance(public, ed25519.Ed25519PublicKey) and scheme is SignatureScheme.ED25519:
        return key.sign(data, mechanism=Mechanism.EDDSA)
    raise UnsupportedAlgorithmError(f"the key in the token cannot sign with {scheme.value}")


def decrypt(key: pkcs11.PrivateKey, encrypted_key: bytes, transport: KeyTransport) -> bytes:
    """See `DecryptionKey.decrypt`.

    A token says aloud whether PKCS#1 v1.5 padding was right.  That word goes no further than the
    caller, who puts a random key in its place (RFC 3218, 2.3.2); and so that a token which is out
    of order is not taken for wrong padding, it is asked for something harmless afterwards, each
    time, whether the padding was right or not.

    Raises:
        DecryptionError: It does not decrypt, or not in this token.
        pkcs11.PKCS11Error: The token did not do it.
    """
    mechanism: Mechanism = Mechanism.RSA_PKCS
    parameters: tuple[Mechanism, MGF, None] | None = None
    if transport.oaep is not None:
        try:
            hashing = _DIGESTS[transport.oaep.digest][0]
            mask = _DIGESTS[transport.oaep.mgf_digest][1]
        except KeyError:
            raise DecryptionError from None
        mechanism, parameters = Mechanism.RSA_PKCS_OAEP, (hashing, mask, None)
    if not isinstance(key, DecryptMixin):
        raise DecryptionError
    content_key: bytes | None = None
    with contextlib.suppress(*NOT_DECRYPTED):
        found = key.decrypt(encrypted_key, mechanism=mechanism, mechanism_param=parameters)
        content_key = found if isinstance(found, bytes) else b"".join(found)
    key.session.generate_random(_PROBE_BITS)
    if content_key is None:
        raise DecryptionError
    return content_key


def exchange(key: pkcs11.PrivateKey, peer: ec.EllipticCurvePublicKey) -> bytes:
    """See `DecryptionKey.exchange`; the caller has checked that the curve is the key's.

    Raises:
        DecryptionError: The token does not agree with this point.
        pkcs11.PKCS11Error: The token did not do it.
    """
    size = (peer.curve.key_size + 7) // 8
    if not isinstance(key, DeriveMixin):
        raise DecryptionError
    point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    try:
        # The secret comes out as a passing, readable object: derivation and unwrapping are ours.
        secret = key.derive_key(
            KeyType.GENERIC_SECRET,
            size * 8,
            mechanism=Mechanism.ECDH1_DERIVE,
            mechanism_param=(KDF.NULL, None, point),
            template={
                Attribute.TOKEN: False,
                Attribute.SENSITIVE: False,
                Attribute.EXTRACTABLE: True,
            },
        )
    except NOT_DECRYPTED:
        key.session.generate_random(_PROBE_BITS)
        raise DecryptionError from None
    try:
        return bytes(secret[Attribute.VALUE])
    finally:
        secret.destroy()


def _digest(data: bytes, digest: DigestAlgorithm) -> bytes:
    hashing = hashes.Hash(digest.primitive())
    hashing.update(data)
    return hashing.finalize()
