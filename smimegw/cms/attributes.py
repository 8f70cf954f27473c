"""Signed attributes: writes ours in DER, reads others' and refuses doubled ones (RFC 5652, 11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache

from cryptography.hazmat.primitives import hashes

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import DigestAlgorithm
from smimegw.cms.asn1 import Element
from smimegw.cms.capabilities import SMIME_CAPABILITIES, Capabilities, read_capabilities
from smimegw.cms.identifiers import (
    CertificateIdentifier,
    issuer_and_serial_number,
    read_issuer_and_serial_number,
)
from smimegw.errors import CMSError, LimitError, SignatureError, UnsupportedAlgorithmError
from smimegw.x509.certificate import Certificate

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
ENCRYPTION_KEY_PREFERENCE = "1.2.840.113549.1.9.16.2.11"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_MOST = 64
_TIME = re.compile(rb"(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAttributes:
    """What a signer signed besides the content.

    Attributes:
        content_type: OID of the content's type.
        message_digest: Digest of the content.
        signing_time: What the signer's clock said, aware, UTC; a claim, not evidence.
        capabilities: What the signer's software reads, if it says so.
        encryption_key: The certificate the signer wants to be encrypted to, if it says so.
        certificate_hashes: Digests of the signer's certificate, from signingCertificate(V2).
    """

    content_type: str
    message_digest: bytes
    signing_time: datetime | None = None
    capabilities: Capabilities | None = None
    encryption_key: CertificateIdentifier | None = None
    certificate_hashes: tuple[tuple[DigestAlgorithm, bytes], ...] = ()

    def names(self, certificate: Certificate) -> bool:
        """Whether *certificate* is the one signingCertificate(V2) speaks of (RFC 5035, 5)."""
        return all(
            _digest(algorithm, certificate.der) == expected
            for algorithm, expected in self.certificate_hashes
        )


def write_signed_attributes(
    *,
    content_type: str,
    message_digest: bytes,
    certificate: Certificate,
    signing_time: datetime,
    capabilities: Capabilities | None,
    encryption_certificate: Certificate | None,
) -> bytes:
    """Write the SET OF Attribute that gets signed, in DER (RFC 5652, 5.4)."""
    attributes = [
        _content_type(content_type),
        _attribute(MESSAGE_DIGEST, der.octet_string(message_digest)),
        _attribute(SIGNING_TIME, der.time(signing_time)),
        _signing_certificate_v2(certificate),
    ]
    if capabilities is not None:
        attributes.append(capabilities.attribute)
    if encryption_certificate is not None:
        preference = issuer_and_serial_number(encryption_certificate, tag=0xA0)
        attributes.append(_attribute(ENCRYPTION_KEY_PREFERENCE, preference))
    return der.set_of(attributes)


def read_signed_attributes(octets: bytes) -> SignedAttributes:
    """Read a SET OF Attribute.

    Raises:
        CMSError: Malformed.
        SignatureError: ``attributes``: one is missing, doubled, or has not exactly one value.
    """
    attributes = _sole_values(asn1.read_document(octets))
    try:
        content_type = attributes[CONTENT_TYPE]
        message_digest = attributes[MESSAGE_DIGEST]
    except KeyError:
        raise SignatureError("attributes", "contentType or messageDigest is missing") from None
    signing_time = attributes.get(SIGNING_TIME)
    return SignedAttributes(
        content_type=_expected(content_type, asn1.OBJECT_IDENTIFIER).oid(),
        message_digest=_expected(message_digest, asn1.OCTET_STRING).octets(),
        signing_time=None if signing_time is None else read_time(signing_time),
        capabilities=_capabilities(attributes.get(SMIME_CAPABILITIES)),
        encryption_key=_encryption_key(attributes.get(ENCRYPTION_KEY_PREFERENCE)),
        certificate_hashes=_certificate_hashes(attributes),
    )


def read_time(element: Element) -> datetime:
    """Read a Time with seconds and Z (RFC 5652, 11.3).

    Raises:
        CMSError: Another form, or no real moment.
    """
    match = _TIME.fullmatch(bytes(element.content[:20]))
    if match is None or len(match[1]) != {asn1.UTC_TIME: 2, asn1.GENERALIZED_TIME: 4}.get(
        element.tag
    ):
        raise CMSError("signingTime is not a UTCTime or GeneralizedTime in Z")
    year, *rest = (int(group) for group in match.groups())
    if element.tag == asn1.UTC_TIME:
        year += 2000 if year < 50 else 1900  # RFC 5652, 11.3
    try:
        # *rest* has exactly the five groups of the pattern, which mypy cannot count
        return datetime(year, *rest, tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        raise CMSError("signingTime is no real moment") from None


def looks_like_signed_attributes(head: bytes) -> bool:
    """Whether content begins as a SET OF Attribute does.

    A signature over signed attributes is also one over content that consists of these octets, so
    such content never passes without signed attributes.
    """
    try:
        length_octets = head[1] & 0x7F if head[1] > 0x80 else 0
        attribute = head[2 + length_octets :]
        inner = attribute[2 + (attribute[1] & 0x7F if attribute[1] > 0x80 else 0) :]
        return head[0] == asn1.SET and attribute[0] == asn1.SEQUENCE and inner[0] == 0x06
    except IndexError:
        return False


def _attribute(oid: str, value: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.set_of((value,)))


@cache
def _content_type(oid: str) -> bytes:
    return _attribute(CONTENT_TYPE, der.oid(oid))


@lru_cache(maxsize=1024)  # of our own signers
def _signing_certificate_v2(certificate: Certificate) -> bytes:
    # ESSCertIDv2 with the default hash, SHA-256, left out as DER demands (RFC 5035, 4)
    issuer, serial_number = asn1.read_document(issuer_and_serial_number(certificate)).elements()
    issuer_names = der.sequence(der.explicit(4, issuer.encoded))  # GeneralNames: directoryName
    return _attribute(
        SIGNING_CERTIFICATE_V2,
        der.sequence(
            der.sequence(
                der.sequence(
                    der.octet_string(_digest(DigestAlgorithm.SHA256, certificate.der)),
                    der.sequence(issuer_names, serial_number.encoded),
                )
            )
        ),
    )


def _digest(algorithm: DigestAlgorithm, octets: bytes) -> bytes:
    state = hashes.Hash(algorithm.primitive())
    state.update(octets)
    return state.finalize()


def _sole_values(attributes: Element) -> dict[str, Element]:
    if attributes.tag != asn1.SET:
        raise CMSError("signed attributes are not a SET")
    found: dict[str, Element] = {}
    reader = attributes.children()
    while not reader.at_end:
        if len(found) == _MOST:
            raise LimitError("signed_attributes")
        fields = reader.read(asn1.SEQUENCE).children()
        oid = fields.read(asn1.OBJECT_IDENTIFIER).oid()
        values = fields.read(asn1.SET)
        fields.finish()
        if oid in found:
            raise SignatureError("attributes", f"signed attribute {oid} is there twice")
        value_reader = values.children()
        if value_reader.at_end:
            raise SignatureError("attributes", f"signed attribute {oid} has no value")
        found[oid] = value_reader.read()
        if not value_reader.at_end:
            raise SignatureError("attributes", f"signed attribute {oid} has several values")
    return found


def _expected(element: Element, tag: int) -> Element:
    if element.tag != tag:
        raise CMSError(f"signed attribute with tag {element.tag:#04x} instead of {tag:#04x}")
    return element


def _capabilities(element: Element | None) -> Capabilities | None:
    if element is None:
        return None
    try:
        return read_capabilities(_expected(element, asn1.SEQUENCE))
    except (CMSError, LimitError):
        return None  # only a hint for later mail; a sloppy one does not make a signature bad


def _encryption_key(element: Element | None) -> CertificateIdentifier | None:
    try:
        if element is not None and element.tag == 0xA0:
            return read_issuer_and_serial_number(element)
        if element is not None and element.tag == 0x82:
            return CertificateIdentifier(key_identifier=element.octets())
    except CMSError:
        pass  # a hint as well
    return None


def _certificate_hashes(
    attributes: dict[str, Element],
) -> tuple[tuple[DigestAlgorithm, bytes], ...]:
    found = []
    if (element := attributes.get(SIGNING_CERTIFICATE_V2)) is not None:
        fields = element.children().read(asn1.SEQUENCE).children().read(asn1.SEQUENCE).children()
        algorithm = DigestAlgorithm.SHA256
        if (identifier := fields.optional(asn1.SEQUENCE)) is not None:
            try:
                algorithm = algorithm_identifiers.read_digest(identifier)
            except UnsupportedAlgorithmError as exc:
                raise SignatureError("attributes", "signingCertificateV2: " + str(exc)) from exc
        found.append((algorithm, fields.read(asn1.OCTET_STRING).octets()))
    if (element := attributes.get(SIGNING_CERTIFICATE)) is not None:
        fields = element.children().read(asn1.SEQUENCE).children().read(asn1.SEQUENCE).children()
        found.append((DigestAlgorithm.SHA1, fields.read(asn1.OCTET_STRING).octets()))
    return tuple(found)
