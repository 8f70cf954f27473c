"""Signs certificates and CRLs with any key of a CA, in a file or in a token.

The builder of `cryptography` signs with its own keys only.  For any other key it builds with a
stand-in of the same kind, a key made for this that nobody trusts; what comes out differs from the
real thing in the signature alone, which is then exchanged.  The same stand-in makes the drafts
that are linted before a serial number is used up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, assert_never, runtime_checkable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.keys import SoftwareSigningKey, VerifyingKey
from smimegw.cms import asn1, der

Digest = hashes.SHA256 | hashes.SHA384

_STAND_IN_BITS = 1024  # its strength does not matter: its signatures are thrown away


@runtime_checkable
class RemoteKey(Protocol):
    """A private key that stays where it is, such as in a PKCS #11 token."""

    def public_key(self) -> VerifyingKey:
        """Return its public half."""

    def sign_octets(self, octets: bytes, digest: Digest | None) -> bytes:
        """Return the signature as it stands in a certificate (RFC 3279, 2.2)."""


SigningKey = SoftwareSigningKey | RemoteKey


def signature_digest(key: SigningKey | VerifyingKey) -> Digest | None:
    """Return the hash that fits the key's strength (RFC 5480, 4); None when it has its own."""
    public = key if isinstance(key, VerifyingKey) else key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey):
        return None  # RFC 8410, 6; RFC 9881, 3: they hash inside
    if isinstance(public, ec.EllipticCurvePublicKey) and public.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def sign_certificate(builder: x509.CertificateBuilder, key: SigningKey) -> x509.Certificate:
    """Sign what *builder* holds."""
    if isinstance(key, SoftwareSigningKey):
        return builder.sign(key, signature_digest(key))
    draft = draft_certificate(builder, key.public_key())
    return x509.load_der_x509_certificate(_resigned(draft.public_bytes(Encoding.DER), key))


def sign_crl(
    builder: x509.CertificateRevocationListBuilder, key: SigningKey
) -> x509.CertificateRevocationList:
    """Sign what *builder* holds."""
    if isinstance(key, SoftwareSigningKey):
        return builder.sign(key, signature_digest(key))
    public = key.public_key()
    draft = builder.sign(_stand_in(public), signature_digest(public))
    return x509.load_der_x509_crl(_resigned(draft.public_bytes(Encoding.DER), key))


def sign_request(
    builder: x509.CertificateSigningRequestBuilder, key: SigningKey
) -> x509.CertificateSigningRequest:
    """Sign what *builder* holds; the request carries the public half of *key*."""
    if isinstance(key, SoftwareSigningKey):
        return builder.sign(key, signature_digest(key))
    public = key.public_key()
    draft = builder.sign(_stand_in(public), signature_digest(public))
    body, algorithm, _ = _signed_parts(draft.public_bytes(Encoding.DER))
    # RFC 2986, 4.1: version, subject, the key (here still the stand-in's), attributes
    version, subject, _, attributes = (part.encoded for part in body.elements())
    own = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = der.sequence(version, subject, own, attributes)
    return x509.load_der_x509_csr(_with_signature(signed, algorithm.encoded, key))


def draft_certificate(
    builder: x509.CertificateBuilder, issuer_key: VerifyingKey
) -> x509.Certificate:
    """Return what *builder* would become, signed by nobody that anybody trusts."""
    return builder.sign(_stand_in(issuer_key), signature_digest(issuer_key))


def _resigned(draft: bytes, key: RemoteKey) -> bytes:
    body, algorithm, _ = _signed_parts(draft)
    return _with_signature(body.encoded, algorithm.encoded, key)


def _signed_parts(signed: bytes) -> list[asn1.Element]:
    document = asn1.read_document(signed)
    return document.elements(asn1.SEQUENCE, asn1.SEQUENCE, asn1.BIT_STRING)


def _with_signature(body: bytes, algorithm: bytes, key: RemoteKey) -> bytes:
    signature = key.sign_octets(body, signature_digest(key))
    return der.sequence(body, algorithm, der.bit_string(signature))


def _stand_in(like: VerifyingKey) -> SoftwareSigningKey:
    match like:
        case rsa.RSAPublicKey():
            return _rsa_stand_in()
        case ec.EllipticCurvePublicKey():
            return ec.generate_private_key(like.curve)
        case ed25519.Ed25519PublicKey():
            return ed25519.Ed25519PrivateKey.generate()
        case mldsa.MLDSA65PublicKey():
            return mldsa.MLDSA65PrivateKey.generate()
        case _:
            assert_never(like)


@lru_cache
def _rsa_stand_in() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, _STAND_IN_BITS)
