"""How CMS names certificates."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from smimegw.cms import asn1, der
from smimegw.cms.identifiers import (
    CertificateIdentifier,
    canonical_name,
    issuer_and_serial_number,
    read_identifier,
)
from smimegw.errors import CMSError
from tests.fakes.pki import make_ca, private_key
from tests.unit.cms.people import person


def _name(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> bytes:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, kind)]).public_bytes()


def test_what_we_write_matches_its_certificate_only() -> None:
    """Issuer and serial number (RFC 5652, 10.2.4)."""
    alice, bob = person().certificate, person("bob").certificate
    identifier = read_identifier(asn1.read_document(issuer_and_serial_number(alice)))
    assert identifier.matches(alice)
    assert not identifier.matches(bob)


def test_same_serial_number_of_another_issuer_does_not_match() -> None:
    """Numbers are unique within one CA only (RFC 5280, 4.1.2.2)."""
    alice = person().certificate
    identifier = read_identifier(asn1.read_document(issuer_and_serial_number(alice)))
    other = make_ca("Another CA").issue(serial_number=alice.serial_number).certificate
    assert not identifier.matches(other)


def test_issuer_in_another_string_type_matches() -> None:
    """PrintableString, UTF8String, case and spaces do not make another name (RFC 5280, 7.1)."""
    ca = make_ca("spelled  CA")
    issued = ca.issue().certificate
    relative_names = asn1.read_document(issued.issuer_der).elements()
    spelled = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "SPELLED ca", _ASN1Type.BMPString)]
    )
    renamed = [asn1.read_document(spelled.public_bytes()).elements()[0], relative_names[0]]
    issuer = der.sequence(*(element.encoded for element in reversed(renamed)))
    identifier = CertificateIdentifier(issuer_der=issuer, serial_number=issued.serial_number)
    assert issuer != issued.issuer_der
    assert identifier.matches(issued)


def test_name_with_other_letters_does_not_match() -> None:
    """The comparison folds case, not letters (RFC 5280, 7.1)."""
    assert canonical_name(_name("Test CA")) == canonical_name(
        _name("test  ca ", _ASN1Type.PrintableString)
    )
    assert canonical_name(_name("Test CA")) != canonical_name(_name("Tést CA"))


def test_malformed_issuer_matches_nothing() -> None:
    """It is no reason to fail for the other recipients."""
    alice = person().certificate
    identifier = CertificateIdentifier(issuer_der=b"\x30\x01", serial_number=alice.serial_number)
    assert not identifier.matches(alice)


def test_key_identifier_matches_the_extension() -> None:
    """RFC 5280, 4.2.1.2."""
    alice = person().certificate
    assert alice.subject_key_identifier is not None
    octets = der.value(0x80, alice.subject_key_identifier)
    identifier = read_identifier(asn1.read_document(octets))
    assert identifier.matches(alice)
    assert not identifier.matches(person("bob").certificate)


def test_key_identifier_matches_the_hash_of_the_key_without_extension() -> None:
    """Method (1) of RFC 5280, 4.2.1.2."""
    key = private_key("p256", "no extension")
    certificate = make_ca().issue(key=key, subject_key_identifier=False).certificate
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    digest = hashlib.sha1(point, usedforsecurity=False).digest()
    assert CertificateIdentifier(key_identifier=digest).matches(certificate)


@pytest.mark.parametrize("octets", [der.integer(1), der.explicit(1, der.NULL)])
def test_other_ways_to_name_are_malformed(octets: bytes) -> None:
    """RFC 5652, 5.3 knows two."""
    with pytest.raises(CMSError):
        read_identifier(asn1.read_document(octets))


def test_absurdly_long_name_is_not_compared() -> None:
    """What is remembered of names must stay small (T-09)."""
    assert canonical_name(_name("a" * 64))
    relative_name = asn1.read_document(_name("a" * 64)).elements()[0].encoded
    with pytest.raises(CMSError):
        canonical_name(der.sequence(relative_name * 150))
