"""The outer ContentInfo: a content type and the content (RFC 5652, 3)."""

from __future__ import annotations

from smimegw.cms import asn1, der
from smimegw.cms.asn1 import Element, Reader
from smimegw.content import Content
from smimegw.errors import CMSError
from smimegw.limits import DEFAULT_LIMITS, Limits

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"
_NAMES = {
    DATA: "data",
    SIGNED_DATA: "signed-data",
    ENVELOPED_DATA: "enveloped-data",
    AUTH_ENVELOPED_DATA: "auth-enveloped-data",
    COMPRESSED_DATA: "compressed-data",
    "1.2.840.113549.1.7.5": "digested-data",
    "1.2.840.113549.1.7.6": "encrypted-data",
    "1.2.840.113549.1.9.16.1.2": "authenticated-data",
}


def content_type_of(octets: bytes | Content, limits: Limits = DEFAULT_LIMITS) -> str:
    """Name the content type, such as ``signed-data``; unknown ones as dotted OID.

    Raises:
        CMSError: Not one ContentInfo.
        LimitError: Too deep or too many elements.
    """
    oid = asn1.read_document(octets, limits).children().read(asn1.OBJECT_IDENTIFIER).oid()
    return _NAMES.get(oid, oid)


def read_content_info(octets: bytes | Content, limits: Limits) -> tuple[str, Element]:
    """Read a ContentInfo and return the content type's OID and the content's element.

    Raises:
        CMSError: Not exactly one ContentInfo, or octets follow it.
        LimitError: Too deep or too many elements.
    """
    document = asn1.read_document(octets, limits)
    if document.tag != asn1.SEQUENCE:
        raise CMSError("not a CMS ContentInfo")
    reader = document.children()
    oid = reader.read(asn1.OBJECT_IDENTIFIER).oid()
    content = reader.read(0xA0).children()
    reader.finish()
    element = content.read()
    content.finish()
    return oid, element


def expect_sequence(content: Element) -> Reader:
    """Return the fields of a content that must be a SEQUENCE.

    Raises:
        CMSError: It is something else.
    """
    if content.tag != asn1.SEQUENCE:
        raise CMSError("the CMS content is not a SEQUENCE")
    return content.children()


def write_content_info(oid: str, content: bytes) -> bytes:
    """Write a ContentInfo."""
    return der.sequence(der.oid(oid), der.explicit(0, content))


def content_info_header(oid: str, content_octets: int) -> bytes:
    """Write a ContentInfo up to where a content of *content_octets* begins."""
    type_der = der.oid(oid)
    explicit = der.header(0xA0, content_octets)
    outer = der.header(asn1.SEQUENCE, len(type_der) + len(explicit) + content_octets)
    return outer + type_der + explicit
