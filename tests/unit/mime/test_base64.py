"""Base64 bodies stream out in lines and come in strictly."""

from __future__ import annotations

import base64 as standard
import subprocess
import sys

import pytest

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
