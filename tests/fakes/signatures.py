"""Checks a signature with the crypto library alone."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme


def check_signature(
    public_key: object,
    signature: bytes,
    data: bytes,
    scheme: SignatureScheme,
    digest: DigestAlgorithm,
) -> None:
    """Raise InvalidSignature unless *signature* holds."""
    primitive = digest.primitive()
    match public_key:
        case rsa.RSAPublicKey() if scheme is SignatureScheme.RSA_PSS:
            pss = padding.PSS(padding.MGF1(primitive), primitive.digest_size)
            public_key.verify(signature, data, pss, primitive)
        case rsa.RSAPublicKey():
            public_key.verify(signature, data, padding.PKCS1v15(), primitive)
        case ec.EllipticCurvePublicKey():
            public_key.verify(signature, data, ec.ECDSA(primitive))
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            public_key.verify(signature, data)
        case _:
            raise AssertionError(public_key)
