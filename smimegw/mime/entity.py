"""MIME entities that give back exactly the octets they were read from (RFC 2045, RFC 2046).

Bodies are `Content`: they may be longer than memory, and parts of them are views.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from smimegw.content import MEMORY, Content, Store
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime import base64
from smimegw.mime.content_type import TEXT_PLAIN, ContentType, parse_content_type
from smimegw.mime.headers import HeaderSection, parse_header_section, split_header
from smimegw.mime.quoted_printable import decode_quoted_printable

_COMMENT = re.compile(rb"\([^()]*\)")
_LOOK_OCTETS = 64  # behind a delimiter
IDENTITY = frozenset({"7bit", "8bit", "binary"})  # transfer encodings that change nothing


@dataclass(frozen=True, slots=True)
class Entity:
    """A header section and a body.

    Attributes:
        header: The fields.
        body: Every octet after the separator.
        separator: The empty line between them; empty when the octets had none.
    """

    header: HeaderSection
    body: Content = field(repr=False)
    separator: bytes = b"\r\n"

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", Content.of(self.body))

    @classmethod
    def parse(cls, content: bytes | Content, limits: Limits = DEFAULT_LIMITS) -> Entity:
        """Take *content* apart at its first empty line; `content` of the result is *content*.

        Raises:
            LimitError: The header section is too large (see `parse_header_section`).
        """
        header, separator, body = split_header(content, limits)
        return cls(parse_header_section(header, limits), body, separator)

    @property
    def content(self) -> Content:
        """The whole entity."""
        return Content.joined((self.header.raw, self.separator, self.body))

    @property
    def raw(self) -> bytes:
        """The whole entity in one piece.

        Raises:
            LimitError: It is too long for that.
        """
        return self.content.whole()

    def pieces(self) -> Iterator[bytes]:
        """The whole entity without joining it."""
        yield self.header.raw
        yield self.separator
        yield from self.body.pieces()

    def with_header(self, header: HeaderSection) -> Entity:
        """The same body under another header section; an empty line between them is ensured."""
        needs_separator = bool(header.fields) and not self.separator
        return replace(
            self, header=header, separator=b"\r\n" if needs_separator else self.separator
        )

    def without_envelope_line(self) -> Entity:
        """Without the "From " line of a mailbox file, which is no field (RFC 4155, Appendix A).

        Under a field of ours the next server would take it for the beginning of the body.
        """
        first, *others = self.header.fields or (None,)
        if first is None or first.name or not first.raw.startswith((b"From ", b">From ")):
            return self
        return replace(self, header=HeaderSection(tuple(others)))

    def ended_at_first_non_field(self) -> Entity:
        """The same octets; the body begins at the first line that is no header field, if any.

        Mail servers read a forgotten empty line in this way; what stands behind is content.
        """
        fields = self.header.fields
        number = next((n for n, entry in enumerate(fields) if not entry.name), None)
        if number is None:
            return self
        rest = HeaderSection(fields[number:]).raw
        header = HeaderSection(fields[:number])
        return Entity(header, Content.joined((rest, self.separator, self.body)), separator=b"")

    @property
    def content_type(self) -> ContentType:
        """The media type; ``text/plain; charset=us-ascii`` without a field (RFC 2045, 5.2).

        Raises:
            MIMEError: The field is doubled, malformed or ambiguous.
        """
        found = self.header.sole("content-type")
        return TEXT_PLAIN if found is None else parse_content_type(found.body)

    @property
    def transfer_encoding(self) -> str:
        """Content-Transfer-Encoding in lower case; ``7bit`` without a field (RFC 2045, 6.1).

        Raises:
            MIMEError: The field is doubled or malformed.
        """
        found = self.header.sole("content-transfer-encoding")
        if found is None:
            return "7bit"
        value = _COMMENT.sub(b"", found.body).strip(b" \t;")
        return value.decode("ascii", "replace").lower()

    def decoded_body(self, store: Store = MEMORY) -> Content:
        """The body without its transfer encoding.

        Args:
            store: Keeps what comes out.

        Raises:
            MIMEError: Broken base64, or an encoding that RFC 2045 does not know.
        """
        encoding = self.transfer_encoding
        if encoding in IDENTITY:
            return self.body
        if encoding == "base64":
            return base64.decode(self.body, store)
        if encoding == "quoted-printable":
            return decode_quoted_printable(self.body, store)
        raise MIMEError("unknown Content-Transfer-Encoding (RFC 2045, 6.1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """Where the parts of a multipart body lie.

    Attributes:
        body: The body that was taken apart.
        spans: Start and end of each part in *body*; the line end before a delimiter belongs to
            the delimiter (RFC 2046, 5.1.1).
        closed: Whether the closing delimiter was there.
        around: Where the first delimiter begins and the last one ends; outside of that nobody
            shows anything.
    """

    body: Content = field(repr=False)
    spans: tuple[tuple[int, int], ...]
    closed: bool
    around: tuple[int, int]

    @property
    def parts(self) -> tuple[Content, ...]:
        """The exact octets of each part."""
        return tuple(self.body.part(start, end) for start, end in self.spans)


def read_multipart(entity: Entity, limits: Limits = DEFAULT_LIMITS) -> Multipart:
    """Find the parts of a multipart entity.

    Raises:
        MIMEError: Not a multipart, no part, or a line that begins like a delimiter and is none:
            RFC 2046, 5.1.1 compares only the beginning, many readers the whole line.
        LimitError: More than `mime_parts` parts.
    """
    content_type = entity.content_type
    if content_type.type != "multipart":
        raise MIMEError(f"{content_type.media_type} is no multipart")
    body = entity.body
    mark = b"--" + content_type.boundary
    spans: list[tuple[int, int]] = []
    start: int | None = None
    first = -1
    for position in _delimiters(body, mark):
        closes, behind = _after_boundary(body, position + len(mark))
        first = position if first < 0 else first
        if start is not None:
            spans.append((start, max(start, _before_line(body, position))))
        if len(spans) > limits.mime_parts:
            raise LimitError("mime_parts", f"more than {limits.mime_parts} parts")
        if closes:
            if start is None:
                raise MIMEError("a multipart without parts (RFC 2046, 5.1.1)")
            last = position + len(mark) + len(b"--")
            return Multipart(body=body, spans=tuple(spans), closed=True, around=(first, last))
        start = _line_end(body, behind)
    if start is None:
        raise MIMEError("a multipart without its delimiter (RFC 2046, 5.1.1)")
    spans.append((start, len(body)))
    return Multipart(body=body, spans=tuple(spans), closed=False, around=(first, len(body)))


def _after_boundary(body: Content, position: int) -> tuple[bool, int]:
    """Whether the delimiter closes, and where its line end is, behind transport padding."""
    closes = body.startswith(b"--", position)
    end = position + 2 * closes
    while seen := body.read(end, end + _LOOK_OCTETS):
        rest = seen.lstrip(b" \t")
        end += len(seen) - len(rest)
        if rest:
            if not rest.startswith((b"\n", b"\r\n")) and not body.startswith(b"\r\n", end):
                raise MIMEError(
                    "a line begins with the boundary and goes on: the parts are ambiguous"
                )
            break
    return closes, end


def _delimiters(body: Content, mark: bytes) -> Iterator[int]:
    """Where lines begin with *mark*; searched with the line end: bodies may be full of dashes."""
    if body.startswith(mark):
        yield 0
    line = b"\n" + mark
    position = body.find(line)
    while position >= 0:
        yield position + 1
        position = body.find(line, position + 1)


def _before_line(body: Content, position: int) -> int:
    """Where the line end before *position* begins."""
    if body.read(max(position - 2, 0), position) == b"\r\n":
        return position - 2
    return max(position - 1, 0)


def _line_end(body: Content, position: int) -> int:
    """The position after the line end at *position* (or the end of the body)."""
    if body.startswith(b"\r\n", position):
        return position + 2
    return min(position + 1, len(body))
