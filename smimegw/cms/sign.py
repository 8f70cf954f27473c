"""Makes SignedData with one signer, detached or with its content, in DER (RFC 5652, 5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache, lru_cache

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme, digest_for
from smimegw.cms.attributes import write_signed_attributes
from smimegw.cms.capabilities import Capabilities
from smimegw.cms.content_info import DATA, SIGNED_DATA, content_info_header, write_content_info
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import SigningCredential
from smimegw.cms.verify import digest_of, verify_own_signature
from smimegw.content import Content
from smimegw.errors import UnsupportedAlgorithmError
from smimegw.x509.certificate import Certificate

_DETACHED = der.sequence(der.oid(DATA))


def sign_detached(
    digest: bytes,
    *,
    digest_algorithm: DigestAlgorithm,
    credential: SigningCredential,
    scheme: SignatureScheme,
    signing_time: datetime,
    capabilities: Capabilities | None,
    encryption_certificate: Certificate | None = None,
) -> bytes:
    """Sign content of which only the *digest* is at hand; return a DER ContentInfo.

    Args:
        digest: Of the content, made with *digest_algorithm*, which the attributes get, too.
        credential: Whose signature it becomes; certificate and chain go along.
        signing_time: Becomes the signingTime attribute; aware.
        capabilities: Becomes the SMIMECapabilities attribute.
        encryption_certificate: Becomes the SMIMEEncryptionKeyPreference attribute.

    Raises:
        UnsupportedAlgorithmError: The key cannot do that.
        SignatureError: ``signature``: the key is not the certificate's.
        KeystoreError: The key cannot be used now.
    """
    signer_info = _signer_info(
        digest,
        digest_algorithm=digest_algorithm,
        credential=credential,
        scheme=scheme,
        signing_time=signing_time,
        capabilities=capabilities,
        encryption_certificate=encryption_certificate,
    )
    return write_content_info(
        SIGNED_DATA,
        der.sequence(
            _before_content(digest_algorithm),
            _DETACHED,
            _after_content(credential, signer_info),
        ),
    )


def sign_opaque(
    content: bytes | Content,
    *,
    digest_algorithm: DigestAlgorithm,
    credential: SigningCredential,
    scheme: SignatureScheme,
    signing_time: datetime,
    capabilities: Capabilities | None,
    encryption_certificate: Certificate | None = None,
) -> Content:
    """Sign *content* and put it inside; return a DER ContentInfo around it.

    Arguments and errors are those of `sign_detached`.
    """
    signer_info = _signer_info(
        digest_of(digest_algorithm, Content.of(content)),
        digest_algorithm=digest_algorithm,
        credential=credential,
        scheme=scheme,
        signing_time=signing_time,
        capabilities=capabilities,
        encryption_certificate=encryption_certificate,
    )
    # headers are made from lengths, so that the content is not copied
    octet_string = der.header(asn1.OCTET_STRING, len(content))
    explicit = der.header(0xA0, len(octet_string) + len(content))
    data = der.oid(DATA)
    inner = len(data) + len(explicit) + len(octet_string) + len(content)
    encapsulated = der.header(asn1.SEQUENCE, inner) + data + explicit + octet_string
    before = _before_content(digest_algorithm) + encapsulated
    after = _after_content(credential, signer_info)
    body_octets = len(before) + len(content) + len(after)
    signed_data = der.header(asn1.SEQUENCE, body_octets)
    head = content_info_header(SIGNED_DATA, len(signed_data) + body_octets)
    return Content.joined((head + signed_data + before, content, after))


def certificates_only(certificates: Iterable[Certificate], crls: Iterable[bytes] = ()) -> bytes:
    """Write SignedData without signers that carries certificates and CRLs (RFC 8551, 3.8)."""
    revocations = tuple(crls)
    return write_content_info(
        SIGNED_DATA,
        der.sequence(
            der.integer(1),
            der.set_of(()),
            der.sequence(der.oid(DATA)),
            der.set_of({certificate.der for certificate in certificates}, tag=0xA0),
            der.set_of(revocations, tag=0xA1) if revocations else b"",
            der.set_of(()),
        ),
    )


def _signer_info(
    digest: bytes,
    *,
    digest_algorithm: DigestAlgorithm,
    credential: SigningCredential,
    scheme: SignatureScheme,
    signing_time: datetime,
    capabilities: Capabilities | None,
    encryption_certificate: Certificate | None,
) -> bytes:
    if digest_algorithm.is_weak or len(digest) != digest_algorithm.primitive().digest_size:
        raise UnsupportedAlgorithmError(f"{digest_algorithm.value} digest that cannot be signed")
    # RFC 8419, 3.1: EdDSA has one digest
    fits = scheme.goes_with(digest_algorithm)
    if not fits or digest_for(scheme, digest_algorithm) is not digest_algorithm:
        raise UnsupportedAlgorithmError(
            f"{scheme.value} does not sign a {digest_algorithm.value} digest"
        )
    attributes = write_signed_attributes(
        content_type=DATA,
        message_digest=digest,
        certificate=credential.certificate,
        signing_time=signing_time,
        capabilities=capabilities,
        encryption_certificate=encryption_certificate,
    )
    signature = credential.key.sign(attributes, scheme, digest_algorithm)
    # somebody else's key, or a token that miscalculates, must not reach a reader
    verify_own_signature(credential.certificate, signature, attributes, scheme, digest_algorithm)
    return der.sequence(
        _before_attributes(credential.certificate, digest_algorithm),
        b"\xa0" + attributes[1:],  # [0] IMPLICIT
        algorithm_identifiers.write_signature(scheme, digest_algorithm),
        der.octet_string(signature),
    )


@lru_cache(maxsize=1024)  # of our own signers, as below
def _before_attributes(certificate: Certificate, digest_algorithm: DigestAlgorithm) -> bytes:
    identifier = algorithm_identifiers.write_digest(digest_algorithm)
    return der.integer(1) + issuer_and_serial_number(certificate) + identifier


@cache
def _before_content(digest_algorithm: DigestAlgorithm) -> bytes:
    identifiers = (algorithm_identifiers.write_digest(digest_algorithm),)
    return der.integer(1) + der.set_of(identifiers)


@lru_cache(maxsize=1024)
def _certificates(certificate: Certificate, chain: tuple[Certificate, ...]) -> bytes:
    return der.set_of({item.der for item in (certificate, *chain)}, tag=0xA0)


def _after_content(credential: SigningCredential, signer_info: bytes) -> bytes:
    certificates = _certificates(credential.certificate, credential.chain)
    return certificates + der.set_of((signer_info,))
