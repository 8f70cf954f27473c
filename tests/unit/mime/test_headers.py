"""Header sections keep every octet and never guess."""

from __future__ import annotations

import pytest

from smimegw.errors import LimitError, MIMEError
from smimegw.limits import Limits
from smimegw.mime.headers import (
    HeaderField,
    HeaderSection,
    field,
    parse_header_section,
    split_header,
)

SECTION = (
    b"From: Alice <alice@corp.example>\r\n"
    b"SUBJECT:  folded\r\n\tover two lines \r\n"
    b"X-Umlaut: gr\xfc\xdfe\r\n"
    b"Content-Type : text/plain\r\n"
    b"this line is no field\r\n"
    b"Empty:\r\n"
)


def test_a_parsed_section_gives_back_its_octets() -> None:
    """Signed octets are never re-serialised, untidy fields included."""
    assert parse_header_section(SECTION).raw == SECTION


def test_names_are_found_without_regard_to_case() -> None:
    """Field names are case-insensitive (RFC 5322, 1.2.2)."""
    section = parse_header_section(SECTION)
    assert [entry.name for entry in section.all("subject")] == [b"SUBJECT"]


def test_a_body_is_unfolded_and_stripped() -> None:
    """Unfolding removes the CRLF and keeps the white space after it (RFC 5322, 2.2.3)."""
    subject = parse_header_section(SECTION).sole("Subject")
    assert subject is not None
    assert subject.body == b"folded\tover two lines"


def test_a_missing_field_is_none() -> None:
    """Absent and empty are different things."""
    section = parse_header_section(SECTION)
    assert section.sole("To") is None
    empty = section.sole("Empty")
    assert empty is not None
    assert empty.body == b""


def test_a_doubled_field_is_refused() -> None:
    """Two From fields make the signer comparison meaningless (RFC 5322, 3.6)."""
    section = parse_header_section(b"From: a@b.example\r\nfrom: c@d.example\r\n")
    with pytest.raises(MIMEError, match="2 fields"):
        section.sole("From")


@pytest.mark.parametrize(
    ("raw", "name", "flaw"),
    [
        (b"Subject: x\r\n", b"Subject", ""),
        (b"Subject : x\r\n", b"Subject", "space-before-colon"),
        (b"Subject\t: x\r\n", b"Subject", "space-before-colon"),
        (b"Subject: a\0b\r\n", b"Subject", "control"),
        (b"Subject: a\rb\r\n", b"Subject", "control"),
        (b"no field at all\r\n", b"", "no-field"),
        (b"Sub\xe4ct: x\r\n", b"", "no-field"),
        (b": x\r\n", b"", "no-field"),
        (b" continued nothing\r\n", b"", "no-field"),
    ],
)
def test_malformed_fields_carry_their_flaw(raw: bytes, name: bytes, flaw: str) -> None:
    """What readers understand differently is marked, not repaired (I26)."""
    entry = parse_header_section(raw).fields[0]
    assert (entry.name, entry.flaw, entry.raw) == (name, flaw, raw)


@pytest.mark.parametrize("raw", [b"From : a@b.example\r\n", b"From: a\0@b.example\r\n"])
def test_a_flawed_field_is_never_the_sole_one(raw: bytes) -> None:
    """A space before the colon is a field for some readers and none for others (I26)."""
    with pytest.raises(MIMEError, match="malformed"):
        parse_header_section(raw).sole("From")


def test_a_flawed_field_is_found_by_name_for_stripping() -> None:
    """Stripping removes spaces before the colon (K01)."""
    section = parse_header_section(b"X-Smimegw-Status  : signed=pass\r\nTo: x@y.example\r\n")
    assert len(section.all("x-smimegw-status")) == 1
    assert (
        section.without(lambda entry: entry.lower_name == "x-smimegw-status").raw
        == b"To: x@y.example\r\n"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (b"", b"", b"")),
        (b"\r\n", (b"", b"\r\n", b"")),
        (b"\r\nbody", (b"", b"\r\n", b"body")),
        (b"A: b\r\n\r\nbody\r\n\r\nmore", (b"A: b\r\n", b"\r\n", b"body\r\n\r\nmore")),
        (b"A: b\r\n\r\n", (b"A: b\r\n", b"\r\n", b"")),
        (b"A: b\r\n", (b"A: b\r\n", b"", b"")),
        (b"A: b", (b"A: b", b"", b"")),
        (b"only a body\r\nof two lines\r\n", (b"", b"", b"only a body\r\nof two lines\r\n")),
        (b"no field\r\n\r\nsecond paragraph", (b"", b"", b"no field\r\n\r\nsecond paragraph")),
        (b"junk\r\nA: b\r\n\r\nbody", (b"junk\r\nA: b\r\n", b"\r\n", b"body")),
        (b"A: b\n\nbody", (b"A: b\n", b"\n", b"body")),
        (b"A: b\r\n \r\n\r\nbody", (b"A: b\r\n \r\n", b"\r\n", b"body")),
    ],
)
def test_content_is_split_at_its_first_empty_line(
    content: bytes, expected: tuple[bytes, bytes, bytes]
) -> None:
    """Missing header, missing body and empty content are defined (A28)."""
    assert split_header(content) == expected
    assert b"".join(expected) == content


