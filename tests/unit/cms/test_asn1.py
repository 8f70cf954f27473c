"""The BER reader and the DER writer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smimegw.cms import asn1, der
from smimegw.errors import CMSError, LimitError
from smimegw.limits import Limits


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_come_back(size: int) -> None:
    """Short and long form (X.690, 8.1.3)."""
    octets = der.octet_string(bytes(size))
    assert asn1.read_document(octets).octets() == bytes(size)


def test_lengths_are_minimal() -> None:
    """One octet up to 127, then as few as possible (X.690, 10.1)."""
    assert der.octet_string(bytes(127))[:2] == b"\x04\x7f"
    assert der.octet_string(bytes(128))[:3] == b"\x04\x81\x80"
    assert der.octet_string(bytes(256))[:4] == b"\x04\x82\x01\x00"


def test_longer_length_than_needed_is_read() -> None:
    """BER allows it (X.690, 8.1.3.5)."""
    assert asn1.read_document(b"\x04\x83\x00\x00\x01x").octets() == b"x"


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, -1, -128, -129, 2**159])
def test_integers_come_back(number: int) -> None:
    """Two's complement (X.690, 8.3)."""
    assert asn1.read_document(der.integer(number)).integer() == number


@pytest.mark.parametrize("octets", [b"\x02\x02\x00\x7f", b"\x02\x02\xff\x80", b"\x02\x00"])
def test_padded_or_empty_integer_is_malformed(octets: bytes) -> None:
    """The first nine bits must not be alike (X.690, 8.3.2)."""
    with pytest.raises(CMSError):
        asn1.read_document(octets).integer()


@pytest.mark.parametrize(
    "dotted", ["1.2.840.113549.1.7.2", "2.16.840.1.101.3.4.1.46", "0.9", "2.999.1"]
)
def test_object_identifiers_come_back(dotted: str) -> None:
    """Arcs in base 128, the first two together (X.690, 8.19)."""
    assert asn1.read_document(der.oid(dotted)).oid() == dotted


def test_object_identifier_of_the_standard() -> None:
    """The example of X.690, 8.19.5."""
    assert der.oid("2.999.3") == bytes.fromhex("0603883703")


def test_set_of_is_sorted() -> None:
    """DER orders by the encodings (X.690, 11.6)."""
    parts = (der.integer(300), der.integer(1), der.octet_string(b""))
    assert der.set_of(parts) == bytes.fromhex("31 09 020101 0202012c 0400".replace(" ", ""))


def test_time_before_2050_is_utc_time() -> None:
    """GeneralizedTime from 2050 on (RFC 5652, 11.3)."""
    assert der.time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert der.time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"


def test_chunks_of_chunks_are_joined_in_order() -> None:
    """Definite and indefinite, nested (X.690, 8.7.3)."""
    octets = bytes.fromhex(
        "2480 0401 61 2404 0402 6263 2480 0401 64 0000 0400 0000".replace(" ", "")
    )
    assert asn1.read_document(octets).octets() == b"abcd"


def test_other_types_inside_an_octet_string_are_malformed() -> None:
    """Only OCTET STRINGs are its pieces (X.690, 8.7.3.2)."""
    with pytest.raises(CMSError):
        asn1.read_document(bytes.fromhex("2480 020101 0000".replace(" ", ""))).octets()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x81",
        b"\x30\x02\x05",
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x30\x80\x05\x00\x00",
        b"\x04\x80\x00\x00",
        b"\x1f\x81\x01\x00",
        b"\x04\x89\x00\x00\x00\x00\x00\x00\x00\x00\x01x",
    ],
    ids=repr,
)
def test_impossible_headers_are_malformed(octets: bytes) -> None:
    """Truncated, primitive but indefinite, high tag numbers, absurd lengths (X.690, 8.1)."""
    with pytest.raises(CMSError):
        asn1.read_document(octets)


def test_child_longer_than_its_parent_is_malformed() -> None:
    """A length must not reach into what follows (X.690, 8.1.3)."""
    reader = asn1.read_document(bytes.fromhex("30050403616263")).children()
    assert reader.read().octets() == b"abc"
    reader = asn1.read_document(bytes.fromhex("30050404616263")).children()
    with pytest.raises(CMSError):
        reader.read()


def test_encoding_of_an_indefinite_value_is_refused() -> None:
    """What is hashed or compared must have one encoding (X.690, 10.1)."""
    with pytest.raises(CMSError):
        _ = asn1.read_document(b"\x30\x80\x05\x00\x00\x00").encoded


def test_wrong_tag_is_malformed() -> None:
    """A field is what the syntax says or the value is refused."""
    with pytest.raises(CMSError):
        asn1.read_document(der.sequence(der.NULL)).children().read(asn1.INTEGER)


@pytest.mark.parametrize("octets", [b"\x03\x02\x09\x00", b"\x03\x02\x01\x00", b"\x03\x00"])
def test_bit_string_with_unused_bits_is_malformed(octets: bytes) -> None:
    """Keys and signatures are whole octets (cases H10)."""
    with pytest.raises(CMSError):
        asn1.read_document(octets).bits()


def test_depth_is_limited_by_the_limits() -> None:
    """The limit is an argument (cases H07)."""
    octets = b"\x24\x80" * 5 + b"\0\0" * 5
    assert asn1.read_document(octets, Limits(asn1_depth=5)).octets() == b""
    with pytest.raises(LimitError):
        asn1.read_document(octets, Limits(asn1_depth=4))


def test_elements_are_limited_by_the_limits() -> None:
    """The limit is an argument (T-09)."""
    octets = b"\x24\x80" + b"\x04\x00" * 10 + b"\0\0"
    assert asn1.read_document(octets, Limits(asn1_elements=21)).octets() == b""
    with pytest.raises(LimitError):
        asn1.read_document(octets, Limits(asn1_elements=20)).octets()
