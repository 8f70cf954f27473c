"""Header sections kept octet for octet: fields, their order, and the place where the body starts.

Reading is tolerant where mail is untidy (8-bit octets, a space before the colon, junk lines), but
never guesses: what is not a well-formed field keeps its octets and carries a `flaw`, and
`HeaderSection.sole` refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import cached_property

from smimegw.content import Content
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.encoded_words import decode_words, encoded_words

__all__ = [
    "HeaderField",
    "HeaderSection",
    "decode_words",
    "encode_text_field",
    "field",
    "parse_header_section",
    "split_header",
]

LINE_CHARACTERS = 78  # RFC 5322, 2.1.1: should not be passed
LINE_CHARACTERS_MAX = 998  # must not

# RFC 5322, 2.2: a name is printable ASCII without the colon; 3.6.8 obsolete: spaces before it.
_NAME = re.compile(rb"([!-9;-~]+)([ \t]*):")
_SOME_FIELD = re.compile(rb"^[!-9;-~]{1,998}+[ \t]{0,998}+:", re.MULTILINE)
_FIELD = re.compile(rb"[^\n]+(?:\n[ \t][^\n]*)*\n?|\n(?:[ \t][^\n]*\n?)*")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_BARE_CR = re.compile(rb"\r(?!\n)")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class HeaderField:
    """One header field as it was written.

    Attributes:
        name: As written, without spaces before the colon; empty for a line that is no field.
        raw: Every octet, folding and final line end included.
        flaw: Empty, or ``no-field`` (no name and colon), ``space-before-colon``, ``control``
            (NUL or a bare CR inside).
        lower_name: The name for comparison: lower case; empty for a line that is no field.
    """

    name: bytes
    raw: bytes = attribute(repr=False)
    flaw: str = ""
    lower_name: str = attribute(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower_name", self.name.decode("ascii").lower())

    @cached_property
    def body(self) -> bytes:
        """What follows the colon: unfolded (RFC 5322, 2.2.3), no white space around it."""
        after = self.raw.partition(b":")[2] if self.name else self.raw
        return _FOLD.sub(b"", after).strip(b" \t\r\n")

    @classmethod
    def parse(cls, raw: bytes) -> HeaderField:
        """Read one field from its octets; never fails, see `flaw`."""
        match = _NAME.match(raw)
        if match is None:
            return cls(b"", raw, "no-field")
        flaw = "space-before-colon" if match[2] else ""
        if b"\0" in raw or _BARE_CR.search(raw):
            flaw = "control"
        return cls(match[1], raw, flaw)


@dataclass(frozen=True)
class HeaderSection:
    """The header fields of one entity in their order."""

    fields: tuple[HeaderField, ...] = ()

    @cached_property
    def raw(self) -> bytes:
        """The octets of all fields; of a parsed section exactly those that were parsed."""
        return b"".join(entry.raw for entry in self.fields)

    def __iter__(self) -> Iterator[HeaderField]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def all(self, name: str) -> tuple[HeaderField, ...]:
        """Every field of that name, also flawed ones; case does not count."""
        return tuple(self._named.get(name.lower(), ()))

    @cached_property
    def _named(self) -> dict[str, list[HeaderField]]:
        named: dict[str, list[HeaderField]] = {}
        for entry in self.fields:
            named.setdefault(entry.lower_name, []).append(entry)
        return named

    def sole(self, name: str) -> HeaderField | None:
        """The one field of that name, or None when there is none.

        Raises:
            MIMEError: It is there twice, or written in a way that readers understand differently.
        """
        found = self._named.get(name.lower())
        if not found:
            return None
        if len(found) > 1:
            raise MIMEError(f"{len(found)} fields {name}, only one is allowed (RFC 5322, 3.6)")
        if found[0].flaw:
            raise MIMEError(f"field {name} is malformed ({found[0].flaw})")
        return found[0]

    def without(self, predicate: Callable[[HeaderField], bool]) -> HeaderSection:
        """This section less the fields for which *predicate* is true."""
        return HeaderSection(tuple(entry for entry in self.fields if not predicate(entry)))

    def append(self, fields: Iterable[HeaderField]) -> HeaderSection:
        """This section with *fields* at its end; a missing last line end is completed."""
        added = tuple(fields)
        if not added or not self.fields or self.fields[-1].raw.endswith(b"\n"):
            return HeaderSection((*self.fields, *added))
        last = HeaderField.parse(self.fields[-1].raw + b"\r\n")
        return HeaderSection((*self.fields[:-1], last, *added))

    def replace(self, new: HeaderField) -> HeaderSection:
        """This section with the first field of that name exchanged (others of it dropped).

        Without such a field *new* is appended.
        """
        fields: list[HeaderField] = []
        done = False
        for entry in self.fields:
            if entry.lower_name != new.lower_name:
                fields.append(entry)
            elif not done:
                fields.append(new)
                done = True
        section = HeaderSection(tuple(fields))
        return section if done else section.append((new,))


def split_header(
    content: bytes | Content, limits: Limits = DEFAULT_LIMITS
) -> tuple[bytes, bytes, Content]:
    """Split *content* into header section, separator and body; joined they are *content* again.

    The header section ends at the first empty line, which is the separator.  Content without
    one line that could be a field has no header section: all of it is body.  Content that has
    fields and no empty line is header section only.  Empty content is three times empty.  Of a
    header section that is longer than allowed so much comes back that this is seen.
    """
    content = Content.of(content)
    most = limits.header_section_octets
    end, separator = _empty_line(content, most + 4)
    if end == 0 and separator:
        return b"", separator, content.part(len(separator))
    header = content.read(0, end)
    if not _SOME_FIELD.search(header, 0, most):
        return b"", b"", content
    return header, separator, content.part(end + len(separator))


def _empty_line(content: Content, most: int) -> tuple[int, bytes]:
    """Where the first empty line begins and what it is; the end and nothing when there is none.

    The end is also where *most* octets were looked at.
    """
    beginning = content.read(0, 2)
    if beginning == b"\r\n" or beginning.startswith(b"\n"):
        return 0, b"\n" if beginning.startswith(b"\n") else beginning
    crlf = content.find(b"\n\r\n", 0, most)
    lf = content.find(b"\n\n", 0, crlf + 1 if crlf >= 0 else most)
    if lf >= 0:
        return lf + 1, b"\n"
    if crlf >= 0:
        return crlf + 1, b"\r\n"
    return min(len(content), most), b""


def parse_header_section(octets: bytes, limits: Limits = DEFAULT_LIMITS) -> HeaderSection:
    """Read the octets before the empty line.

    Raises:
        LimitError: Section, field or line too long, or too many fields.
    """
    if len(octets) > limits.header_section_octets:
        raise LimitError("header_section_octets", f"{len(octets)} octets of header section")
    fields: list[HeaderField] = []
    for match in _FIELD.finditer(octets):
        raw = match[0]
        if len(raw) > limits.header_field_octets:
            raise LimitError("header_field_octets", f"a header field of {len(raw)} octets")
        if len(raw) > limits.header_line_octets:
            longest = max(len(line) for line in raw.split(b"\n"))
            if longest > limits.header_line_octets:
                raise LimitError("header_line_octets", f"a header line of {longest} octets")
        fields.append(HeaderField.parse(raw))
        if len(fields) > limits.header_fields:
            raise LimitError("header_fields", f"more than {limits.header_fields} header fields")
    return HeaderSection(tuple(fields))


def field(name: str, value: str | bytes) -> HeaderField:
    """Write one field, folded at white space: lines of 78 characters where that is possible.

    Args:
        name: A field name.
        value: ASCII text, or octets as they are.

    Raises:
        MIMEError: CR, LF, NUL or another control character in it (header injection), text that is
            not ASCII, or a word that does not fit in a line of 998 characters.
    """
    if not re.fullmatch(r"[!-9;-~]+", name):
        raise MIMEError("not a header field name")
    try:
        octets = value.encode("ascii") if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise MIMEError(f"field {name}: text is not ASCII") from None
    if _CONTROL.search(octets):
        raise MIMEError(f"field {name}: control characters in its text")
    lines = _fold(name.encode("ascii") + b": " + octets.strip(b" \t"), len(name) + 2)
    if any(len(line) > LINE_CHARACTERS_MAX for line in lines):
        raise MIMEError(f"field {name}: a word is too long for a line (RFC 5322, 2.1.1)")
    return HeaderField(name.encode("ascii"), b"\r\n".join(lines) + b"\r\n")


def _fold(text: bytes, keep: int) -> list[bytes]:
    """Cut before white space that follows a word; the first *keep* octets stay together."""
    lines: list[bytes] = []
    start, last = 0, 0
    for match in re.finditer(rb"[ \t]+(?=[^ \t])", text[keep:]):
        at = keep + match.start()
        if at - start > LINE_CHARACTERS and last > start:
            lines.append(text[start:last])
            start = last
        last = at
    if len(text) - start > LINE_CHARACTERS and last > start:
        lines.append(text[start:last])
        start = last
    lines.append(text[start:])
    return lines


def encode_text_field(name: str, text: str) -> HeaderField:
    """Write an unstructured field such as Subject; RFC 2047 where ASCII is not enough.

    Reading it with `decode_words` gives *text* back.

    Raises:
        MIMEError: CR, LF, NUL or another control character in *text*.
    """
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise MIMEError(f"field {name}: control characters in its text")
    plain = text.isascii() and "=?" not in text and text == text.strip()
    if plain and all(len(word) < LINE_CHARACTERS_MAX - len(name) - 2 for word in text.split()):
        return field(name, text)
    return field(name, " ".join(encoded_words(text)))
