"""Line ends and line lengths of octets, in a few passes of C code however large they are."""

from __future__ import annotations

LINE_OCTETS = 998  # RFC 5322, 2.1.1, CRLF not counted


def has_crlf_only(octets: bytes) -> bool:
    """Whether every CR and LF is part of a CRLF."""
    line_ends = octets.count(b"\r\n")
    return octets.count(b"\n") == line_ends and octets.count(b"\r") == line_ends


def has_long_line(octets: bytes) -> bool:
    """Whether a line is longer than 998 octets."""
    # Strides from the last line end within reach to the next, instead of line by line.
    start, end = 0, len(octets)
    while end - start > LINE_OCTETS:
        newline = octets.rfind(b"\n", start, start + LINE_OCTETS + 2)
        if newline < 0:
            return True
        start = newline + 1
    return False


def with_crlf(octets: bytes) -> bytes:
    """The octets with every line end written as CRLF."""
    if has_crlf_only(octets):
        return octets
    # Three whole copies, one after the other; a pattern would keep every line as an object.
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
