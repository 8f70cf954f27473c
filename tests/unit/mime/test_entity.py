"""Entities give back their octets; multiparts are taken apart at exact places."""

from __future__ import annotations

import pytest

from smimegw.errors import LimitError, MIMEError
from smimegw.limits import Limits
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.headers import HeaderSection, field
from tests.fakes.multiparts import split_multipart


def multipart(body: bytes, boundary: bytes = b"abc") -> Entity:
    return Entity.parse(b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", b"A: b\r\n\r\nbody", b"A: b\r\n", b"body only", b"A: b\n\nx", b"\r\nbody"],
)
def test_an_entity_gives_back_its_octets(content: bytes) -> None:
    """Missing parts included, nothing is added or lost (A28)."""
    assert Entity.parse(content).raw == content


def test_a_header_on_top_of_a_lone_body_is_separated() -> None:
    """Fields put on top of content without a header must not swallow its first line."""
    entity = Entity.parse(b"just a body\r\n")
    entity = entity.with_header(HeaderSection((field("Received", "from x"), *entity.header)))
    assert entity.raw == b"Received: from x\r\n\r\njust a body\r\n"


def test_the_default_type_is_plain_text() -> None:
    """Without a field the type is text/plain in US-ASCII, 7bit (RFC 2045, 5.2 and 6.1)."""
    entity = Entity.parse(b"Subject: x\r\n\r\nbody")
    assert entity.content_type.media_type == "text/plain"
    assert entity.transfer_encoding == "7bit"


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: text/plain\r\nContent-Type: multipart/signed; boundary=a\r\n",
        b"Content-Type: text/plain\r\ncontent-type: text/plain\r\n",
        b"Content-Type : text/plain\r\n",
        b'Content-Type: multipart/mixed; boundary="a\0b"\r\n',
    ],
)
def test_an_ambiguous_content_type_is_refused(header: bytes) -> None:
    """Duplicate Content-Type, a space before the colon, NUL in the boundary (I26)."""
    entity = Entity.parse(header + b"\r\nbody")
    with pytest.raises(MIMEError):
        _ = entity.content_type


def test_parts_are_exact() -> None:
    """The CRLF before a delimiter belongs to the delimiter (RFC 2046, 5.1.1)."""
    body = b"preamble\r\n--abc\r\nA: 1\r\n\r\none\r\n\r\n--abc \t\r\n"
    body += b"\r\ntwo\r\n--abc--\r\nepilogue\r\n"
    found = read_multipart(multipart(body))
    assert found.parts == (b"A: 1\r\n\r\none\r\n", b"\r\ntwo")
    assert found.closed


def test_empty_parts_are_parts() -> None:
    """Two delimiters in a row enclose an empty part."""
    assert split_multipart(multipart(b"--abc\r\n--abc\r\n\r\n--abc--")) == (b"", b"")


def test_a_delimiter_inside_a_line_is_content() -> None:
    """A delimiter stands at the beginning of a line (RFC 2046, 5.1.1)."""
    parts = split_multipart(multipart(b"--abc\r\n\r\nx --abc\r\n --abc--\r\n--abc--\r\n"))
    assert parts == (b"\r\nx --abc\r\n --abc--",)


@pytest.mark.parametrize("line", [b"--abcd", b"--abcd--", b"--abc--x", b"--abc x", b"--abc-"])
def test_a_boundary_that_is_the_prefix_of_a_line_is_refused(line: bytes) -> None:
    """Some readers compare the beginning of a line, others all of it (I26)."""
    with pytest.raises(MIMEError, match="ambiguous"):
        split_multipart(multipart(b"--abc\r\n\r\none\r\n" + line + b"\r\ntwo\r\n--abc--\r\n"))


def test_a_nested_boundary_that_is_no_prefix_is_content() -> None:
    """A multipart inside a multipart stays whole."""
    inner = b"Content-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\n\r\nx\r\n--ab--"
    outer = b"--abc\r\n" + inner + b"\r\n--abc--\r\n"
    assert split_multipart(multipart(outer)) == (inner,)
    assert split_multipart(Entity.parse(inner)) == (b"\r\nx",)


def test_an_unclosed_multipart_is_reported() -> None:
    """Truncated mail still has its parts; who relies on the end can see that it is missing."""
    found = read_multipart(multipart(b"--abc\r\n\r\none\r\n--abc\r\n\r\ntwo"))
    assert found.parts == (b"\r\none", b"\r\ntwo")
    assert not found.closed


@pytest.mark.parametrize("body", [b"", b"no delimiter", b"--abc--\r\n"])
def test_a_multipart_needs_a_part(body: bytes) -> None:
    """A multipart without parts is malformed (RFC 2046, 5.1.1)."""
    with pytest.raises(MIMEError):
        split_multipart(multipart(body))


def test_the_number_of_parts_is_bounded() -> None:
    """At the limit read, above it refused."""
    limits = Limits(mime_parts=10)
    body = b"--abc\r\n\r\nx\r\n"
    assert len(split_multipart(multipart(body * 10 + b"--abc--"), limits)) == 10
    with pytest.raises(LimitError) as caught:
        split_multipart(multipart(body * 11 + b"--abc--"), limits)
    assert caught.value.limit == "mime_parts"


def test_line_ends_of_opened_content_may_be_lf() -> None:
    """Content that comes out of an encrypted message was not always written with CRLF."""
    assert split_multipart(multipart(b"--abc\n\none\n--abc\n\ntwo\n--abc--\n")) == (
        b"\none",
        b"\ntwo",
    )


@pytest.mark.parametrize(
    ("encoding", "body", "decoded"),
    [
        (b"7bit", b"a=20\r\n", b"a=20\r\n"),
        (b"8BIT", b"\xe4", b"\xe4"),
        (b"binary", b"\0\r\n", b"\0\r\n"),
        (b"BASE64", b"aGVs\r\nbG8=", b"hello"),
        (b"base64 (comment)", b"aGVsbG8=", b"hello"),
        (b"quoted-printable", b"a=3D=\r\nb  \r\nc=C3=BC", b"a=b\r\nc\xc3\xbc"),
        (b"Quoted-Printable", b"a \t\nb", b"a\nb"),
    ],
)
def test_bodies_are_decoded(encoding: bytes, body: bytes, decoded: bytes) -> None:
    """The five encodings of RFC 2045, 6, names in any case."""
    entity = Entity.parse(b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body)
    assert entity.decoded_body() == decoded


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbody",
        b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\naGVsbG8=",
        b"Content-Transfer-Encoding: base64\r\n\r\naGV*sbG8=",
    ],
)
def test_an_unknown_or_doubled_encoding_is_refused(content: bytes) -> None:
    """What cannot be decoded in one way is not decoded (I26)."""
    with pytest.raises(MIMEError):
        Entity.parse(content).decoded_body()


def test_content_does_not_appear_in_a_repr() -> None:
    """Bodies stay out of logs and exceptions."""
    assert "secret" not in repr(Entity.parse(b"Subject: secret\r\n\r\nsecret"))


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n" * 500_000 + b"--abc\r\n\r\nx\r\n--abc--",
        b"--abc" + b" " * 500_000 + b"\r\n\r\nx\r\n--abc--",
        b"x--abc" * 100_000 + b"\r\n--abc\r\n\r\nx\r\n--abc--",
    ],
)
def test_long_preambles_and_padding_are_passed_over(body: bytes) -> None:
    """Only what stands at the beginning of a line is looked at closely (T-09)."""
    assert split_multipart(multipart(body)) == (b"\r\nx",)
