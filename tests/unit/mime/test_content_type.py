"""Content-Type is read in one way or refused."""

from __future__ import annotations

import pytest

from smimegw.errors import MIMEError
from smimegw.mime.content_type import ContentType, parse_content_type, parse_disposition


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"text/plain", ("text/plain", ())),
        (b"TEXT/Plain; CharSet=UTF-8", ("text/plain", (("charset", "UTF-8"),))),
        (
            b'text/plain; charset="us-ascii" (Plain text)',
            ("text/plain", (("charset", "us-ascii"),)),
        ),
        (b"text/plain;charset=a;", ("text/plain", (("charset", "a"),))),
        (b'a/b; name="with \\"quotes\\" and \\\\"', ("a/b", (("name", 'with "quotes" and \\'),))),
        (
            b"multipart/mixed; boundary=----=_Part_1",
            ("multipart/mixed", (("boundary", "----=_Part_1"),)),
        ),
        (b"text/plain; name=my file.txt; charset=x", ("text/plain", (("charset", "x"),))),
        (
            b"a/b; name*0*=utf-8''%e2%82%ac; name*1=%20rates; x=y",
            ("a/b", (("name", "€%20rates"), ("x", "y"))),
        ),
        (b"a/b; name*=iso-8859-1'en'%A3%20rates", ("a/b", (("name", "£ rates"),))),
        (b"a/b; name=plain; name*=utf-8''%c3%bc", ("a/b", (("name", "ü"),))),
    ],
)
def test_a_value_with_parameters_is_read(
    body: bytes, expected: tuple[str, tuple[tuple[str, str], ...]]
) -> None:
    """RFC 2045, 5.1 and RFC 2231, with the liberties that real programs take."""
    parsed = parse_content_type(body)
    assert (parsed.media_type, parsed.parameters) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"/plain",
        b"a/b; x=1; X=2",
        b"multipart/mixed; boundary=a; boundary=b",
        b"multipart/mixed; boundary=a; boundary*=utf-8''b",
        b"multipart/mixed; boundary=a; boundary*0=b",
        b"multipart/signed; boundary=a; micalg=sha-1; micalg*=utf-8''sha-256",
        b'multipart/mixed; boundary="a\0b"',
        b"multipart/mixed; boundary*=utf-8''a%00b",
        b'multipart/mixed; boundary="a\tb"',
        b'multipart/mixed; boundary="a "',
        b'multipart/mixed; boundary=""',
        b'multipart/mixed; boundary="open',
        b"multipart/mixed; boundary=a b",
        b"application/pkcs7-mime; smime-type=signed-data garbage",
        b"text/plain (comment without end",
        b"a/b; name*0=x; name*2=y",
    ],
)
def test_what_has_two_readings_is_refused(body: bytes) -> None:
    """Doubled parameters, NUL in the boundary and broken quotes are permerror (I26)."""
    with pytest.raises(MIMEError):
        parse_content_type(body)


@pytest.mark.parametrize(("length", "accepted"), [(70, True), (200, True), (201, False)])
def test_a_boundary_is_bounded(length: int, accepted: bool) -> None:
    """RFC 2046 allows 70 characters; up to `boundary_octets` are read."""
    body = b"multipart/mixed; boundary=" + b"b" * length
    if accepted:
        assert parse_content_type(body).boundary == b"b" * length
    else:
        with pytest.raises(MIMEError, match="boundary"):
            parse_content_type(body)


def test_a_deep_comment_does_not_recurse() -> None:
    """5 KB of nested comments are read without recursion (I07)."""
    body = b"text/plain " + b"(" * 5000 + b")" * 5000 + b"; charset=x"
    assert parse_content_type(body).parameter("charset") == "x"


def test_octets_of_a_boundary_come_back() -> None:
    """A boundary in an unknown charset still finds its delimiters."""
    assert parse_content_type(b'multipart/mixed; boundary="\xff\xfe"').boundary == b"\xff\xfe"


@pytest.mark.parametrize(
    "value",
    [
        ContentType("text", "plain", (("charset", "utf-8"),)),
        ContentType("application", "pdf", (("name", 'a "b" \\ c.pdf'),)),
        ContentType("application", "pdf", (("name", "合同 2026.pdf"),)),
    ],
)
def test_a_written_value_is_ascii_and_comes_back(value: ContentType) -> None:
    """Names in any script survive by RFC 2231."""
    written = value.write()
    assert written.isascii()
    assert parse_content_type(written.encode()) == value


def test_a_disposition_is_read() -> None:
    """RFC 2183 with a name in RFC 2231 form."""
    parsed = parse_disposition(b"Attachment; filename*=utf-8''%e5%90%88.pdf")
    assert parsed == ("attachment", (("filename", "合.pdf"),))


def test_8_bit_octets_in_an_extended_value_are_read() -> None:
    """Raw octets where only %XX may stand: some writers do it, fuzzing found it (RFC 2231, 7)."""
    parsed = parse_disposition(b"attachment; filename*=iso-8859-1''\xfc%e4.pdf")
    assert parsed == ("attachment", (("filename", "üä.pdf"),))


def test_thousands_of_parameters_are_read_in_one_pass() -> None:
    """A field full of parameters keeps every one, plain and extended (T-09)."""
    body = b"a/b" + b"".join(b"; p%d=x; q%d*=utf-8''y" % (n, n) for n in range(3000))
    assert len(parse_content_type(body).parameters) == 6000
