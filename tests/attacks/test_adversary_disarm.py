"""What nobody vouches for, opened: no name, no link, no second reading brings it back to life."""

from __future__ import annotations

import base64

import pytest

from smimegw.mime.entity import Entity
from smimegw.mime.inert_html import inert_html
from smimegw.smime.disarm import disarm
from tests.attacks.remote import references

ARMED = b"\r\n\r\n<img src=http://evil.example/s>\r\n"


def _part(fields: bytes) -> Entity:
    return Entity.parse(fields + ARMED)


@pytest.mark.parametrize(
    "fields",
    [
        b'Content-Type: text/plain; name="a.html"',
        b'Content-Type: text/plain\r\nContent-Disposition: inline; filename="a.htm"',
        b'Content-Type: image/png; name="a.svg"',
        b'Content-Type: message/delivery-status; name="a.eml"',
        b'Content-Type: text/plain; name="=?utf-8?Q?a=2Ehtml?="',
        b'Content-Type: text/plain; name="=?utf-8?b?YS5odG1s?="',
        b"Content-Type: text/plain; name*=utf-8''a%2Ehtml",
        b"Content-Type: text/plain; name*0=a.ht; name*1=ml",
        b'Content-Type: text/plain; name="a.txt"\r\nContent-Disposition: inline; filename="a.xml"',
        b'Content-Type: text/plain; name="a.xml"\r\nContent-Disposition: inline; filename="a.txt"',
    ],
)
def test_text_with_the_file_name_of_markup_is_an_attachment(fields: bytes) -> None:
    """Some mail programs go by the name and not by the type (cases J03, L09)."""
    result = disarm(_part(fields))
    assert result.content_type.media_type == "application/octet-stream"
    for field in result.header:
        assert not field.body.rstrip(b'"').lower().endswith((b".html", b".htm", b".svg", b".xml"))


@pytest.mark.parametrize(
    "fields",
    [
        b'Content-Type: application/x-data; name="a.html."',
        b'Content-Type: application/x-data; name="a.html "',
        b'Content-Type: application/x-data; name="a.html. ."',
        (
            b'Content-Type: application/x-data; name="a.html"\r\n'
            b'Content-Disposition: attachment; filename="a.dat"'
        ),
        (
            b"Content-Type: application/octet-stream\r\n"
            b'Content-Disposition: attachment; filename="a.SVG\xc2\xa0"'
        ),
    ],
)
def test_file_name_that_a_system_trims_to_markup_is_neutral(fields: bytes) -> None:
    """Windows drops dots and spaces at the end; of two names each is somebody's (cases L09)."""
    result = disarm(_part(fields))
    assert result.content_type.media_type == "application/octet-stream"
    (disposition,) = result.header.all("content-disposition")
    assert disposition.body.rstrip(b'"').endswith((b".bin", b".dat"))


@pytest.mark.parametrize("name", [b"notes.txt", b"photo.jpeg", b"README", b"a.html.txt"])
def test_text_with_a_harmless_file_name_stays_as_it_is(name: bytes) -> None:
    """The other side: nothing is changed without need."""
    entity = _part(b'Content-Type: text/plain; name="' + name + b'"')
    assert disarm(entity) is entity


@pytest.mark.parametrize(
    "address",
    [
        "mailto:eve@evil.example?body=SECRET",
        "mailto:eve@evil.example&#63;body=SECRET",
        "mailto:eve@evil.example,SECRET@evil.example",
        "mailto:SECRET%40evil.example",
        "mailto:eve@evil.example%3Fbody=SECRET",
        "mailto:?bcc=eve@evil.example&body=SECRET",
        "mailto:SECRET OF SOME WORDS@evil.example",
        "MAILTO:eve@SECRET secret",
    ],
)
def test_mail_address_carries_nothing_away(address: str) -> None:
    """A click would open a mail to Eve with the text already in it (T-04, J03)."""
    written = inert_html(f'<p>before <a href="{address}">write to me</a> after</p>')
    assert "SECRET" not in written
    assert "write to me" in written


