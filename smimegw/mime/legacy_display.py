"""Repeats hidden header fields at the top of the text, and takes such a repetition off again.

Mail programs that do not know RFC 9788 decrypt a message and show the outer header section.  The
Legacy Display Element (RFC 9788, 2.1.2, 5.2.2 and 5.2.3) lets them show what is hidden from it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import Final

from smimegw.content import Content
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime import base64
from smimegw.mime.charsets import codec_of
from smimegw.mime.content_type import ContentType, parse_disposition
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import IDENTITY, Entity, read_multipart
from smimegw.mime.headers import HeaderField, HeaderSection, field
from smimegw.mime.inert_html import unescaped
from smimegw.mime.lines import has_crlf_only, has_endless_line, has_long_line, with_crlf
from smimegw.mime.quoted_printable import encode_quoted_printable

PARAMETER: Final = "hp-legacy-display"
_CLASS: Final = "header-protection-legacy-display"
# Comments are told apart, so that a <body> in one is not taken for the body.
_TAGS = re.compile(r"<!--|-->|<body\b[^<>]*>", re.IGNORECASE)
_ELEMENT = re.compile(
    rf'<div class="{_CLASS}">\s{{0,99}}<pre>\s?([^<]{{0,65536}})</pre>\s{{0,99}}</div>(?:\r?\n)?'
)
_DEPTH: Final = 8  # multiparts around a text; nobody writes more
# RFC 9787, 1.1.2: user-facing fields
_SHOWN: Final = {
    name.lower(): name
    for name in ("Subject", "From", "To", "Cc", "Date", "Reply-To", "Followup-To", "Sender")
}

_Change = Callable[[str, bool], str | None]


def display_lines(fields: Sequence[HeaderField]) -> tuple[str, ...]:
    """The lines that show *fields* to people; what mail programs do not show is left out."""
    return tuple(
        f"{_SHOWN[entry.lower_name]}: {_one_line(decode_words(entry.body))}".rstrip()
        for entry in fields
        if entry.lower_name in _SHOWN
    )


def with_legacy_display(
    entity: Entity, hidden: Sequence[HeaderField], limits: Limits = DEFAULT_LIMITS
) -> Entity:
    """*entity* with *hidden* shown in its main body parts (RFC 9788, 5.2.2 and 5.2.3).

    A part whose text cannot be read is left as it is; attachments are never touched.
    """
    lines = display_lines(hidden)
    if not lines:
        return entity

    def change(text: str, is_html: bool) -> str:
        return _html_with(text, lines) if is_html else "\r\n".join((*lines, "", text))

    return _main_parts(entity, change, marked=False, limits=limits, depth=0)


def without_legacy_display(
    entity: Entity, shown: Sequence[HeaderField], limits: Limits = DEFAULT_LIMITS
) -> Entity:
    """*entity* less the Legacy Display Elements that say nothing but what *shown* says.

    Nothing is lost by that: the fields stand in the header section.  Whatever says anything
    else is content and stays.
    """
    lines = display_lines(shown)
    if not lines:
        return entity

    def change(text: str, is_html: bool) -> str | None:
        return _html_without(text, lines) if is_html else _text_without(text, lines)

    return _main_parts(entity, change, marked=True, limits=limits, depth=0)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _html_with(text: str, lines: Sequence[str]) -> str:
    shown = html.escape("\r\n".join(lines), quote=False)
    element = f'<div class="{_CLASS}">\r\n<pre>{shown}</pre>\r\n</div>\r\n'
    at = _start_of_body(text)
    return f"{text[:at]}\r\n{element}{text[at:]}" if at else element + text


def _start_of_body(text: str) -> int:
    in_comment = False
    for tag in _TAGS.finditer(text):
        if tag[0] == "<!--":
            in_comment = True
        elif tag[0] == "-->":
            in_comment = False
        elif not in_comment:
            return tag.end()
    return 0


def _html_without(text: str, lines: Sequence[str]) -> str | None:
    element = _ELEMENT.search(text)
    if element is None or not _says(unescaped(element[1]), lines):
        return None
    return text[: element.start()] + text[element.end() :]


def _text_without(text: str, lines: Sequence[str]) -> str | None:
    head, separator, rest = text.replace("\r\n", "\n").partition("\n\n")
    return rest.replace("\n", "\r\n") if separator and _says(head, lines) else None


def _says(text: str, lines: Sequence[str]) -> bool:
    """Whether *text* is some of *lines* and nothing else; folding does not count."""
    said = re.sub(r"\r?\n[ \t]+", " ", text.strip()).splitlines()
    return bool(said) and {" ".join(line.split()) for line in said} <= set(lines)


# --- the main body parts -------------------------------------------------------------------------


def _main_parts(
    entity: Entity, change: _Change, *, marked: bool, limits: Limits, depth: int
) -> Entity:
    """Apply *change* to each main body part (RFC 9787, 7.1); *marked*: to marked ones only."""
    try:
        kind = entity.content_type
        if depth > _DEPTH or _is_attachment(entity):
            return entity
        if kind.media_type in {"text/plain", "text/html"}:
            if marked and kind.parameter(PARAMETER) != "1":
                return entity
            return _changed(entity, kind, change, mark=not marked, most=limits.text_octets)
        if kind.type != "multipart" or kind.subtype in {"signed", "encrypted", "digest"}:
            return entity
        multipart = read_multipart(entity, limits)
    except (MIMEError, LimitError):
        return entity
    # Of alternatives each is one; of everything else the first part is what is read.
    wanted = multipart.spans if kind.subtype == "alternative" else multipart.spans[:1]
    body: list[Content] = []
    at = 0
    for start, end in wanted:
        part = Entity.parse(multipart.body.part(start, end), limits)
        new = _main_parts(part, change, marked=marked, limits=limits, depth=depth + 1)
        body += [multipart.body.part(at, start), new.content]
        at = end
    return Entity(entity.header, Content.joined((*body, multipart.body.part(at))), entity.separator)


def _is_attachment(entity: Entity) -> bool:
    found = entity.header.sole("content-disposition")
    return found is not None and parse_disposition(found.body)[0] == "attachment"


def _changed(
    entity: Entity, kind: ContentType, change: _Change, *, mark: bool, most: int
) -> Entity:
    charset = kind.parameter("charset") or "us-ascii"
    if len(entity.body) > most:
        return entity  # nobody reads so much
    octets = entity.decoded_body().whole(most)
    try:
        text = change(octets.decode(codec_of(charset)), kind.subtype == "html")
    except (UnicodeError, LookupError):
        return entity
    if text is None:
        return entity
    try:
        new = text.encode(charset)
    except UnicodeError:
        charset, new = "utf-8", text.encode()
    others = tuple(p for p in kind.parameters if p[0] not in {PARAMETER, "charset"})
    written = ContentType(kind.type, kind.subtype, (("charset", charset), *others)).write()
    written += f'; {PARAMETER}="1"' if mark else ""
    header = entity.header.replace(field("Content-Type", written))
    return _encoded(header, new, kept=entity.transfer_encoding)


def _encoded(header: HeaderSection, octets: bytes, *, kept: str) -> Entity:
    """*octets* in a transfer encoding that carries them: the old one, if it can."""
    plain = octets.isascii() and not has_long_line(octets) and b"\0" not in octets
    if plain and kept in IDENTITY and has_crlf_only(octets):
        return Entity(header, Content(octets))
    lines = with_crlf(octets)
    if kept == "base64" or not has_crlf_only(lines) or b"\0" in octets or has_endless_line(lines):
        encoding, body = "base64", base64.encoded(Content(octets)).settled()
    else:
        encoding, body = "quoted-printable", encode_quoted_printable(lines)
    return Entity(header.replace(field("Content-Transfer-Encoding", encoding)), body)
