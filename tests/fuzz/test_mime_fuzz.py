"""MIME under random input: octets come back, nothing but the documented errors is raised."""

from __future__ import annotations

import contextlib
import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from smimegw.errors import LimitError, MIMEError
from smimegw.mime import base64
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.content_type import ContentType, parse_content_type
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.headers import decode_words, encode_text_field, field, parse_header_section
from smimegw.mime.quoted_printable import decode_quoted_printable, encode_quoted_printable

PIECES = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b"--b",
    b"--b--",
    b"--bb",
    b"From ",
    b"a",
    b"=",
    b"\xc3\xbc",
    b"\xff",
    b"Content-Type: text/plain\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: multipart/mixed; boundary=bb\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type : text/html\r\n",
    b"Content-Type: application/pdf; name=\xc3\xbc\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Subject: \xff\r\n",
    b"x" * 1000,
]
CONTENT = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=5)), max_size=30).map(
    b"".join
)
LINES = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b" ", b"\t", b"From ", b"=", b".", b"\xc3\xbc", b"word " * 20]),
        st.binary(max_size=5).filter(lambda octets: b"\r" not in octets and b"\n" not in octets),
    ),
    max_size=40,
).map(b"".join)


@settings(max_examples=500, deadline=None)
@given(CONTENT)
def test_every_content_comes_back(content: bytes) -> None:
    """Parsing changes no octet (promise 5)."""
    entity = Entity.parse(content)
    assert entity.raw == content
    assert parse_header_section(entity.header.raw).raw == entity.header.raw


@settings(max_examples=500, deadline=None)
@given(CONTENT)
def test_reading_raises_only_documented_errors(content: bytes) -> None:
    """MIMEError and LimitError, whatever the octets."""
    entity = Entity.parse(content)
    for entry in entity.header:
        assert isinstance(decode_words(entry.body), str)
    with contextlib.suppress(MIMEError, LimitError):
        entity.decoded_body()
    with contextlib.suppress(MIMEError, LimitError):
        found = read_multipart(entity)
        assert all(part.whole() in entity.body for part in found.parts)


@settings(max_examples=500, deadline=None)
@given(CONTENT)
def test_canonical_form_is_final(content: bytes) -> None:
    """7-bit, CRLF, short lines, and doing it twice is doing it once (RFC 8551, 3.1)."""
    try:
        entity = canonical_for_signing(Entity.parse(content))
    except (MIMEError, LimitError):
        return
    raw = entity.raw
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    assert all(len(line) <= 998 and line == line.rstrip(b" \t") for line in raw.split(b"\r\n"))
    assert not re.search(rb"(?m)^From ", entity.body.whole())
    assert canonical_for_signing(entity).raw == raw
    again = Entity.parse(entity.raw)
    assert (again.header.raw, again.separator, again.body) == (
        entity.header.raw,
        b"\r\n",
        entity.body.whole(),
    )


@settings(max_examples=400, deadline=None)
@given(LINES)
def test_quoted_printable_comes_back(text: bytes) -> None:
    """Every text with CRLF line ends survives, in lines of 76 without "From "."""
    encoded = encode_quoted_printable(text)
    assert decode_quoted_printable(encoded) == text
    for line in encoded.whole().split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith(b"From ")
        assert not line.endswith((b" ", b"\t"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_base64_comes_back(octets: bytes, cuts: list[int]) -> None:
    """Any octets in any pieces."""
    edges = [0, *sorted(min(place, len(octets)) for place in cuts), len(octets)]
    pieces = [octets[start:end] for start, end in pairwise(edges)]
    assert base64.decode(b"".join(base64.encode_lines(pieces))) == octets


PRINTABLE = st.text(
    alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=0, max_size=120
)


@settings(max_examples=400, deadline=None)
@given(PRINTABLE)
def test_text_fields_come_back(text: str) -> None:
    """Any text without control characters survives RFC 2047."""
    entry = encode_text_field("Subject", text)
    assert decode_words(entry.body) == text
    (parsed,) = parse_header_section(entry.raw)
    assert parsed == entry


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=60))
def test_a_field_is_one_field_or_refused(value: str) -> None:
    """No value makes a second field (T-12)."""
    with contextlib.suppress(MIMEError):
        entry = field("X-Test", value)
        assert parse_header_section(entry.raw).fields == (entry,)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["name", "charset", "x-y"]), PRINTABLE, max_size=4))
def test_parameters_come_back(parameters: dict[str, str]) -> None:
    """Any value survives quoting or RFC 2231."""
    value = ContentType("text", "plain", tuple(parameters.items()))
    assert parse_content_type(value.write().encode("ascii")) == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_a_content_type_is_read_or_refused(octets: bytes) -> None:
    """Nothing but MIMEError, whatever a stranger writes."""
    for body in (octets, b"text/plain; " + octets, b"multipart/mixed; boundary=" + octets):
        with contextlib.suppress(MIMEError):
            parse_content_type(body).write()
