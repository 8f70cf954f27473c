"""The MIME forms of protected mail."""

from __future__ import annotations

import hashlib

import pytest

from smimegw.errors import MIMEError
from smimegw.mime.build import boundary, multipart_signed, pkcs7_mime, split_for_protection
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.headers import HeaderSection, parse_header_section

SIGNED = Entity.parse(b"Content-Type: text/plain\r\n\r\nhello\r\n--not a delimiter\r\n")


def built(signed: Entity = SIGNED) -> Entity:
    delimiter = boundary(lambda count: b"\x5a" * count)
    fields, body = multipart_signed(signed, b"DER", "sha-256", delimiter)
    return Entity(HeaderSection(fields), body)


def test_content_fields_move_inside() -> None:
    """Content-* describe the body; MIME-Version and the rest stay outside (RFC 8551, 3.1)."""
    header = parse_header_section(
        b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
        b"Subject: x\r\ncontent-language: de\r\nX-Content: y\r\n"
    )
    outer, inner = split_for_protection(header)
    assert inner.raw == b"Content-Type: text/plain\r\ncontent-language: de\r\n"
    assert [entry.name for entry in outer] == [b"From", b"MIME-Version", b"Subject", b"X-Content"]


def test_the_first_part_is_exactly_what_was_signed() -> None:
    """A verifier hashes the octets between the delimiters (RFC 1847, 2.1)."""
    found = read_multipart(built())
    assert found.parts[0] == SIGNED.raw
    assert found.closed


@pytest.mark.parametrize("body", [b"", b"no final line end", b"\r\n\r\n", b"ends in CRLF\r\n"])
def test_every_end_of_a_body_survives(body: bytes) -> None:
    """The CRLF before the delimiter is not part of the content."""
    signed = Entity.parse(b"Content-Type: text/plain\r\n\r\n" + body)
    assert read_multipart(built(signed)).parts[0] == signed.raw


def test_the_signature_is_the_second_part() -> None:
    """smime.p7s, base64, with the names that programs look for (RFC 8551, 3.5.3)."""
    signature = Entity.parse(read_multipart(built()).parts[1])
    assert signature.content_type.media_type == "application/pkcs7-signature"
    assert signature.content_type.parameter("name") == "smime.p7s"
    assert signature.decoded_body() == b"DER"


def test_the_type_names_protocol_and_digest() -> None:
    """protocol and micalg are mandatory (RFC 8551, 3.5.3.2)."""
    content_type = built().content_type
    assert content_type.media_type == "multipart/signed"
    assert content_type.parameter("protocol") == "application/pkcs7-signature"
    assert content_type.parameter("micalg") == "sha-256"


@pytest.mark.parametrize(
    ("smime_type", "name"),
    [
        ("enveloped-data", "smime.p7m"),
        ("authEnveloped-data", "smime.p7m"),
        ("signed-data", "smime.p7m"),
        ("compressed-data", "smime.p7z"),
    ],
)
def test_a_pkcs7_entity_has_the_names_of_the_rfc(smime_type: str, name: str) -> None:
    """smime-type, name and base64 (RFC 8551, 3.2.1 and 3.2.2)."""
    octets = hashlib.sha512(b"x").digest() * 2000
    fields, body = pkcs7_mime(smime_type, octets)
    entity = Entity(HeaderSection(fields), body)
    assert entity.content_type.media_type == "application/pkcs7-mime"
    assert entity.content_type.parameter("smime-type") == smime_type
    assert entity.content_type.parameter("name") == name
    assert max(len(line) for line in entity.body.whole().split(b"\r\n")) == 76
    assert entity.decoded_body() == octets


def test_an_unknown_smime_type_is_refused() -> None:
    """Only the types of RFC 8551, 3.2.2 are written."""
    with pytest.raises(MIMEError, match="smime-type"):
        pkcs7_mime("enveloped-data\r\nX: y", b"")


def test_boundaries_come_from_the_given_source_of_chance() -> None:
    """Same octets, same boundary; 128 bits, inside the 70 characters of RFC 2046."""
    assert boundary(lambda count: b"\0" * count) == boundary(bytes)
    assert len(boundary(lambda count: b"\xff" * count)) <= 70


@pytest.mark.parametrize(
    ("delimiter", "micalg"),
    [
        ("", "sha-256"),
        ("x" * 71, "sha-256"),
        ('a"b', "sha-256"),
        ("a\r\nBcc: b@c.example", "sha-256"),
        ("frontier", "sha-256\r\nBcc: b@c.example"),
        ("frontier", ""),
    ],
)
def test_a_boundary_or_digest_that_is_none_is_refused(delimiter: str, micalg: str) -> None:
    """Nothing gets into the Content-Type field by these two (RFC 2046, 5.1.1)."""
    with pytest.raises(MIMEError):
        multipart_signed(SIGNED, b"DER", micalg, delimiter)
