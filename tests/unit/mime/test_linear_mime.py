"""Twice the message is twice the work, whatever a stranger makes it of (T-09)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.meter.growth import METERED, is_linear

Make = Callable[[int], bytes]

BASE64, QUOTED = METERED["smimegw.mime.base64"], METERED["smimegw.mime.quoted_printable"]
CANONICAL = METERED["smimegw.mime.canonical"]
CANONICAL_HEADER = METERED["smimegw.mime.canonical_header"]
CONTENT_TYPE, WORDS = METERED["smimegw.mime.content_type"], METERED["smimegw.mime.encoded_words"]
ENTITY, HEADERS = METERED["smimegw.mime.entity"], METERED["smimegw.mime.headers"]
SENDABLE = METERED["smimegw.mime.sendable"]

MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def lined(octets: bytes) -> bytes:
    """In lines of 60 octets."""
    return b"\r\n".join(octets[at : at + 60] for at in range(0, len(octets), 60))


SECTIONS: dict[str, Make] = {
    "fields": lambda n: b"A: b\r\n" * n,
    "folds": lambda n: b"A: b\r\n" + b" c\r\n" * n,
    "blank folds": lambda n: b"A: b\r\n" + b" \r\n" * n,
    "one line": lambda n: b"A: " + b"b" * n + b"\r\n",
    "white space": lambda n: b"A: b" + b" \t" * n + b"\r\n",
    "no colon": lambda n: b"A" * n,
    "spaces before the colon": lambda n: b"A" + b" " * n + b": b\r\n",
    "lines of no field": lambda n: b"no field\r\n" * n,
    "bare CR": lambda n: b"A: " + b"\r" * n + b"\r\n",
    "bare LF": lambda n: b"A: b" + b"\n " * n,
    "NUL": lambda n: b"A: " + b"\0" * n,
}


@pytest.mark.parametrize("shape", SECTIONS)
def test_header_sections_are_read_in_one_pass(shape: str) -> None:
    """Fields, names, bodies and all their flaws (RFC 5322, 2.2)."""

    def read(octets: bytes) -> None:
        for entry in ENTITY.Entity.parse(octets + b"\r\nbody").header:
            _ = entry.lower_name, entry.body

    assert is_linear(read, SECTIONS[shape], 60)


VALUES: dict[str, Make] = {
    "parameters": lambda n: b"a/b" + b"".join(b"; p%d=x" % m for m in range(n)),
    "continuations": lambda n: b"a/b" + b"".join(b"; p*%d=x" % m for m in range(n)),
    "encoded continuations": lambda n: b"a/b" + b"".join(b"; p*%d*=%%c3" % m for m in range(n)),
    "semicolons": lambda n: b"a/b" + b";" * n,
    "comments": lambda n: b"a/b " + b"(c)" * n,
    "deep comment": lambda n: b"a/b " + b"(" * n + b")" * n,
    "open comment": lambda n: b"a/b " + b"(" * n,
    "names before nested comments": lambda n: b"a/b; " + b"a(;" * n + b")" * n,
    "values before nested comments": lambda n: b"a/b; " + b"a=b(;" * n + b")" * n,
    "names before comments": lambda n: b"a/b; " + b"a(;)" * n,
    "quoted pairs": lambda n: b'a/b; a="' + b'\\"' * n + b'"',
    "open quote": lambda n: b'a/b; a="' + b'\\"' * n,
    "quotes with junk after them": lambda n: b"a/b" + b'; a=";"b' * n,
    "parameters inside a refused value": lambda n: b'a/b; a="' + b"; a=" * n + b'"b',
    "long token": lambda n: b"a/" + b"b" * n,
    "long name": lambda n: b"a/b; " + b"a" * n,
    "stars": lambda n: b"a/b; " + b"a*" * n + b"=b",
    "white space": lambda n: b"a/b; a " + b" \t" * n + b"=b",
}


@pytest.mark.parametrize("shape", VALUES)
@pytest.mark.parametrize("strict", [False, True], ids=["leaf", "multipart"])
def test_parameters_are_read_in_one_pass(shape: str, strict: bool) -> None:
    """A comment that a refused parameter swallowed was read again for each level in it."""

    def read(octets: bytes) -> None:
        CONTENT_TYPE.parse_content_type(b"multipart" + octets[1:] if strict else octets)

    assert is_linear(read, VALUES[shape], 60)


@pytest.mark.parametrize("shape", VALUES)
def test_dispositions_are_read_in_one_pass(shape: str) -> None:
    """They have the same parameters (RFC 2183, 2)."""

    def read(octets: bytes) -> None:
        CONTENT_TYPE.parse_disposition(b"a" + octets[3:])

    assert is_linear(read, VALUES[shape], 60)


TEXTS: dict[str, Make] = {
    "words": lambda n: b"=?utf-8?Q?a?= " * n,
    "words in turns": lambda n: b"=?utf-8?Q?a?= =?big5?B?YQ==?= " * n,
    "words that do not decode": lambda n: b"=?a?B?x?=" * n,
    "charsets of no kind": lambda n: b"".join(b"=?a%d?Q?x?=" % m for m in range(n)),
    "beginnings": lambda n: b"=?" * n,
    "beginnings with a charset": lambda n: b"=?utf-8?Q?" * n,
    "long charset": lambda n: b"=?" + b"a" * n + b"?Q?a?=",
    "languages": lambda n: b"=?a*" * n,
    "long language": lambda n: b"=?a*" + b"b" * n,
    "white space": lambda n: b"=?utf-8?Q?" + b" \t" * n,
    "question marks": lambda n: b"?" * n,
    "equals signs": lambda n: b"=" * n,
    "8-bit": lambda n: b"\xff" * n,
}


@pytest.mark.parametrize("shape", TEXTS)
def test_encoded_words_are_read_in_one_pass(shape: str) -> None:
    """Words that are none are looked at once (RFC 2047)."""
    assert is_linear(WORDS.decode_words, TEXTS[shape], 60)


def test_names_of_no_charset_leave_nothing_behind() -> None:
    """Python remembers every name that it could not find, for ever (T-09)."""
    import encodings

    WORDS.decode_words(b"=?x-unheard-of?Q?a?=")
    remembered: dict[str, Any] = encodings._cache  # type: ignore[attr-defined]
    assert not any("unheard" in name for name in remembered)


BODIES: dict[str, Make] = {
    "parts": lambda n: MULTIPART + b"--b\r\n\r\na\r\n" * n + b"--b--\r\n",
    "empty parts": lambda n: MULTIPART + b"--b\r\n" * n,
    "look-alikes in a line": lambda n: MULTIPART + b"--b\r\n" + b"a--b" * n,
    "look-alikes at line ends": lambda n: MULTIPART + b"--b\r\n" + b"a\r\n-" * n,
    "padding": lambda n: MULTIPART + b"--b" + b" " * n + b"\r\n\r\n",
    "padding and more": lambda n: MULTIPART + b"--b" + b" " * n + b"x",
    "dashes": lambda n: (
        b"Content-Type: multipart/mixed; boundary=" + b"-" * 60 + b"\r\n\r\n" + b"-" * n
    ),
    "line ends": lambda n: MULTIPART + b"--b\r\n" + b"\r\n" * n,
    "bare line ends": lambda n: MULTIPART.replace(b"\r", b"") + b"--b\n" + b"\n" * n,
}


@pytest.mark.parametrize("shape", BODIES)
def test_multiparts_are_taken_apart_in_one_pass(shape: str) -> None:
    """Boundaries and what looks like them (RFC 2046, 5.1.1)."""

    def read(octets: bytes) -> None:
        _ = ENTITY.read_multipart(ENTITY.Entity.parse(octets)).parts

    assert is_linear(read, BODIES[shape], 100)


ENCODED: dict[str, Make] = {
    "lines": lambda n: lined(b"QUJD" * n),
    "one line": lambda n: b"QUJD" * n,
    "letter by line": lambda n: b"Q\r\n" * (4 * n),
    "white space": lambda n: b" " * n,
    "padding": lambda n: b"QQ==" * n,
    "junk": lambda n: b"\xff" * n,
    "soft line breaks": lambda n: b"=\r\n" * n,
    "escapes": lambda n: b"=C3" * n,
    "half escapes": lambda n: b"=" * n,
    "spaces at line ends": lambda n: b"a \r\n" * n,
    "many spaces at a line end": lambda n: b"a" + b" \t" * n + b"\r\n",
}


@pytest.mark.parametrize("shape", ENCODED)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_transfer_encodings_are_undone_in_one_pass(shape: str, encoding: str) -> None:
    """Broken or not (RFC 2045, 6.7 and 6.8)."""
    head = f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode()

    def read(octets: bytes) -> None:
        ENTITY.Entity.parse(head + octets).decoded_body()

    assert is_linear(read, ENCODED[shape], 100)


PLAIN: dict[str, Make] = {
    **{name: lambda n, make=make: make(n) + b"\r\nb\xff" for name, make in SECTIONS.items()},
    **BODIES,
    "8-bit parts": lambda n: MULTIPART + b"--b\r\n\r\n\xff\r\n" * n + b"--b--\r\n",
    "8-bit text": lambda n: b"A: b\r\n\r\n" + b"\xff" * n,
    "long line of words": lambda n: b"A: b\r\n\r\n" + b"From \xff " * n,
    "lines to encode": lambda n: b"A: b\r\n\r\n" + b"From \xff \r\n" * n,
    "bare line ends": lambda n: b"A: b\n\n" + b"a\r" * n,
    "labels": lambda n: b"A: b\r\n\r\n" + b"\ncontent-transfer-encoding:  \n" * n,
    "digest": lambda n: MULTIPART.replace(b"mixed", b"digest") + b"--b\r\n\r\n\xff\r\n" * n,
}


@pytest.mark.parametrize("shape", PLAIN)
def test_canonical_form_is_made_in_few_passes(shape: str) -> None:
    """Before signing (RFC 8551, 3.1)."""

    def read(octets: bytes) -> None:
        CANONICAL.canonical_for_signing(ENTITY.Entity.parse(octets))

    assert is_linear(read, PLAIN[shape], 60)


ADDRESS_FIELDS: dict[str, Make] = {
    "escaped quotation marks": lambda n: b'\\"' * n,
    "open quotes with escapes": lambda n: b'"' + b'\\"' * n,
    "quotes": lambda n: b'"a\xff" ' * n,
    "words": lambda n: b"a " * n,
    "8-bit words": lambda n: b"\xff " * n,
    "mixed words": lambda n: b"\xff a " * n,
    "one word": lambda n: b"a" * n,
    "spaces": lambda n: b"a" + b" " * n,
    "addresses": lambda n: b"\xff <a@b.example>, " * n,
}


@pytest.mark.parametrize("shape", ADDRESS_FIELDS)
def test_phrases_are_encoded_in_one_pass(shape: str) -> None:
    """A quotation mark that is escaped begins nothing, so its end is not searched (RFC 5322, 4)."""

    def read(octets: bytes) -> None:
        section = HEADERS.parse_header_section(b"From: \xff " + lined(octets) + b"\r\n")
        CANONICAL_HEADER.canonical_header(section)

    assert is_linear(read, ADDRESS_FIELDS[shape], 60)


@pytest.mark.parametrize("shape", ENCODED)
def test_writing_encodings_is_one_pass(shape: str) -> None:
    """Both encoders, given whole or in pieces."""

    def write(octets: bytes) -> None:
        QUOTED.encode_quoted_printable(octets)
        pieces = [octets[at : at + 7] for at in range(0, len(octets), 7)]
        list(BASE64.encode_lines(pieces))

    assert is_linear(write, ENCODED[shape], 100)


@pytest.mark.parametrize("text", ["a", "a ", "ü", "a ü", "=?"])
def test_writing_text_fields_is_one_pass(text: str) -> None:
    """A Subject of any length."""

    def write(octets: bytes) -> None:
        HEADERS.encode_text_field("Subject", octets.decode())

    assert is_linear(write, lambda n: (text * n).encode(), 60)


@pytest.mark.parametrize("shape", sorted({*PLAIN} - {"bare CR"}))
def test_making_sendable_is_few_passes(shape: str) -> None:
    """What came out of an opened layer."""

    def read(octets: bytes) -> None:
        SENDABLE.sendable(ENTITY.Entity.parse(octets.replace(b"\r", b"")))

    assert is_linear(read, PLAIN[shape], 100)
