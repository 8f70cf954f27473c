"""Hidden header fields repeated in the text, and such repetitions taken off again."""

from __future__ import annotations

import pytest

from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField
from smimegw.mime.legacy_display import with_legacy_display, without_legacy_display

SUBJECT = (HeaderField.parse(b"Subject: Dinner <plans>\r\n"),)
GERMAN = (HeaderField.parse(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"),)
PLAIN = b"Content-Type: text/plain; charset=us-ascii\r\n\r\ntext\r\n"
HTML = b"Content-Type: text/html; charset=us-ascii\r\n\r\n<html><body><p>text</p></body></html>\r\n"
ELEMENT = (
    b'<div class="header-protection-legacy-display">\r\n'
    b"<pre>Subject: Dinner &lt;plans&gt;</pre>\r\n</div>\r\n"
)


def multipart(kind: str, *parts: bytes, mark: str = "b") -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{mark}"\r\n\r\npreamble'.encode()
    delimiter = f"\r\n--{mark}".encode()
    return head + b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--\r\n"


def shown(content: bytes, fields: tuple[HeaderField, ...] = SUBJECT) -> bytes:
    return with_legacy_display(Entity.parse(content), fields).raw


def test_plain_text_begins_with_the_fields_and_an_empty_line() -> None:
    """RFC 9788, 5.2.2 and E.1."""
    assert shown(PLAIN) == (
        b'Content-Type: text/plain; charset=us-ascii; hp-legacy-display="1"\r\n\r\n'
        b"Subject: Dinner <plans>\r\n\r\ntext\r\n"
    )


def test_html_body_begins_with_an_element_of_its_own() -> None:
    """RFC 9788, 5.2.3 and E.2."""
    assert b"<html><body>\r\n" + ELEMENT + b"<p>text</p>" in shown(HTML)


@pytest.mark.parametrize(
    ("page", "before"),
    [
        (b"<p>text</p>", b""),
        (b'<BODY bgcolor="#fff">text', b'<BODY bgcolor="#fff">\r\n'),
        (b"<!-- <body> --><body>text", b"<!-- <body> --><body>\r\n"),
    ],
)
def test_place_in_a_page_is_where_its_body_begins(page: bytes, before: bytes) -> None:
    """Not in a comment; a page without the tag is all body."""
    assert before + ELEMENT in shown(b"Content-Type: text/html\r\n\r\n" + page + b"\r\n")


def test_every_alternative_shows_them_and_attachments_do_not() -> None:
    """Main body parts only (RFC 9787, 7.1)."""
    attached = b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nfile\r\n"
    content = multipart("mixed", multipart("alternative", PLAIN, HTML, mark="c"), attached)
    result = shown(content)
    assert result.count(b"Dinner") == 2
    assert attached in result


@pytest.mark.parametrize(
    "kind",
    [
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" + PLAIN + b"\r\n--b--\r\n",
        b"Content-Type: application/pdf\r\n\r\n%PDF\r\n",
        b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\n",
        b"Content-Type: text/plain; charset=x-unknown\r\n\r\ntext\r\n",
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\r\n",
        b"Content-Type: text/plain; charset=idna\r\n\r\ntext\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts\r\n",
    ],
    ids=["signed", "pdf", "calendar", "unknown charset", "broken", "no charset", "no parts"],
)
def test_what_cannot_be_changed_safely_keeps_its_octets(kind: bytes) -> None:
    """A repetition is a courtesy, the text is the message."""
    assert shown(kind) == kind


def test_field_beyond_the_charset_makes_the_text_utf_8() -> None:
    """Latin text stays latin as long as the field fits."""
    latin = b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\xfc\r\n"
    assert b"charset=iso-8859-1" in shown(latin, GERMAN)
    result = Entity.parse(shown(PLAIN, GERMAN))
    assert result.content_type.parameter("charset") == "utf-8"
    assert result.decoded_body() == "Subject: Grüße\r\n\r\ntext\r\n".encode()


def test_fields_that_programs_do_not_show_are_not_repeated() -> None:
    """Only user-facing fields (RFC 9787, 1.1.2)."""
    assert shown(PLAIN, (HeaderField.parse(b"Keywords: x\r\n"),)) == PLAIN


@pytest.mark.parametrize("content", [PLAIN, HTML, multipart("alternative", PLAIN, HTML)])
def test_repetition_comes_off_again(content: bytes) -> None:
    """Writing and taking off leaves the text as it was."""
    entity = with_legacy_display(Entity.parse(content), SUBJECT)
    result = without_legacy_display(entity, SUBJECT)
    assert b"Dinner" not in result.raw
    assert b"hp-legacy-display" not in result.raw
    assert b"text" in result.raw


@pytest.mark.parametrize(
    "text",
    [
        b"Subject: Other\r\n\r\ntext\r\n",
        b"Subject: Dinner <plans>\r\nDear Bob,\r\n\r\ntext\r\n",
        b"Subject: Dinner <plans>\r\n",
        b"text\r\n",
    ],
)
def test_text_that_says_anything_else_stays(text: bytes) -> None:
    """Nobody can make a text disappear by marking it (RFC 9788, 4.5.3)."""
    content = b'Content-Type: text/plain; hp-legacy-display="1"\r\n\r\n' + text
    assert without_legacy_display(Entity.parse(content), SUBJECT).raw == content


def test_unmarked_text_stays() -> None:
    """The parameter says that it is a repetition."""
    content = b"Content-Type: text/plain\r\n\r\nSubject: Dinner <plans>\r\n\r\ntext\r\n"
    assert without_legacy_display(Entity.parse(content), SUBJECT).raw == content
