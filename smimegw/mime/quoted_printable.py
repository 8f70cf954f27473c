"""Quoted-printable bodies both ways (RFC 2045, 6.7), safe against what relays change."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from smimegw.content import MEMORY, Content, Store
from smimegw.errors import MIMEError
from smimegw.mime.lines import blocks_of_lines

_LINE = 76
# Patterns are used on so much at once: they keep an object for every place that they change.
_BLOCK_OCTETS = 4096
_TRAILING_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?(?:\n|\Z))")
_UNSAFE = re.compile(rb"[^\t -<>-~]+")


def encode_quoted_printable(text: bytes | Content, store: Store = MEMORY) -> Content:
    """Encode *text*, whose line ends are CRLF and none of whose lines has more than a MiB.

    A missing last line end stays missing; *store* keeps the result.

    Also encoded: white space at line ends and the F of lines that begin with "From "
    (RFC 8551, 3.1.3).  The standard library's encoder does not know the latter and lets lines
    of 77 characters through.
    """
    return store.store(
        _encode_lines(block) for lines in blocks_of_lines(text) for block in _small_blocks(lines)
    )


def _encode_lines(block: bytes) -> bytes:
    return b"\r\n".join([_encode_line(line) for line in block.split(b"\r\n")])


def _encode_line(line: bytes) -> bytes:
    if len(line) <= _BLOCK_OCTETS:
        line = _UNSAFE.sub(_escaped, line)
    else:
        starts = range(0, len(line), _BLOCK_OCTETS)
        line = b"".join(_UNSAFE.sub(_escaped, line[at : at + _BLOCK_OCTETS]) for at in starts)
    if line.endswith((b" ", b"\t")):
        line = line[:-1] + b"=%02X" % line[-1]
    if line.startswith(b"From "):
        line = b"=46" + line[1:]
    if len(line) <= _LINE:
        return line
    return b"\r\n".join(_wrapped(line))


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"=" + match[0].hex("=").upper().encode("ascii")


def _wrapped(line: bytes) -> Iterator[bytes]:
    """Soft line breaks that neither cut an escape nor start a line with "From "."""
    start, prefix = 0, b""
    while len(prefix) + len(line) - start > _LINE:
        end = start + _LINE - 1 - len(prefix)
        escape = line.rfind(b"=", end - 2, end)
        if escape >= 0:
            end = escape
        yield prefix + line[start:end] + b"="
        start, prefix = end, b""
        if line.startswith(b"From ", start):
            start, prefix = start + 1, b"=46"
    yield prefix + line[start:]


def _small_blocks(body: bytes) -> Iterator[bytes]:
    """The body in smaller pieces that end at line ends."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + _BLOCK_OCTETS) + 1 or len(body)
        yield body[start:end]
        start = end


def decode_quoted_printable(body: bytes | Content, store: Store = MEMORY) -> Content:
    """Decode quoted-printable; white space at line ends is no content (RFC 2045, 6.7, rule 3).

    Args:
        body: With its transfer encoding.
        store: Keeps what comes out.

    Raises:
        MIMEError: A line has more than a MiB; 76 characters are allowed (RFC 2045, 6.7, rule 5).
    """
    return store.store(_decoded(body))


def _decoded(body: bytes | Content) -> Iterator[bytes]:
    is_cut = False
    for lines in blocks_of_lines(body):
        block = lines
        if is_cut:
            raise MIMEError("a line of a quoted-printable body is longer than can be read")
        is_cut = not block.endswith(b"\n")
        if b" \n" in block or b"\t\n" in block or b" \r\n" in block or b"\t\r\n" in block:
            block = b"".join(_TRAILING_SPACE.sub(b"", small) for small in _small_blocks(block))
        yield binascii.a2b_qp(block)
