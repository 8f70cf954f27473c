"""Takes the octets a server sends apart into replies, strict and bounded (RFC 5321, 4.2)."""

from __future__ import annotations

import re

from smimegw.errors import NextHopError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.smtp.reply import Reply

_LINE = re.compile(rb"([2345][0-9]{2})(?:([ -])([^\r\n]*))?")
_PRINTABLE = bytes(octet if 32 <= octet < 127 else 63 for octet in range(256))  # 63: ?
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


class ReplyReader:
    """Buffers octets until a whole reply is there.

    Attributes:
        greets: The next reply answers EHLO: its lines hold keywords, never enhanced codes.
    """

    def __init__(self, server: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._server = server
        self._limit = limits.reply_octets
        self._buffer = bytearray()
        self._searched = 0  # of the buffer, without a line end
        self._lines: list[bytes] = []
        self._octets = 0
        self._code = b""
        self.greets = False

    @property
    def pending(self) -> bool:
        """Octets are buffered that belong to no complete reply."""
        return bool(self._buffer or self._lines)

    def feed(self, octets: bytes) -> None:
        """Take more octets."""
        self._buffer += octets

    def next(self) -> Reply | None:
        """The next complete reply, None when more octets are needed.

        Raises:
            NextHopError: Not a reply, or longer than `reply_octets`.
        """
        while True:
            end = self._buffer.find(b"\n", self._searched)
            length = len(self._buffer) if end < 0 else end + 1
            if self._octets + length > self._limit:
                raise self._garbage("sent a reply that is too long")
            if end < 0:
                self._searched = length
                return None
            self._searched = 0
            line = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._octets += length
            match = _LINE.fullmatch(line[:-2]) if line.endswith(b"\r\n") else None
            if match is None or (self._code and match[1] != self._code):
                raise self._garbage("sent something that is no SMTP reply")
            self._code = match[1]
            self._lines.append(match[3] or b"")
            if match[2] != b"-":
                return self._complete()

    def _complete(self) -> Reply:
        code = int(self._code)
        texts = [_printable(line) for line in self._lines]
        enhanced = "" if self.greets else _enhanced_code(texts[-1], code)
        if enhanced:
            texts = [text.removeprefix(enhanced).lstrip(" ") for text in texts]
        self._lines, self._octets, self._code = [], 0, b""
        return Reply(code, enhanced, "\n".join(texts))

    def _garbage(self, why: str) -> NextHopError:
        return NextHopError(f"{self._server or 'the next hop'} {why}", server=self._server)


def _enhanced_code(text: str, code: int) -> str:
    match = _ENHANCED.match(text)
    # RFC 2034, 4: the class must be the reply's; anything else is ordinary text.
    return match[1] if match and match[1][0] == str(code)[0] else ""


def _printable(line: bytes) -> str:
    return line.translate(_PRINTABLE).decode("ascii")
