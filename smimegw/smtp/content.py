"""DATA framing both ways without sockets: the true end, dot-stuffing, strict line ends.

RFC 5321, 4.1.1.4 and 4.5.2; 2.3.8 forbids CR and LF outside of CRLF.  Servers that disagree on what
ends the data let an attacker smuggle a second message past one of them, so here only
``CRLF . CRLF`` ends it, and whatever another server might take for an end is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smimegw.content import MEMORY, Content, Store, Writer
from smimegw.errors import LimitError, MIMEError, SpoolError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.lines import has_crlf_only
from smimegw.smtp.reply import Reply

TERMINATOR = b"\r\n.\r\n"
FINAL_DOT = b".\r\n"

BARE_LINE_END = Reply(550, "5.5.2", "bare CR or LF")  # also said for NUL: one reply for all
TOO_LARGE = Reply(552, "5.3.4", "message too large")
NO_ROOM = Reply(452, "4.3.1", "no room for the message, try later")


class ContentReader:
    """Reads what a client sends after 354 up to the true end, in whatever chunks it arrives.

    A violation is noticed in step with the stream and remembered; reading goes on to the true
    end, so that the client gets exactly one reply and nothing after it is taken for commands.

    Args:
        limits: For the size.
        store: Keeps the content as it comes.

    Attributes:
        done: The true end was seen.
        size: Octets so far, dots unstuffed.
        leftover: What came after the end.
        trouble: Why the store has no room, for the log; empty when it has, or there is no memory.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, store: Store = MEMORY) -> None:
        self._limits = limits
        self._writer: Writer | None = store.writer()
        self._content = Content()
        # The CRLF of the DATA command counts as the line end before the first line.
        self._held = b"\r\n"
        self._virtual = 2
        self.done = False
        self.size = 0
        self.leftover = b""
        self.trouble = ""
        self._malformed = False
        self._exhausted = False

    @property
    def violation(self) -> Reply | None:
        """What to answer instead of taking the content, the same however it was cut in chunks."""
        if self.size > self._limits.message_octets:
            return TOO_LARGE
        if self._malformed:
            return BARE_LINE_END
        return NO_ROOM if self._exhausted else None

    @property
    def overrun(self) -> bool:
        """The client sent more than twice the allowed size: the connection is not worth keeping."""
        return self.size > 2 * self._limits.message_octets

    def feed(self, octets: bytes) -> None:
        """Take the next *octets*; those after the end go to `leftover`."""
        if self.done:
            self.leftover += octets
            return
        data = self._held + octets
        # The dot is found fastest, and what is long has none: base64.
        end = data.find(TERMINATOR) if b"." in data else -1
        if end >= 0:
            self._take(data[: end + 2])
            self._finish()
            self.leftover = data[end + len(TERMINATOR) :]
            self.done = True
            return
        keep = _terminator_prefix(data)
        self._held = data[len(data) - keep :]
        self._take(data[: len(data) - keep])

    def _take(self, data: bytes) -> None:
        """Account for *data*, which no chunk limit cuts within CRLF or before a stuffed dot."""
        if not data:
            return
        if not has_crlf_only(data) or b"\0" in data:
            self._malformed = True
        plain = data.replace(b"\r\n.", b"\r\n") if b"." in data else data
        if self._virtual:
            plain = plain[2:]
            self._virtual = 0
        self.size += len(plain)
        if self.violation is not None or self._writer is None:
            self._writer = None
            return
        try:
            self._writer.append(plain)
        except (MemoryError, SpoolError) as exc:
            self._no_room(exc)

    def _finish(self) -> None:
        try:
            self._content = self._writer.finish() if self._writer is not None else Content()
        except (MemoryError, SpoolError) as exc:
            self._no_room(exc)
        self._writer = None

    def _no_room(self, error: MemoryError | SpoolError) -> None:
        self._exhausted, self._writer = True, None
        self.trouble = str(error) if isinstance(error, SpoolError) else ""

    def result(self) -> Content:
        """The content, dots unstuffed.

        Raises:
            MIMEError: Bare CR or LF, or NUL (answer `violation`).
            LimitError: Larger than `message_octets`, or than there is room (answer `violation`).
        """
        if not self.done:
            raise MIMEError("the content has not ended yet")
        if self.violation is TOO_LARGE:
            raise LimitError("message_octets", f"{self.size} octets")
        if self._malformed:
            raise MIMEError("bare CR, bare LF or NUL in the content (RFC 5321, 2.3.8)")
        if self._exhausted:
            raise LimitError("memory", f"{self.size} octets")
        return self._content


def _terminator_prefix(data: bytes) -> int:
    """How many octets at the end of *data* may be the beginning of the terminator."""
    for length in range(min(len(TERMINATOR) - 1, len(data)), 0, -1):
        if data.endswith(TERMINATOR[:length]):
            return length
    return 0


def stuffed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Write content for DATA: leading dots doubled, everything but the final ``. CRLF``.

    Content that does not end in CRLF gets one (RFC 5321, 4.1.1.4), so that `FINAL_DOT` may
    follow directly.  Memory is that of one piece.

    Raises:
        MIMEError: Bare CR or LF, or NUL.  The offending piece is not given out; the caller closes
            the connection without a final dot.
    """
    held = b"\r\n"  # the line end of the DATA command; never written
    virtual = 2
    written = False
    for piece in pieces:
        if not piece:
            continue
        data = held + piece
        keep = 2 if data.endswith(b"\r\n") else 1 if data.endswith(b"\r") else 0
        held = data[len(data) - keep :]
        out = _stuff(data[: len(data) - keep])
        if not out:
            continue
        yield out[virtual:]
        virtual = 0
        written = True
    if held == b"\r":
        raise MIMEError("content ends in a bare CR")
    if held and virtual == 0:
        yield held
    elif not held and written:
        yield b"\r\n"


def _stuff(data: bytes) -> bytes:
    if not has_crlf_only(data):
        raise MIMEError("content holds a bare CR or LF and cannot be sent (RFC 5321, 2.3.8)")
    if b"\0" in data:
        raise MIMEError("content holds NUL and cannot be sent")
    return data.replace(b"\r\n.", b"\r\n..") if b"." in data else data
