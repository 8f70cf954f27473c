"""What disarming leaves alone, and the words it keeps of what it changes."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity, read_multipart
from smimegw.smime.disarm import disarm
from tests.fakes.smime import TEXT, clear_signed, encrypted

_PNG = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
_ATTACHED = b'Content-Type: application/pdf; name="a.pdf"\r\n'
_ATTACHED += b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\n%PDF\r\n'


def _html(markup: str, charset: str = "utf-8") -> Entity:
    head = f"Content-Type: text/html; charset={charset}\r\n\r\n".encode()
    return Entity.parse(head + markup.encode(charset))


def _mixed(*parts: bytes, kind: bytes = b"mixed") -> Entity:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return Entity.parse(
        b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n" + body + b"--b--\r\n"
    )


def _shown(entity: Entity) -> str:
    return entity.decoded_body().whole().decode()


@pytest.mark.parametrize(
    "entity",
    [
        TEXT,
        Entity.parse(b"Content-Type: text/plain\r\n\r\nhttp://evil.example/ <img src=x>\r\n"),
        Entity.parse(b"\r\nno fields at all\r\n"),
        Entity.parse(_PNG),
        Entity.parse(_ATTACHED),
        _mixed(TEXT.raw, _PNG, _ATTACHED),
        clear_signed(),
        encrypted(),
    ],
    ids=["text", "addresses", "bare", "image", "file", "mixed", "signed", "encrypted"],
)
def test_what_loads_nothing_is_the_same_object(entity: Entity) -> None:
    """Nothing is written anew without need (cases J03)."""
    assert disarm(entity) is entity


def test_words_and_layout_stay() -> None:
    """Tables, fonts, lists, umlauts, images that came along."""
    markup = (
        "<h1>Grüße</h1><p align=right><font color=red>100&nbsp;€</font></p><ul><li>a</ul>"
        "<table border=1><tr><td colspan=2>x</table><img src=cid:1@x alt=logo>"
        '<a href="mailto:bob@partner.example">Bob</a>'
    )
    text = _shown(disarm(_html(markup)))
    for piece in ("<h1>Grüße</h1>", 'color="red"', "100&nbsp;€", "<li>a</li>", 'colspan="2"'):
        assert piece in text
    assert '<img src="cid:1@x" alt="logo">' in text
    assert '<a href="mailto:bob@partner.example">Bob</a>' in text


def test_text_of_a_link_stays_without_its_target() -> None:
    """What the author wrote can be read; following it would tell what stands in it (J03)."""
    text = _shown(disarm(_html('see <a href="https://evil.example/secret">our site</a>')))
    assert "our site" in text
    assert "evil" not in text


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-15", "windows-1252", "gb18030"])
def test_other_character_sets_become_utf_8(charset: str) -> None:
    """One label, one reading."""
    result = disarm(_html("<p>15 €</p>", charset))
    assert result.content_type.parameter("charset") == "utf-8"
    assert "15 €" in _shown(result)


def test_parts_stay_parts() -> None:
    """Nothing is glued: each part is cleaned alone (cases J03)."""
    result = disarm(_mixed(_html("<b>one <img src='").raw, TEXT.raw, _html("'>two").raw))
    first, text, last = read_multipart(result).parts
    assert text == TEXT.raw
    assert _shown(Entity.parse(first)) == "<html><body><b>one </b></body></html>\n"
    assert _shown(Entity.parse(last)) == "<html><body>'&gt;two</body></html>\n"


def test_signed_part_that_changes_is_no_longer_called_signed() -> None:
    """No program shall say that somebody changed it on the way (cases J03)."""
    signed = clear_signed(_html("<p>x"))
    result = disarm(signed)
    assert result.content_type.media_type == "multipart/mixed"
    content, signature = read_multipart(result).parts
    assert _shown(Entity.parse(content)) == "<html><body><p>x</p></body></html>\n"
    assert signature == read_multipart(signed).parts[1]


def test_multipart_without_an_end_gets_one() -> None:
    """The last part is told from what a server may add behind it (cases L13)."""
    entity = _mixed(_html("x").raw)
    cut = Entity(entity.header, entity.body.whole().removesuffix(b"--b--\r\n"))
    assert read_multipart(disarm(cut)).closed


def test_empty_parts_are_parts() -> None:
    """No octet at all, a part of headers only (cases L13)."""
    result = disarm(_mixed(b"", b"Content-Type: text/plain\r\n\r\n", _html("").raw))
    assert len(read_multipart(result).parts) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b'name="../../etc/passwd"', "passwd"),
        (b'name="..\\\\..\\\\boot.ini"', "boot.ini"),
        (b'name=".htaccess"', "htaccess"),
        (b"name*=utf-8''%e2%82%ac%2f..%2fr%c3%a4t.xml", "rät.xml.bin"),
        (b"name*0=very; name*1=long", "verylong"),
        (b'name="%s.txt"' % (b"x" * 2000), "x" * 56 + ".txt"),
        (b"name*=utf-8''%s" % (b"%f0%9f%98%80" * 200), "\U0001f600" * 60),
        (b"name*=utf-8''a%0d%0aBcc:%20x", "aBcc: x"),
        (b'name="report.html"', "report.html.bin"),
    ],
    ids=["path", "backslash", "hidden", "RFC 2231", "pieces", "2 KB", "emoji", "crlf", "html"],
)
def test_file_name_of_an_attachment(name: bytes, expected: str) -> None:
    """One component, printable, of bounded length (cases L09)."""
    result = disarm(Entity.parse(b"Content-Type: text/xml; " + name + b"\r\n\r\n<a/>\r\n"))
    (entry,) = result.header.all("content-disposition")
    assert all(len(line) < 998 for line in entry.raw.split(b"\r\n"))
    again = Entity.parse(b"Content-Type: a/b;" + entry.body.partition(b";")[2] + b"\r\n\r\n")
    assert again.content_type.parameter("filename") == expected


def test_body_that_cannot_be_decoded_is_kept() -> None:
    """The attachment holds what arrived (cases J03)."""
    fields = b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    result = disarm(Entity.parse(fields + b"no base64!\r\n"))
    assert result.content_type.media_type == "application/octet-stream"
    assert result.decoded_body() == b"no base64!\r\n"


def test_html_beyond_the_budget_is_plain_text() -> None:
    """Cleaning takes quadratic time; the words of long mail can still be read (T-09)."""
    rows = "<table><tr><td>15 &euro;</td></tr></table>" * 3000
    result = disarm(_html(f"<style>b{{}}</style><title>t</title>{rows}end<br>"))
    assert result.content_type.media_type == "text/plain"
    text = _shown(result)
    assert text.count("15 €") == 3000
    assert "<" not in text
    assert "b{}" not in text
    assert "end" in text


def test_budget_is_that_of_the_whole_message() -> None:
    """Many parts cost no more than one (T-09)."""
    part = _html("<b>x</b>" * 20).raw
    limits = replace(DEFAULT_LIMITS, html_cost=12 * 40 * 2)
    kinds = [
        Entity.parse(raw).content_type.media_type
        for raw in read_multipart(disarm(_mixed(*[part] * 4), limits)).parts
    ]
    assert kinds == ["text/html", "text/html", "text/plain", "text/plain"]


def test_size_of_a_part_is_bounded() -> None:
    """html_octets, at the limit and above it (T-09)."""
    limits = replace(DEFAULT_LIMITS, html_octets=1000)
    for octets, kind in ((1000, "text/html"), (1001, "text/plain")):
        assert disarm(_html("x" * octets), limits).content_type.media_type == kind


def test_transfer_encoding_is_undone_first() -> None:
    """Base64 hides nothing (cases J03)."""
    body = base64.encodebytes(b'<img src="http://evil.example/">').replace(b"\n", b"\r\n")
    head = b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert "evil" not in _shown(disarm(Entity.parse(head + body)))
