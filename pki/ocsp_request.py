"""Reads OCSP requests, about several certificates at a time (RFC 6960, 4.1).

The library reads requests about one certificate only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from smimegw.cms import asn1, der
from smimegw.cms.asn1 import Element
from smimegw.errors import CMSError, LimitError
from smimegw.limits import Limits

REQUEST_OCTETS = 16 * 1024
NONCE = "1.3.6.1.5.5.7.48.1.2"
_CERTIFICATES = 32  # in one request; people ask for one
_NONCE_OCTETS = 128  # RFC 9654, 2.1
_LIMITS = Limits(asn1_depth=12, asn1_elements=1000)
_BOOLEAN = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class CertID:
    """Which certificate is asked about: hashes of its issuer's name and key, and its number."""

    algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    encoded: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One OCSPRequest; *nonce* is empty when there was none."""

    certificates: tuple[CertID, ...]
    nonce: bytes = b""


def parse_request(octets: bytes) -> Request:
    """Read an OCSPRequest; a signature on it says nothing that we need and is not looked at.

    Raises:
        CMSError: Malformed, a nonce of no or more than 128 octets, a critical extension.
        LimitError: Too long or about too many certificates.
    """
    if len(octets) > REQUEST_OCTETS:
        raise LimitError("ocsp_request_octets")
    outer = asn1.read_document(octets, _LIMITS).children()
    tbs = outer.read(asn1.SEQUENCE).children()
    outer.optional(0xA0)
    outer.finish()
    if version := tbs.optional(0xA0):
        (number,) = version.elements(asn1.INTEGER)
        if number.integer() != 0:
            raise CMSError("an OCSPRequest of unknown version")
    tbs.optional(0xA1)  # requestorName
    asked = tbs.read(asn1.SEQUENCE).elements()
    extensions = tbs.optional(0xA2)
    tbs.finish()
    if not 0 < len(asked) <= _CERTIFICATES:
        raise LimitError("ocsp_certificates", f"{len(asked)} certificates in one request")
    certificates = tuple(_cert_id(entry) for entry in asked)
    return Request(certificates=certificates, nonce=_extensions(extensions, keep=NONCE))


def _cert_id(entry: Element) -> CertID:
    if entry.tag != asn1.SEQUENCE:
        raise CMSError("a Request that is no SEQUENCE")
    fields = entry.children()
    certificate = fields.read(asn1.SEQUENCE)
    _extensions(fields.optional(0xA0))
    fields.finish()
    algorithm, name, key, serial = certificate.elements(
        asn1.SEQUENCE, asn1.OCTET_STRING, asn1.OCTET_STRING, asn1.INTEGER
    )
    parameters = algorithm.children()
    digest = parameters.read(asn1.OBJECT_IDENTIFIER).oid()
    null = parameters.optional(asn1.NULL)
    parameters.finish()
    number = serial.integer()
    return CertID(
        algorithm=digest,
        issuer_name_hash=name.octets(),
        issuer_key_hash=key.octets(),
        serial=number,
        # Written anew, because BER would not do in a signed answer.
        encoded=der.sequence(
            der.sequence(der.oid(digest), der.NULL if null else b""),
            der.octet_string(name.octets()),
            der.octet_string(key.octets()),
            der.integer(number),
        ),
    )


def _extensions(element: Element | None, keep: str = "") -> bytes:
    """The value of the extension *keep*; any other that is critical cannot be obeyed."""
    kept = b""
    if element is None:
        return kept
    (several,) = element.elements(asn1.SEQUENCE)
    for extension in several.elements():
        fields = extension.children()
        name = fields.read(asn1.OBJECT_IDENTIFIER).oid()
        critical = fields.optional(_BOOLEAN)
        value = fields.read(asn1.OCTET_STRING).octets()
        fields.finish()
        if name == keep:
            nonce = asn1.read_document(value, _LIMITS)
            kept = nonce.octets() if nonce.tag == asn1.OCTET_STRING else b""
            if not 0 < len(kept) <= _NONCE_OCTETS:
                raise CMSError("a nonce has 1 to 128 octets")
        elif critical is not None and bytes(critical.content) != b"\0":
            raise CMSError(f"an unknown critical extension {name}")
    return kept
