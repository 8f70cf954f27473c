"""Checks one SignerInfo against content and certificates; no certification path here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from smimegw.cms.algorithm_identifiers import SignatureAlgorithm
from smimegw.cms.algorithms import DigestAlgorithm, PublicKey, SignatureScheme, public_key_of
from smimegw.cms.attributes import (
    SignedAttributes,
    looks_like_signed_attributes,
    read_signed_attributes,
)
from smimegw.cms.capabilities import Capabilities
from smimegw.cms.content_info import DATA
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.keys import pss_padding
from smimegw.cms.pss_keys import pss_flaw
from smimegw.content import Content
from smimegw.errors import CMSError, SignatureError, UnsupportedAlgorithmError
from smimegw.x509.certificate import Certificate

if TYPE_CHECKING:
    from smimegw.cms.signed_data import SignedData, SignerInfo

_HEAD_OCTETS = 64
_PKCS1V15 = padding.PKCS1v15()
_PREHASHED = {algorithm: Prehashed(algorithm.primitive()) for algorithm in DigestAlgorithm}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSignature:
    """A signature that holds mathematically; its certificate is NOT validated.

    Attributes:
        certificate: Whose key made the signature.
        signing_time: The signer's claim, None when absent.
        capabilities: What the signer's software reads, if it says so under its signature.
        encryption_key: The certificate the signer prefers to be encrypted to, if it says so.
        has_signed_attributes: False when the content was signed directly.
    """

    certificate: Certificate
    digest_algorithm: DigestAlgorithm
    scheme: SignatureScheme
    signing_time: datetime | None = None
    capabilities: Capabilities | None = None
    encryption_key: CertificateIdentifier | None = None
    has_signed_attributes: bool = True

    @property
    def label(self) -> str:
        """The name for records and result fields, such as ``rsa-pss-sha256``."""
        return f"{self.scheme.value}-{self.digest_algorithm.value}"


def verify_signer_info(
    signed_data: SignedData,
    signer_info: SignerInfo,
    content: Content | Iterable[bytes] | None = None,
    extra_certificates: Iterable[Certificate] = (),
) -> CheckedSignature:
    """Check content and signature of one signer (RFC 5652, 5.6).

    Args:
        signed_data: What *signer_info* belongs to.
        signer_info: One of its signers.
        content: The detached content, in pieces or not; None to take the encapsulated one.  When
            there is encapsulated content as well, both must be what was signed.
        extra_certificates: More places to look for the signer's certificate.

    Raises:
        SignatureError: It does not hold; the reason says why.
        UnsupportedAlgorithmError: An algorithm or its parameters are not accepted.
        CMSError: The signed attributes are malformed, or there is no content at all.
        LimitError: EdDSA signed the content itself and not a digest (RFC 8419, 3), and it is too
            long to be taken in one piece.
    """
    digest_algorithm, algorithm = _algorithms(signer_info)
    if content is not None and not isinstance(content, Content):
        content = Content.joined(content)
    found = _content(signed_data, content)
    digest = digest_of(digest_algorithm, found)
    attributes = None
    if signer_info.signed_attributes is not None:
        attributes = read_signed_attributes(signer_info.signed_attributes)
        _compare(attributes, signed_data.content_type, digest)
        signed = _signed_value(algorithm.scheme, digest_algorithm, signer_info.signed_attributes)
    else:
        _refuse_missing_attributes(signed_data.content_type, found.read(0, _HEAD_OCTETS))
        signed = found.whole() if algorithm.scheme.is_pure else digest
    certificate = _signer(
        _candidates(signed_data, signer_info, extra_certificates, attributes),
        signer_info.signature,
        signed,
        (digest_algorithm, algorithm),
    )
    return _checked(certificate, digest_algorithm, algorithm.scheme, attributes)


def _checked(
    certificate: Certificate,
    digest_algorithm: DigestAlgorithm,
    scheme: SignatureScheme,
    attributes: SignedAttributes | None,
) -> CheckedSignature:
    return CheckedSignature(
        certificate=certificate,
        digest_algorithm=digest_algorithm,
        scheme=scheme,
        signing_time=attributes.signing_time if attributes else None,
        capabilities=attributes.capabilities if attributes else None,
        encryption_key=attributes.encryption_key if attributes else None,
        has_signed_attributes=attributes is not None,
    )


def digest_of(algorithm: DigestAlgorithm, pieces: Iterable[bytes]) -> bytes:
    """Digest content that comes in pieces."""
    state = hashes.Hash(algorithm.primitive())
    for piece in pieces:
        state.update(piece)
    return state.finalize()


def verify_own_signature(
    certificate: Certificate,
    signature: bytes,
    signed: bytes,
    scheme: SignatureScheme,
    digest_algorithm: DigestAlgorithm,
) -> None:
    """Make sure that a signature just made belongs to *certificate*.

    Raises:
        SignatureError: ``signature``: it was made with another key.
        UnsupportedAlgorithmError: The certificate's key is none we use.
    """
    algorithm = _own_algorithm(scheme, digest_algorithm)
    key = public_key_of(certificate)
    if flaw := pss_flaw(certificate, algorithm):
        raise UnsupportedAlgorithmError(flaw)
    try:
        value = _signed_value(scheme, digest_algorithm, signed)
        _verify(key, signature, value, (digest_algorithm, algorithm))
    except (InvalidSignature, ValueError):
        raise SignatureError("signature", "the signing key is not the certificate's") from None


@cache
def _own_algorithm(scheme: SignatureScheme, digest: DigestAlgorithm) -> SignatureAlgorithm:
    salt_octets = digest.primitive().digest_size
    return SignatureAlgorithm(scheme=scheme, digest=digest, salt_octets=salt_octets)


def _refuse_missing_attributes(content_type: str, head: bytes) -> None:
    # RFC 5652, 5.3: other content types need signed attributes
    if content_type != DATA or looks_like_signed_attributes(head):
        raise SignatureError("attributes", "signed attributes are missing")


def _signed_value(scheme: SignatureScheme, digest: DigestAlgorithm, octets: bytes) -> bytes:
    """What the key operation takes: the octets themselves (RFC 8419, 3), or their digest."""
    return octets if scheme.is_pure else digest_of(digest, (octets,))


def _algorithms(signer_info: SignerInfo) -> tuple[DigestAlgorithm, SignatureAlgorithm]:
    digest, algorithm = signer_info.digest_algorithm, signer_info.signature_algorithm
    if digest is None or algorithm is None:
        raise UnsupportedAlgorithmError(signer_info.unsupported)
    if algorithm.digest not in (None, digest):
        raise SignatureError("algorithm", "digest and signature algorithm contradict each other")
    if not algorithm.scheme.goes_with(digest):
        raise SignatureError("algorithm", "the digest is none of this signature algorithm")
    return digest, algorithm


def _content(signed_data: SignedData, content: Content | None) -> Content:
    encapsulated = signed_data.encapsulated
    if content is None:
        content = encapsulated
    if content is None:
        raise CMSError("the signature is detached and no content was given")
    # a reader of one could be shown the other (cases H21)
    if encapsulated is not None and encapsulated is not content and encapsulated != content:
        raise SignatureError("digest", "the detached signature carries different content")
    return content


def _compare(attributes: SignedAttributes, content_type: str, digest: bytes) -> None:
    if attributes.content_type != content_type:
        raise SignatureError("attributes", "contentType contradicts the content")
    if attributes.message_digest != digest:
        raise SignatureError("digest", "the content was changed after it was signed")


def _candidates(
    signed_data: SignedData,
    signer_info: SignerInfo,
    extra_certificates: Iterable[Certificate],
    attributes: SignedAttributes | None,
) -> list[Certificate]:
    known = dict.fromkeys((*signed_data.certificates, *extra_certificates))
    named = [certificate for certificate in known if signer_info.identifier.matches(certificate)]
    if not named:
        raise SignatureError("no-certificate", "the signer's certificate is not at hand")
    # RFC 5035, 5.4: another certificate with the same key or name must not be slipped in
    meant = [
        certificate for certificate in named if not attributes or attributes.names(certificate)
    ]
    if not meant:
        raise SignatureError("attributes", "signingCertificate names another certificate")
    return meant


def _signer(
    candidates: list[Certificate],
    signature: bytes,
    signed: bytes,
    algorithms: tuple[DigestAlgorithm, SignatureAlgorithm],
) -> Certificate:
    unusable = ""
    for certificate in candidates:
        try:
            key = public_key_of(certificate)
        except UnsupportedAlgorithmError as exc:
            unusable = str(exc)
            continue
        if flaw := pss_flaw(certificate, algorithms[1]):
            unusable = flaw
            continue
        try:
            _verify(key, signature, signed, algorithms)
        except InvalidSignature:
            continue
        except (ValueError, UnsupportedAlgorithm) as exc:
            unusable = str(exc)
            continue
        return certificate
    if unusable:
        raise SignatureError("algorithm", unusable)
    raise SignatureError("signature", "the signature does not belong to content and certificate")


def _verify(
    key: PublicKey,
    signature: bytes,
    signed: bytes,
    algorithms: tuple[DigestAlgorithm, SignatureAlgorithm],
) -> None:
    digest_algorithm, algorithm = algorithms
    primitive = digest_algorithm.primitive()
    prehashed = _PREHASHED[digest_algorithm]
    scheme = algorithm.scheme
    if scheme is SignatureScheme.RSA_PKCS1V15 and isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, _PKCS1V15, prehashed)
    elif scheme is SignatureScheme.RSA_PSS and isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, pss_padding(primitive, algorithm.salt_octets), prehashed)
    elif scheme is SignatureScheme.ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(prehashed))
    elif (scheme is SignatureScheme.ED25519 and isinstance(key, ed25519.Ed25519PublicKey)) or (
        scheme is SignatureScheme.ED448 and isinstance(key, ed448.Ed448PublicKey)
    ):
        key.verify(signature, signed)
    else:
        raise ValueError("the certificate's key is not of the kind the signature names")