def test_plain_mail_address_can_be_clicked() -> None:
    """It says whom, and nothing else."""
    written = inert_html("<a href='mailto:bob.smith+x@partner.example'>Bob</a>")
    assert written.count('<a href="mailto:bob.smith+x@partner.example">Bob</a>') == 1


def test_image_comes_from_the_message_only() -> None:
    """Each attribute takes its own kind of address."""
    written = inert_html('<img src="mailto:eve@evil.example"><img src="cid:1@x"><a href="cid:2">')
    assert "mailto" not in written
    assert "cid:2" not in written
    assert '<img src="cid:1@x">' in written


BEHIND = (
    b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode(b"<img src=http://evil.example/s>")
    + b"\r\n"
)


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n--b--\r\n--b\r\n" + BEHIND,
        b"--b\r\n\r\ntext\r\n--b--\r\n--b\r\n" + BEHIND,
        b"--b\r\n--b--\r\n" + BEHIND,
        b"--b\r\n\r\ntext\r\n--b--\r\n" + BEHIND,
        b"-- b\r\n" + BEHIND + b"--b\r\n\r\ntext\r\n--b--\r\n",
        b"--B\r\n" + BEHIND + b"--b\r\n\r\ntext\r\n--b--\r\n",
    ],
)
@pytest.mark.parametrize("subtype", [b"mixed", b"digest", b"signed"])
def test_parts_that_only_some_readers_see_are_dropped(subtype: bytes, body: bytes) -> None:
    """Behind the last delimiter, or before the first; Python's own reader sees some (J03, I26)."""
    fields = b"MIME-Version: 1.0\r\nContent-Type: multipart/%b; boundary=b\r\n\r\n" % subtype
    result = disarm(Entity.parse(fields + body)).raw
    assert BEHIND.splitlines()[-1] not in result
    assert references(result) == []


def test_words_before_and_behind_the_parts_stay() -> None:
    """Nearly every multipart has some; nothing is written anew without need."""
    words = b"This is a multi-part message in MIME format.\r\n"
    entity = Entity.parse(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + words
        + b"--b\r\n\r\ntext\r\n--b--\r\n\r\n"
    )
    assert disarm(entity) is entity


def test_text_of_no_type_with_the_file_name_of_markup_is_an_attachment() -> None:
    """Also where files are looked for in it (cases J03, L09)."""
    fields = b"Content-Disposition: inline; filename=a.html\r\n\r\n"
    result = disarm(Entity.parse(fields + b"begin 644 a.html\r\n" + ARMED))
    assert result.content_type.media_type == "application/octet-stream"


MARKUP = b"Content-Type: text/html\r\n\r\n<img src=http://evil.example/s>\r\n"


@pytest.mark.parametrize("before", [b" \r\n\r\n", b"junk\r\n\r\n", b"\t\r\n\r\n"])
def test_part_of_a_digest_that_begins_with_no_field_is_text(before: bytes) -> None:
    """For Python's reader what stands behind the empty line is the message (J03, I26)."""
    body = b"--b\r\n" + before + MARKUP + b"--b--\r\n"
    fields = b"MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n"
    result = disarm(Entity.parse(fields + body)).raw
    assert references(result) == []
    assert result.index(b"Content-Type: text/plain\r\n\r\n") < result.index(b"text/html")


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n", b"junk\r\n\r\n"])
@pytest.mark.parametrize(
    "around",
    [
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
    ],
)
def test_fields_behind_an_empty_line_are_said_to_be_text(around: bytes, before: bytes) -> None:
    """A reader that skips empty lines at the beginning would take them for its own (I26)."""
    end = b"--b--\r\n" if b"--b" in around else b""
    result = disarm(Entity.parse(around + before + MARKUP + end)).raw
    assert result.index(b"Content-Type: text/plain\r\n\r\n") < result.index(b"text/html")


def test_usual_digest_stays_as_it_is() -> None:
    """Its parts begin with an empty line and are messages (RFC 2046, 5.1.5)."""
    message = b"\r\nFrom: bob@partner.example\r\nSubject: a\r\n\r\ntext\r\n"
    entity = Entity.parse(
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n" + message + b"--b--\r\n"
    )
    assert disarm(entity) is entity
