"""Base64 bodies: lines of 76 characters out, strict alphabet in (RFC 2045, 6.8).

The one place that knows the faster `pybase64`; without it the standard library does the same.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from smimegw.content import MEMORY, Content, Store, evenly
from smimegw.errors import MIMEError

PIECE_OCTETS = 57 * 720  # 41,040 of whole lines: large enough for speed, small enough for memory


_WHITE_SPACE = b"\r\n \t"


def _standard_decode(octets: bytes) -> bytes:
    return binascii.a2b_base64(octets, strict_mode=True)


_encode: Callable[[bytes], bytes]
_decode: Callable[[bytes], bytes]
try:
    import pybase64
except ImportError:  # the extra "fast" is not installed
    _encode, _decode = base64.encodebytes, _standard_decode
else:
    _encode, _decode = pybase64.encodebytes, partial(pybase64.b64decode, validate=True)


def encode_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Encode *pieces* of any size as one body: CRLF lines of 76 characters, the last one shorter.

    Memory stays constant.  Empty input gives no output.
    """
    for piece in evenly(pieces, PIECE_OCTETS):
        yield _encode(piece).replace(b"\n", b"\r\n")


def encoded(content: Content) -> Content:
    """The body that `encode_lines` makes of *content*, made when it is read."""
    lines, rest = divmod(len(content), 57)
    length = 78 * lines + (4 * -(-rest // 3) + 2 if rest else 0)
    return Content.made(length, lambda: encode_lines(content.pieces()))


def decode(body: bytes | Content, store: Store = MEMORY) -> Content:
    """Decode a base64 body; line breaks and white space may be anywhere or nowhere.

    Args:
        body: With its transfer encoding.
        store: Keeps what comes out.

    Raises:
        MIMEError: Octets outside the alphabet, wrong padding, or something after the padding.
    """
    return store.store(_decoded(Content.of(body).pieces()))


def _without_white_space(octets: bytes) -> bytes:
    """Line ends of lines of one length, as everybody writes them, are taken out in strides."""
    octets = octets.rstrip(_WHITE_SPACE)
    first = octets.find(b"\n")
    width = octets.find(b"\n", first + 1) - first
    if first < 0 or width <= 1:
        return octets.translate(None, _WHITE_SPACE)
    lines = bytearray(octets)
    count = len(octets[first::width])
    if octets[first::width] == b"\n" * count:
        del lines[first::width]
        # each of them moved to the left by the line ends that went before
        returns = slice(first - 1, first - 1 + (count - 1) * (width - 1) + 1, width - 1)
        if first and lines[returns] == b"\r" * count:
            del lines[returns]
    is_clean = not any(map(lines.__contains__, _WHITE_SPACE))
    return bytes(lines) if is_clean else octets.translate(None, _WHITE_SPACE)


def _decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held, is_padded = b"", False
    for piece in pieces:
        text = held + _without_white_space(piece)
        whole = len(text) - len(text) % 4
        quads, held = text[:whole], text[whole:]
        if not quads:
            continue
        try:
            octets = _decode(quads)
        except (binascii.Error, ValueError):
            octets = b""
        if is_padded or not octets:
            raise MIMEError("base64 body holds octets that are not base64")
        is_padded = quads.endswith(b"=")
        yield octets
    if held:
        raise MIMEError("base64 body is truncated or not base64 (its length is no multiple of 4)")