LIMITS = Limits(header_section_octets=400, header_field_octets=100, header_fields=5)


@pytest.mark.parametrize(
    ("octets", "limit"),
    [
        (b"A: " + b"b" * 95 + b"\r\n", None),
        (b"A: " + b"b" * 96 + b"\r\n", "header_field_octets"),
        (b"A: b\r\n" * 5, None),
        (b"A: b\r\n" * 6, "header_fields"),
        (b"A: b\r\n" * 66 + b"A: \r\n", "header_section_octets"),
    ],
)
def test_limits_hold_at_and_above(octets: bytes, limit: str | None) -> None:
    """A header section is bounded in size, field size and number of fields."""
    if limit is None:
        assert parse_header_section(octets, LIMITS).raw == octets
        return
    with pytest.raises(LimitError) as caught:
        parse_header_section(octets, LIMITS)
    assert caught.value.limit == limit


def test_a_line_is_bounded() -> None:
    """One line of a folded field has a limit of its own."""
    limits = Limits(header_line_octets=50)
    parse_header_section(b"A: b\r\n " + b"c" * 40 + b"\r\n " + b"d" * 40 + b"\r\n", limits)
    with pytest.raises(LimitError) as caught:
        parse_header_section(b"A: b\r\n " + b"c" * 60 + b"\r\n", limits)
    assert caught.value.limit == "header_line_octets"


def test_replacing_keeps_the_place_and_drops_doubles() -> None:
    """A replaced field stays where it was; exactly one is left."""
    section = parse_header_section(b"A: 1\r\nB: 2\r\na: 3\r\n").replace(field("A", "new"))
    assert section.raw == b"A: new\r\nB: 2\r\n"


def test_replacing_what_is_not_there_appends_it() -> None:
    """A last line without line end is completed before another field follows."""
    section = parse_header_section(b"A: 1").replace(field("B", "2"))
    assert section.raw == b"A: 1\r\nB: 2\r\n"


@pytest.mark.parametrize("bad", ["a\r\nBcc: eve@evil.example", "a\nb", "a\rb", "a\0b", "a\x1bb"])
def test_a_written_field_cannot_start_another_one(bad: str) -> None:
    """Header injection: CR, LF and control characters are refused (T-12)."""
    with pytest.raises(MIMEError, match="control"):
        field("Subject", bad)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä"])
def test_a_written_field_needs_a_name(name: str) -> None:
    """A name is printable ASCII without colon (RFC 5322, 2.2)."""
    with pytest.raises(MIMEError, match="name"):
        field(name, "x")


def test_text_that_is_not_ascii_needs_an_encoding() -> None:
    """`field` never chooses a charset by itself."""
    with pytest.raises(MIMEError, match="ASCII"):
        field("Subject", "Grüße")


def test_a_long_field_is_folded_at_white_space() -> None:
    """Lines should stay within 78 characters; unfolding gives the text back (RFC 5322, 2.1.1)."""
    text = " ".join(f"<message-{number}@corp.example>" for number in range(20))
    entry = field("References", text)
    assert all(len(line) <= 78 for line in entry.raw.split(b"\r\n"))
    assert entry.body == text.encode()


def test_a_word_that_fits_in_no_line_is_refused() -> None:
    """Lines must not pass 998 characters (RFC 5322, 2.1.1)."""
    field("X", "a" * 994)
    with pytest.raises(MIMEError, match="too long"):
        field("X", "a" * 996)


def test_content_does_not_appear_in_a_repr() -> None:
    """Subjects and addresses stay out of logs and exceptions."""
    assert "secret" not in repr(HeaderSection((HeaderField.parse(b"Subject: secret\r\n"),)))
