"""Reads SignedData in BER without checking it; the way in for signing and verifying, too.

`sign_detached`, `sign_opaque` and `verify_signer_info` are offered here beside `parse_signed_data`
because whoever deals with signatures needs this one module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithm_identifiers import SignatureAlgorithm
from smimegw.cms.algorithms import DigestAlgorithm
from smimegw.cms.asn1 import Element, Reader
from smimegw.cms.content_info import DATA, SIGNED_DATA, expect_sequence, read_content_info
from smimegw.cms.identifiers import CertificateIdentifier, read_identifier
from smimegw.cms.sign import certificates_only, sign_detached, sign_opaque
from smimegw.cms.verify import CheckedSignature, verify_signer_info
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import CertificateError, CMSError, LimitError, UnsupportedAlgorithmError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import Certificate

__all__ = [
    "CheckedSignature",
    "SignedData",
    "SignerInfo",
    "certificates_only",
    "parse_signed_data",
    "sign_detached",
    "sign_opaque",
    "verify_signer_info",
]

_OTHER = 0xA1  # [1] OtherRevocationInfoFormat (RFC 5652, 10.2.1)
_RI_OCSP_RESPONSE = "1.3.6.1.5.5.7.16.2"  # RFC 5940, 2.1
_CACHED_OCTETS = 8192  # bigger certificates are not kept: strangers choose the size


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """One signer's record, read but not checked.

    Attributes:
        identifier: Names the signer's certificate.
        digest_algorithm: None when not one of ours; then *unsupported* says which.
        signature_algorithm: None when not one of ours.
        signed_attributes: The SET OF Attribute whose octets were signed; None when absent.
        signature: The signature's octets.
        unsupported: Why an algorithm is None.
    """

    identifier: CertificateIdentifier
    digest_algorithm: DigestAlgorithm | None
    signature_algorithm: SignatureAlgorithm | None
    signed_attributes: bytes | None = field(repr=False)
    signature: bytes = field(repr=False)
    unsupported: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    """A SignedData, read but not checked.

    Attributes:
        content_type: OID of the encapsulated (or detached) content's type.
        encapsulated: The content; None when the signature is detached.
        certificates: Those that parse among the first limits.certificates.
        certificates_ignored: How many others were there.
        crls: CertificateLists in DER, not looked at.
        ocsp_responses: OCSPResponses in DER, not looked at (RFC 5940).
        signer_infos: In the order given; empty when only certificates are carried.
    """

    content_type: str
    encapsulated: Content | None = field(repr=False)
    certificates: tuple[Certificate, ...]
    certificates_ignored: int
    crls: tuple[bytes, ...] = field(repr=False)
    ocsp_responses: tuple[bytes, ...] = field(repr=False)
    signer_infos: tuple[SignerInfo, ...]


def parse_signed_data(
    octets: bytes | Content, limits: Limits = DEFAULT_LIMITS, store: Store = MEMORY
) -> SignedData:
    """Read a ContentInfo that holds SignedData, DER or BER, in linear time.

    Content that comes in chunks is put together in *store*.

    Raises:
        CMSError: Malformed, truncated, followed by other octets, or another content type.
        LimitError: Too deep, too many elements, or more than limits.signer_infos signers.
    """
    oid, content = read_content_info(octets, limits)
    if oid != SIGNED_DATA:
        raise CMSError("the CMS content is not SignedData")
    fields = expect_sequence(content)
    fields.read(asn1.INTEGER).integer()
    fields.read(asn1.SET)  # digestAlgorithms: only a hint, each SignerInfo has its own
    content_type, encapsulated = _read_encapsulated(fields.read(asn1.SEQUENCE), store)
    certificates, ignored = _read_certificates(fields.optional(0xA0), limits)
    crls, ocsp_responses = _read_revocation(fields.optional(0xA1), limits)
    signer_infos = _read_signer_infos(fields.read(asn1.SET).children(), limits)
    fields.finish()
    return SignedData(
        content_type=content_type,
        encapsulated=encapsulated,
        certificates=certificates,
        certificates_ignored=ignored,
        crls=crls,
        ocsp_responses=ocsp_responses,
        signer_infos=signer_infos,
    )


def _read_encapsulated(element: Element, store: Store) -> tuple[str, Content | None]:
    fields = element.children()
    content_type = fields.read(asn1.OBJECT_IDENTIFIER).oid()
    explicit = fields.optional(0xA0)
    fields.finish()
    if explicit is None:
        return content_type, None
    reader = explicit.children()
    content = reader.read()
    reader.finish()
    if content.tag == asn1.OCTET_STRING:
        return content_type, content.view
    if content.tag == asn1.OCTET_STRING | asn1.CONSTRUCTED:
        return content_type, store.store(content.octet_string())
    if content_type == DATA:
        raise CMSError("id-data that is no OCTET STRING")
    # PKCS #7 1.5 has any type there; signed is its value without tag and length (RFC 5652, 5.2.1).
    return content_type, content.view


def _read_certificates(
    element: Element | None, limits: Limits
) -> tuple[tuple[Certificate, ...], int]:
    found: dict[Certificate, None] = {}
    seen = 0
    reader = element.children() if element is not None else None
    while reader is not None and not reader.at_end:
        choice = reader.read()
        seen += 1
        # beyond the limit and other kinds ([0] … [3]) are ignored: a signer whose certificate is
        # not found is an answer of its own
        if seen > limits.certificates or choice.tag != asn1.SEQUENCE:
            continue
        if choice.length > limits.memory_octets:
            continue
        try:
            found[_certificate(choice.encoded, limits)] = None
        except (CertificateError, CMSError):
            continue
    return tuple(found), seen - len(found)


def _certificate(octets: bytes, limits: Limits) -> Certificate:
    if len(octets) > _CACHED_OCTETS:
        return Certificate.parse(octets, limits=limits)
    return _cached_certificate(octets, limits)


@lru_cache(maxsize=1024)
def _cached_certificate(octets: bytes, limits: Limits) -> Certificate:
    # the same correspondents and CAs come again and again; their keys stay parsed, too
    return Certificate.parse(octets, limits=limits)


def _read_revocation(
    element: Element | None, limits: Limits
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """CertificateLists and OCSPResponses of a RevocationInfoChoices; other kinds are ignored."""
    crls: list[bytes] = []
    responses: list[bytes] = []
    reader = element.children() if element is not None else None
    while reader is not None and not reader.at_end:
        choice = reader.read()
        if choice.tag == asn1.SEQUENCE and choice.length <= limits.crl_octets:
            crls.append(choice.encoded)
        elif choice.tag == _OTHER and choice.length <= limits.ocsp_octets:
            responses.extend(_read_other(choice))
    return tuple(crls), tuple(responses)


def _read_other(choice: Element) -> Iterator[bytes]:
    fields = choice.children()
    if fields.read(asn1.OBJECT_IDENTIFIER).oid() == _RI_OCSP_RESPONSE:
        yield fields.read(asn1.SEQUENCE).encoded


def _read_signer_infos(reader: Reader, limits: Limits) -> tuple[SignerInfo, ...]:
    found: list[SignerInfo] = []
    while not reader.at_end:
        if len(found) == limits.signer_infos:
            raise LimitError("signer_infos", f"more than {limits.signer_infos} signers")
        found.append(_read_signer_info(reader.read(asn1.SEQUENCE)))
    return tuple(found)


def _read_signer_info(element: Element) -> SignerInfo:
    fields = element.children()
    fields.read(asn1.INTEGER).integer()
    identifier = read_identifier(fields.read())
    digest_element = fields.read(asn1.SEQUENCE)
    attributes = fields.optional(0xA0)
    algorithm_element = fields.read(asn1.SEQUENCE)
    signature = fields.read(asn1.OCTET_STRING, asn1.OCTET_STRING | asn1.CONSTRUCTED).octets()
    fields.optional(0xA1)  # unsigned attributes: anybody may have added them
    fields.finish()
    digest = algorithm = None
    unsupported = ""
    try:
        digest = algorithm_identifiers.read_digest(digest_element)
        algorithm = algorithm_identifiers.read_signature(algorithm_element)
    except UnsupportedAlgorithmError as exc:
        unsupported = str(exc)
    return SignerInfo(
        identifier=identifier,
        digest_algorithm=digest,
        signature_algorithm=algorithm,
        # RFC 5652, 5.4: signed is the SET OF with its own tag and a definite length
        signed_attributes=(None if attributes is None else der.value(asn1.SET, attributes.whole())),
        signature=signature,
        unsupported=unsupported,
    )
