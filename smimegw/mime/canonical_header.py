"""Makes the header fields of an entity 7-bit, CRLF-ended and short-lined (RFC 8551, 3.1.2)."""

from __future__ import annotations

import re

from smimegw.errors import MIMEError
from smimegw.mime.content_type import parse_content_type, parse_disposition, write_parameters
from smimegw.mime.encoded_words import decode_words, encoded_words
from smimegw.mime.headers import HeaderField, HeaderSection, encode_text_field, field
from smimegw.mime.lines import has_crlf_only, has_long_line, with_crlf

_ADDRESS_FIELDS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "resent-")
    for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
# A quoted pair outside of quotes is taken as one, so that no escaped quotation mark is a beginning:
# from each one the search for its end would go to the end of the field.
_PHRASE_WORDS = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|\\[\x00-\x7f]'
    rb'|[^\s"<>,;:()@\\]+(?:[ \t]+[^\s"<>,;:()@\\]*[\x80-\xff][^\s"<>,;:()@\\]*)*'
)
_TRAILING_SPACE = re.compile(rb"(?<![ \t\r\n])[ \t]+(?=\r\n)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_BLANK_CONTINUATION = re.compile(rb"(?<=\n)[ \t]+\r\n")


def canonical_header(header: HeaderSection) -> HeaderSection:
    """The same fields; those that are clean keep their octets.

    Raises:
        MIMEError: A field cannot be rewritten: a bare CR in it, or it is no field at all.
    """
    return HeaderSection(tuple(_canonical_field(entry) for entry in header))


def _canonical_field(entry: HeaderField) -> HeaderField:
    if _is_clean(entry.raw):
        return entry
    if not entry.name:
        raise MIMEError("a line in a header section is no field and cannot be made canonical")
    if _BARE_CR.search(entry.raw):
        # Written as a line end it would make a second field or end the section.
        raise MIMEError("a bare CR in a header field")
    raw = with_crlf(entry.raw)
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    # Folding white space means the same with fewer spaces; an emptied line would end the section.
    raw = _TRAILING_SPACE.sub(b"", _BLANK_CONTINUATION.sub(b"", raw))
    if raw.isascii() and not has_long_line(raw) and b"\0" not in raw:
        return HeaderField.parse(raw)
    return _rewritten(HeaderField.parse(raw))


def _is_clean(raw: bytes) -> bool:
    return (
        raw.isascii()
        and b"\0" not in raw
        and raw.endswith(b"\r\n")
        and has_crlf_only(raw)
        and not has_long_line(raw)
        and b" \r\n" not in raw
        and b"\t\r\n" not in raw
    )


def _rewritten(entry: HeaderField) -> HeaderField:
    name = entry.name.decode("ascii")
    if entry.body.isascii():
        return field(name, entry.body)
    if entry.lower_name == "content-type":
        return field(name, parse_content_type(entry.body).write())
    if entry.lower_name == "content-disposition":
        return field(name, write_parameters(*parse_disposition(entry.body)))
    if entry.lower_name in _ADDRESS_FIELDS:
        return field(name, _PHRASE_WORDS.sub(_encoded_phrase, entry.body))
    text = decode_words(entry.body)
    return encode_text_field(name, "".join(c if c.isprintable() else "?" for c in text))


def _encoded_phrase(match: re.Match[bytes]) -> bytes:
    octets = match[0]
    if octets.isascii():
        return octets
    if octets.startswith(b'"'):
        octets = re.sub(rb"\\(.)", rb"\1", octets[1:-1])
    return " ".join(encoded_words(octets.decode("utf-8", "replace"))).encode("ascii")
