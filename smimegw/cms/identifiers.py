"""Names a certificate inside CMS: by issuer and serial number, or by key identifier."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from smimegw.cms import asn1, der
from smimegw.cms.asn1 import Element
from smimegw.errors import CertificateError, CMSError
from smimegw.x509.certificate import Certificate

_STRING_CODECS = {
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody reads it
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}

# What is remembered must not grow with strangers' wishes.
_NAME_OCTETS = 8192  # real names have 200
_CERTIFICATE_OCTETS = 8192  # real certificates have 2,000

CanonicalName = tuple[frozenset[tuple[str, str | bytes]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIdentifier:
    """SignerIdentifier, RecipientIdentifier or KeyAgreeRecipientIdentifier (RFC 5652, 5.3, 6.2).

    Attributes:
        issuer_der: The issuer's Name as sent; empty when named by key identifier.
        serial_number: The serial number; None when named by key identifier.
        key_identifier: The subjectKeyIdentifier; None when named by issuer and serial number.
    """

    issuer_der: bytes = b""
    serial_number: int | None = None
    key_identifier: bytes | None = None

    def matches(self, certificate: Certificate) -> bool:
        """Whether *certificate* is the one that is named.

        A certificate without the SubjectKeyIdentifier extension is compared by the SHA-1 hash of
        its key, the usual way to make one (RFC 5280, 4.2.1.2).
        """
        if self.key_identifier is not None:
            own = certificate.subject_key_identifier or _hashed_key(certificate)
            return own == self.key_identifier
        if self.serial_number != certificate.serial_number:
            return False
        try:
            issuer_der, _ = _issuer_and_serial(certificate.der)
            if self.issuer_der == issuer_der:
                return True
            return canonical_name(self.issuer_der) == canonical_name(issuer_der)
        except CMSError:
            return False


def read_identifier(element: Element) -> CertificateIdentifier:
    """Read the CHOICE of IssuerAndSerialNumber and ``[0]`` SubjectKeyIdentifier.

    Raises:
        CMSError: Neither of them.
    """
    if element.tag == asn1.SEQUENCE:
        return read_issuer_and_serial_number(element)
    if element.tag in (0x80, 0xA0):
        return CertificateIdentifier(key_identifier=element.octets())
    raise CMSError("a certificate is named in an unknown way")


def read_issuer_and_serial_number(element: Element) -> CertificateIdentifier:
    """Read an IssuerAndSerialNumber (RFC 5652, 10.2.4)."""
    reader = element.children()
    issuer = reader.read(asn1.SEQUENCE).encoded
    serial_number = reader.read(asn1.INTEGER).integer()
    reader.finish()
    return CertificateIdentifier(issuer_der=issuer, serial_number=serial_number)


def issuer_and_serial_number(certificate: Certificate, tag: int = asn1.SEQUENCE) -> bytes:
    """Write an IssuerAndSerialNumber with the very octets that the certificate holds."""
    issuer, serial_number = _issuer_and_serial(certificate.der)
    return der.value(tag, issuer, _integer(serial_number))


def canonical_name(name_der: bytes) -> CanonicalName:
    """Bring a Name into a form that compares as RFC 5280, 7.1 says: no case, no extra spaces.

    Raises:
        CMSError: Not a Name, or an absurdly long one.
    """
    if len(name_der) > _NAME_OCTETS:
        raise CMSError("a Name is absurdly long")
    return _canonical_name(name_der)


_integer = lru_cache(maxsize=1024)(der.integer)


@lru_cache(maxsize=1024)
def _canonical_name(name_der: bytes) -> CanonicalName:
    relative_names = asn1.read_document(name_der).children()
    canonical = []
    while not relative_names.at_end:
        attributes = relative_names.read(asn1.SET).children()
        members: set[tuple[str, str | bytes]] = set()
        while not attributes.at_end:
            attribute = attributes.read(asn1.SEQUENCE).children()
            kind = attribute.read(asn1.OBJECT_IDENTIFIER).oid()
            members.add((kind, _prepared(attribute.read())))
            attribute.finish()
        canonical.append(frozenset(members))
    return tuple(canonical)


def _prepared(element: Element) -> str | bytes:
    codec = _STRING_CODECS.get(element.tag)
    if codec is None:
        return bytes(element.content)
    try:
        text = bytes(element.content).decode(codec)
    except UnicodeDecodeError:
        return bytes(element.content)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _issuer_and_serial(certificate_der: bytes) -> tuple[bytes, int]:
    if len(certificate_der) > _CERTIFICATE_OCTETS:
        return _read_issuer_and_serial(certificate_der)
    return _remembered_issuer_and_serial(certificate_der)


@lru_cache(maxsize=1024)
def _remembered_issuer_and_serial(certificate_der: bytes) -> tuple[bytes, int]:
    return _read_issuer_and_serial(certificate_der)


def _read_issuer_and_serial(certificate_der: bytes) -> tuple[bytes, int]:
    fields = asn1.read_document(certificate_der).children().read(asn1.SEQUENCE).children()
    fields.optional(0xA0)  # version
    serial_number = fields.read(asn1.INTEGER).integer()
    fields.read(asn1.SEQUENCE)  # signature
    return fields.read(asn1.SEQUENCE).encoded, serial_number


def _hashed_key(certificate: Certificate) -> bytes | None:
    try:
        info = certificate.subject_public_key_info
    except CertificateError:
        return None
    fields = asn1.read_document(info).children()
    fields.read(asn1.SEQUENCE)  # algorithm
    return hashlib.sha1(  # a name, not a protection
        fields.read(asn1.BIT_STRING).bits(), usedforsecurity=False
    ).digest()
