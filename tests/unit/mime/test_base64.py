"""Base64 bodies stream out in lines and come in strictly."""

from __future__ import annotations

import base64 as standard
import subprocess
import sys

import pytest

from smimegw.content import Content
from smimegw.errors import MIMEError
from smimegw.mime.base64 import PIECE_OCTETS, decode, encode_lines


def expected(octets: bytes) -> bytes:
    return standard.encodebytes(octets).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "length", [0, 1, 56, 57, 58, PIECE_OCTETS - 1, PIECE_OCTETS, PIECE_OCTETS + 1, 200_000]
)
def test_lines_have_76_characters(length: int) -> None:
    """The same octets as the standard library's, CRLF line ends (RFC 2045, 6.8)."""
    octets = bytes(index * 31 % 251 for index in range(length))
    assert b"".join(encode_lines([octets])) == expected(octets)


@pytest.mark.parametrize("size", [1, 57, 1000, PIECE_OCTETS, 99_999])
def test_the_size_of_pieces_does_not_matter(size: int) -> None:
    """Pieces of any size give one body."""
    octets = bytes(index * 31 % 251 for index in range(100_000))
    pieces = (octets[start : start + size] for start in range(0, len(octets), size))
    assert b"".join(encode_lines(pieces)) == expected(octets)


@pytest.mark.parametrize(
    ("body", "octets"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"aGVs\r\nbG8=\r\n", b"hello"),
        (b"aGVsbG8=", b"hello"),
        (b"aG\nVs bG\r8=\r\n\t", b"hello"),
    ],
)
def test_line_breaks_may_be_anywhere(body: bytes, octets: bytes) -> None:
    """Long lines, LF line ends and missing line ends are read."""
    assert decode(body) == octets


@pytest.mark.parametrize(
    "body",
    [b"aGVsbG8", b"aGVs*G8=", b"aGVsbG8=aGVs", b"aG=sbG8=", b"====", b"aGVs\0bG8", b"\xffGVs"],
)
def test_anything_else_is_refused(body: bytes) -> None:
    """What two decoders read differently is no content (J05)."""
    with pytest.raises(MIMEError, match="base64"):
        decode(body)


def test_without_the_accelerator_the_octets_are_the_same() -> None:
    """The extra "fast" changes speed only; refusals are the same too."""
    program = """
import base64 as standard
import sys
sys.modules["pybase64"] = None
from smimegw.errors import MIMEError
from smimegw.mime import base64
octets = bytes(index * 31 % 251 for index in range(100_000))
body = b"".join(base64.encode_lines([octets]))
assert base64._encode is standard.encodebytes
assert base64.decode(body) == octets
for bad in (b"aGVs*G8=", b"aGVsbG8=aGVs", b"aG=sbG8=", b"===="):
    try:
        base64.decode(bad)
    except MIMEError:
        continue
    raise SystemExit(f"accepted {bad!r}")
sys.stdout.buffer.write(body)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    octets = bytes(index * 31 % 251 for index in range(100_000))
    assert done.stdout == b"".join(encode_lines([octets]))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("width", [1, 4, 60, 64, 76])
@pytest.mark.parametrize("cut", [1, 61, 77, 78, 79, 400])
def test_lines_of_every_width_are_read_wherever_pieces_end(
    cut: int, width: int, end: bytes
) -> None:
    """Line ends lie in strides when lines have one length; a piece may begin anywhere in one."""
    octets = bytes(range(256)) * 3
    text = standard.b64encode(octets)
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    body = end.join(lines) + end
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)]
    assert decode(Content.made(len(body), lambda: iter(pieces))) == octets


@pytest.mark.parametrize(
    "body",
    [
        b"QUFB\r\nQUFB\r\nQUFB\r\n",
        b"QUFB\r\nQUFB\nQUFB\r\n",
        b"QUFB\nQUFB\r\nQUFB",
        b"QUFB\n\nQUFB\n\nQUFB\n",
        b"\nQUFB\nQUFB\nQUFB",
        b"\r\nQUFB\r\nQUFB\r\nQUFB",
        b"QUFB \r\nQUFB \r\nQUFB \r\n",
        b"QUF\r\nBQ\r\nUFB\r\nQUFB",
        b"Q\nUFB\rQUFB\nQUFB\r",
        b"QUFB QUFB\tQUFB",
    ],
)
def test_uneven_lines_hold_the_same(body: bytes) -> None:
    """White space is taken out wherever it is (RFC 2045, 6.8)."""
    assert decode(body) == b"AAA" * 3


@pytest.mark.parametrize("odd", [b"!", b"-", b"\0", b"\x0b", b"\xff"])
@pytest.mark.parametrize("at", [0, 76, 77, 78, 100, 155, 156])
def test_an_odd_octet_in_even_lines_is_refused(at: int, odd: bytes) -> None:
    """What stands in the place of a line end or of a letter is no base64 (J05)."""
    body = b"".join(encode_lines([bytes(171)]))
    with pytest.raises(MIMEError):
        decode(body[:at] + odd + body[at + 1 :])
