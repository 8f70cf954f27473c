"""Fuzz targets in what is done with opened content: header fields inside, HTML, wrappers."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.confidentiality import HeaderConfidentiality, HeaderProtection
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.headers import HeaderSection
from smimegw.mime.inert_html import inert_html, plain_text
from smimegw.mime.legacy_display import with_legacy_display, without_legacy_display
from smimegw.mime.structure import media_types
from smimegw.smime.disarm import disarm
from smimegw.smime.header_protection import protect_header
from smimegw.smime.protected_header import read_protected_header
from smimegw.smime.wrapper import wrapped_message
from tests.fuzz.mime_targets import MIXED, REFUSED, WORDS
from tests.fuzz.target import Target
from tests.unit.cms.people import CONTENT, person

_HTML = (
    b'<html><body background="http://a.example/b"><p>Totals <b>as</b> agreed<br>'
    b'<img src="cid:a"><a href="mailto:a@b.example">write</a><script>x()</script>'
    b'<div class="header-protection-legacy-display"><pre>Subject: a</pre></div></body></html>'
)
_HTML_PART = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n" + _HTML + b"\r\n--b--\r\n"
)
_PROTECTED = (
    b"From: Alice <alice@ours.example>\r\nSubject: Totals\r\nKeywords: a\r\n"
    b"HP-Outer: Subject: [...]\r\nHP-Outer: From: Alice <alice@ours.example>\r\n"
    b'Content-Type: text/plain; hp-legacy-display="1"; hp="cipher"\r\n\r\n'
    b"Subject: Totals\r\n\r\nas agreed\r\n"
)
_OUTER = Entity.parse(
    b"From: Alice <alice@ours.example>\r\nTo: bob@partner.example\r\nSubject: [...]\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <a@ours.example>\r\n\r\n"
).header
_WORDS = (
    *WORDS,
    b"<",
    b">",
    b"&#x41;",
    b"&#99999999999999999999;",
    b"&amp",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"</",
    b"<style>",
    b"<svg>",
    b"<math>",
    b"<template>",
    b" src=",
    b' style="background:url(http://a)"',
    b'; hp="cipher"',
    b'; protected-headers="v1"',
    b"; forwarded=no",
    b"HP-Outer: ",
    b"begin 644 a\r\n",
)
_CONTROLS = "".join(map(chr, range(33)))
_SAFE_VALUE = re.compile(r"(?:mailto|cid):", re.IGNORECASE)


class _References(HTMLParser):
    """What a mail program would follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "link", "meta", "base", "object", "form", "iframe"}
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"src", "href", "background", "action", "style", "srcset", "cite"}:
                self.found.append(value or "")


def _check_inert(markup: str) -> None:
    references = _References()
    references.feed(markup)
    for value in references.found:
        # Programs drop controls in front of an address, line ends and tabs inside.
        assert _SAFE_VALUE.match(re.sub(r"[\t\r\n]", "", value).lstrip(_CONTROLS))


def make_inert(octets: bytes) -> None:
    """Nothing is left that is loaded, and text has no bound on its form."""
    markup = octets.decode("utf-8", "replace")
    _check_inert(inert_html(markup))
    plain_text(markup)


def disarm_entity(octets: bytes) -> None:
    """HTML refers to nothing outside, also when the result is disarmed again."""
    once = disarm(Entity.parse(octets))
    waiting = [once, disarm(once)]
    while waiting:
        part = waiting.pop()
        try:
            kind = part.content_type
            if kind.type == "multipart":
                waiting += [Entity.parse(found) for found in read_multipart(part).parts]
            elif kind.media_type == "text/html":
                _check_inert(part.decoded_body().whole().decode())
        except REFUSED:
            continue


def read_opened(octets: bytes) -> None:
    """Fields that are to stand outside are well-formed, and no more of them than one each."""
    payload = Entity.parse(octets)
    media_types(payload)
    wrapped_message(payload, person().certificate.mailboxes[0])
    for is_wrapped in (False, True):
        found = read_protected_header(payload, _OUTER, is_wrapped=is_wrapped)
        if found is None:
            continue
        assert not any(entry.flaw for entry in found.hidden)
        written = HeaderSection(found.hidden).raw
        assert written.isascii()
        assert Entity.parse(written + b"\r\n").header.fields == found.hidden
        without_legacy_display(payload, found.hidden)


def protect_fields(octets: bytes) -> None:
    """What is hidden outside is what is read inside (RFC 9788, 5.2)."""
    whole = Entity.parse(octets)
    described = whole.header.without(lambda entry: not entry.lower_name.startswith("content-"))
    others = whole.header.without(lambda entry: entry.lower_name.startswith("content-"))
    inner = Entity(described, whole.body)
    for wish in HeaderConfidentiality:
        if wish is HeaderConfidentiality.OFF:
            continue
        protection = HeaderProtection(confidentiality=wish)
        outside, payload = protect_header(others, inner, protection, encrypts=True)
        found = read_protected_header(Entity.parse(payload.raw), outside)
        assert found is not None
        assert not found.changed or not _is_usual(others)
    with_legacy_display(inner, others.fields, DEFAULT_LIMITS)


def _is_usual(header: HeaderSection) -> bool:
    """What is said of a field holds of ASCII ones that are there once."""
    names = [entry.lower_name for entry in header]
    return (
        len(names) == len(set(names))
        and not any(entry.flaw for entry in header)
        and all(entry.raw.isascii() for entry in header)
        and all(decode_words(entry.body).isprintable() for entry in header)
    )


TARGETS = (
    Target("inert-html", make_inert, (), lambda: [_HTML], _WORDS),
    Target("disarm", disarm_entity, REFUSED, lambda: [_HTML_PART, MIXED, CONTENT], _WORDS),
    Target("opened-header", read_opened, REFUSED, lambda: [_PROTECTED, _HTML_PART], _WORDS),
    Target(
        "protect-header",
        protect_fields,
        (MIMEError, LimitError),
        lambda: [_PROTECTED, MIXED],
        _WORDS,
    ),
)
