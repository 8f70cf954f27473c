"""Line ends and line lengths of octets, in a few passes of C code however long they are."""

from __future__ import annotations

from collections.abc import Iterator
from io import IncrementalNewlineDecoder

from smimegw.content import Content, Store

LINE_OCTETS = 998  # RFC 5322, 2.1.1, CRLF not counted
_ENDLESS_OCTETS = 1024 * 1024  # longer lines are cut


def blocks_of_lines(octets: bytes | Content) -> Iterator[bytes]:
    """The octets in pieces that end at line ends; never between CR and LF.

    A line of more than a MiB comes in several pieces.
    """
    held = b""
    for piece in Content.of(octets).pieces():
        data = held + piece if held else piece
        end = data.rfind(b"\n") + 1
        if not end and len(data) > _ENDLESS_OCTETS:
            end = len(data) - data.endswith(b"\r")
        if end:
            yield data if end == len(data) else data[:end]
        held = data[end:]
    if held:
        yield held


def has_endless_line(octets: bytes | Content) -> bool:
    """Whether a line is so long that `blocks_of_lines` cuts it."""
    is_whole = True
    for block in blocks_of_lines(octets):
        if not is_whole:
            return True
        is_whole = block.endswith(b"\n")
    return False


def has_crlf_only(octets: bytes | Content) -> bool:
    """Whether every CR and LF is part of a CRLF."""
    if isinstance(octets, bytes):
        return _has_crlf_only(octets)
    return all(map(_has_crlf_only, blocks_of_lines(octets)))


def has_long_line(octets: bytes | Content) -> bool:
    """Whether a line is longer than 998 octets."""
    if isinstance(octets, bytes):
        return _has_long_line(octets)
    return any(map(_has_long_line, blocks_of_lines(octets)))


def with_crlf(octets: bytes) -> bytes:
    """The octets with every line end written as CRLF."""
    if _has_crlf_only(octets):
        return octets
    # Three whole copies, one after the other; a pattern would keep every line as an object.
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def in_crlf_lines(content: Content, store: Store) -> Content:
    """*content* with every line end written as CRLF; itself when it has no other."""
    if has_crlf_only(content):
        return content
    return store.store(map(with_crlf, blocks_of_lines(content)))


def _has_crlf_only(octets: bytes) -> bool:
    # The decoder notes which line ends it meets, in one pass; counting them takes three.
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(octets.decode("latin-1"), final=True)
    return decoder.newlines in {None, "\r\n"}


def _has_long_line(octets: bytes) -> bool:
    # Strides from the last line end within reach to the next, instead of line by line.
    start, end = 0, len(octets)
    while end - start > LINE_OCTETS:
        newline = octets.rfind(b"\n", start, start + LINE_OCTETS + 2)
        if newline < 0:
            return True
        start = newline + 1
    return False
