"""Reads what directory attributes hold: certificates, bundles of them, cross pairs, names, CRLs."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from smimegw.cms import asn1
from smimegw.cms.capabilities import Capabilities, read_capabilities
from smimegw.cms.content_info import content_type_of
from smimegw.cms.signed_data import parse_signed_data
from smimegw.cms.vouched import VouchedCapabilities, vouched_capabilities
from smimegw.errors import CertificateError, CMSError, LimitError
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_COMMON_NAME = "2.5.4.3"
_NAME_TYPES = (_COMMON_NAME, "2.5.4.10", "2.5.4.11")  # commonName, organization, its unit
_CODECS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be"}
_NAMELESS = "authority"


def parse_certificates(value: bytes) -> tuple[Certificate, ...]:
    """Return a person's certificates in one attribute value.

    A value is one certificate (userCertificate), or SignedData that carries the person's
    certificate and perhaps its path (userSMIMECertificate, RFC 2798, 2.8): CA certificates in it
    are not the person's and are left out.  Nobody's certificates are found in PKCS #12 files
    (userPKCS12), which some put there.

    Raises:
        CertificateError: One certificate, malformed.
        CMSError: Neither a certificate nor SignedData.
        LimitError: Too large or too deep.
    """
    if not _is_content_info(value):
        return (Certificate.parse(value),)
    if content_type_of(value) != "signed-data":
        raise CMSError("a CMS structure other than SignedData where a certificate was expected")
    return tuple(item for item in parse_signed_data(value).certificates if not item.is_ca)


def parse_capabilities(value: bytes) -> VouchedCapabilities | None:
    """Return what a person says of his software in a value of userSMIMECertificate, if he does.

    Raises:
        CMSError: Malformed.
        LimitError: Too large or too deep.
    """
    return vouched_capabilities(value) if _is_content_info(value) else None


def parse_stated_capabilities(value: bytes) -> Capabilities:
    """Return the capabilities in a value of smimegwCapabilities, for which nobody signed.

    Raises:
        CMSError: Malformed.
        LimitError: Too many or too deep.
    """
    element = asn1.read_document(value)
    if element.tag != asn1.SEQUENCE:
        raise CMSError("smimegwCapabilities holds something other than SMIMECapabilities")
    return read_capabilities(element)


def parse_authorities(value: bytes) -> tuple[Certificate, ...]:
    """Return the CA certificate, or the two of a cross pair (RFC 4523, 2.3), in one value.

    Raises:
        CertificateError: Malformed.
        CMSError: Not ASN.1.
    """
    pair = _read_pair(value)
    return tuple(Certificate.parse(octets) for octets in (pair or [value]))


def issuer_of_crl(value: bytes) -> bytes | None:
    """Return the issuer's Name of a CertificateList, DER; None when it is not one."""
    try:
        return x509.load_der_x509_crl(value).issuer.public_bytes()
    except PARSE_ERRORS:
        return None


def entry_name(name_der: bytes) -> str:
    """Return what a CA's entry is called: its common name, else its organization.

    Raises:
        CMSError: *name_der* is not a Name.
    """
    found = dict(reversed(list(_attributes(name_der))))
    return next((found[oid] for oid in _NAME_TYPES if found.get(oid)), _NAMELESS)


def _is_content_info(value: bytes) -> bool:
    try:
        fields = asn1.read_document(value).children()
        return not fields.at_end and fields.next_tag() == asn1.OBJECT_IDENTIFIER
    except (CMSError, LimitError):
        return False  # the certificate parser says better what is wrong


def _read_pair(value: bytes) -> list[bytes]:
    fields = asn1.read_document(value).children()
    found = []
    for tag in (0xA0, 0xA1):
        element = fields.optional(tag)
        if element is not None:
            found.append(element.children().read(asn1.SEQUENCE).encoded)
    return found


def _attributes(name_der: bytes) -> Iterator[tuple[str, str]]:
    for relative_name in _each(asn1.read_document(name_der), asn1.SET):
        for attribute in _each(relative_name, asn1.SEQUENCE):
            fields = attribute.children()
            oid = fields.read(asn1.OBJECT_IDENTIFIER).oid()
            text = fields.read()
            codec = _CODECS.get(text.tag)
            if codec:
                yield oid, bytes(text.content).decode(codec, "replace")


def _each(element: asn1.Element, tag: int) -> Iterator[asn1.Element]:
    reader = element.children()
    while not reader.at_end:
        yield reader.read(tag)


UNREADABLE = (CertificateError, CMSError, LimitError)
"""What a value that does not parse raises."""
