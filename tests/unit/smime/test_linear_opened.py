"""What is done with opened content takes work in proportion to it (T-09)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.inert_html import cost, plain_text
from smimegw.smime.disarm import disarm
from tests.meter.growth import METERED, is_linear

Make = Callable[[int], bytes]

CONFIDENTIALITY = METERED["smimegw.mime.confidentiality"]
DISARM, ENTITY = METERED["smimegw.smime.disarm"], METERED["smimegw.mime.entity"]
DISPLAY, HTML = METERED["smimegw.mime.legacy_display"], METERED["smimegw.mime.inert_html"]
LAYERS, PARTIAL = METERED["smimegw.smime.media_types"], METERED["smimegw.smime.partial"]
PROTECT = METERED["smimegw.smime.header_protection"]
PROTECTED = METERED["smimegw.smime.protected_header"]
WRAPPER, ADDRESSES = METERED["smimegw.smime.wrapper"], METERED["smimegw.addresses"]
STRUCTURE = METERED["smimegw.mime.structure"]

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HTML_PART = b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"

MARKUP: dict[str, Make] = {
    "tags": lambda n: b"<b>a</b>" * n,
    "beginnings": lambda n: b"<" * n,
    "open tag": lambda n: b"<a " + b"b " * n,
    "attributes": lambda n: b"<a " + b'b="c" ' * n + b">",
    "comments": lambda n: b"<!-- a -->" * n,
    "open comments": lambda n: b"<!--" * n,
    "scripts": lambda n: b"<script>a</script>" * n,
    "references": lambda n: b"&amp;&#65;&none" * n,
    "long reference": lambda n: b"&#" + b"1" * n + b";",
    "references of no kind": lambda n: b"&" + b"a" * n,
    "displays": lambda n: b'<div class="header-protection-legacy-display"><pre>' * n,
    "bodies": lambda n: b"<body>" * n,
}


@pytest.mark.parametrize("shape", MARKUP)
def test_costly_markup_becomes_text_in_one_pass(shape: str) -> None:
    """Before it is known how costly it is, its cost is counted in one pass, too."""

    def read(octets: bytes) -> None:
        HTML.cost(octets.decode())
        HTML.plain_text(octets.decode())

    assert is_linear(read, MARKUP[shape], 60)


@pytest.mark.parametrize("shape", MARKUP)
def test_displays_of_fields_are_taken_off_in_one_pass(shape: str) -> None:
    """What looks like one and is none (RFC 9788, 5.2.2)."""
    head = b'Content-Type: text/html; charset=utf-8; hp-legacy-display="1"\r\n\r\n'
    shown = ENTITY.Entity.parse(b"Subject: a\r\n\r\n").header.fields

    def read(octets: bytes) -> None:
        entity = ENTITY.Entity.parse(head + octets)
        DISPLAY.without_legacy_display(entity, shown)
        DISPLAY.with_legacy_display(entity, shown)

    # Lines of more than 998 octets are encoded, so all of them are longer or none is.
    make = MARKUP[shape]
    assert is_linear(read, make, 1000 // (len(make(2)) - len(make(1))) + 60)


def test_number_of_thousands_of_digits_is_no_character() -> None:
    """Python refuses to make such a number; fuzzing found the exception (T-09)."""
    assert plain_text("a&#" + "1" * 5000 + ";b") == "a\N{REPLACEMENT CHARACTER}b"
    assert plain_text("&#0065;&#x41;&#65") == "AAA"


@pytest.mark.parametrize("attribute", ["a%d ", "a%d=b ", "a%d/", "a%d=''", "a%d='>' ", "a%d='<'"])
def test_attributes_of_one_tag_have_their_cost(attribute: str) -> None:
    """Each is compared with all others: 250,000 took half a minute in one tag (T-09)."""
    markup = "<a " + "".join(attribute % number for number in range(30_000)) + ">text"
    assert cost(markup) > DEFAULT_LIMITS.html_cost
    entity = Entity.parse(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + markup.encode())
    assert disarm(entity).content_type.media_type == "text/plain"


@pytest.mark.parametrize("piece", ["<b>", "&amp;"])
@pytest.mark.parametrize("parts", [1, 20])
def test_markup_without_end_is_an_attachment(piece: str, parts: int) -> None:
    """50 MB of tags took most of a minute to be taken out (T-09)."""
    body = piece.encode() * (600_000 // parts) + b"\r\n"
    result = disarm(Entity.parse(MIXED + (HTML_PART + body) * parts + b"--b--\r\n"))
    kinds = [Entity.parse(part).content_type.media_type for part in read_multipart(result).parts]
    assert kinds[-1] == "application/octet-stream"
    assert kinds.count("text/plain") <= 16


@pytest.mark.parametrize("text", ["It's one of many words. ", "a > b and c < d, "])
def test_words_outside_of_tags_cost_little(text: str) -> None:
    """A long letter with few tags is no attack."""
    assert cost("<p>" + text * 1000 + "</p>") < DEFAULT_LIMITS.html_cost


PARTS: dict[str, Make] = {
    "HTML parts": lambda n: MIXED + (HTML_PART + b"<b>a</b>\r\n") * n + b"--b--\r\n",
    "text parts": lambda n: MIXED + b"--b\r\n\r\na\r\n" * n + b"--b--\r\n",
    "unknown parts": lambda n: MIXED + b"--b\r\nContent-Type: a/b\r\n\r\na\r\n" * n + b"--b--\r\n",
    "messages": lambda n: (
        MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n<a>\r\n" * n + b"--b--\r\n"
    ),
    "bases": lambda n: b"Content-Base: http://a.example/\r\n" * n + b"\r\na",
    "encoded files": lambda n: b"A: b\r\n\r\n" + b"begin 64 a\r\n" * n,
    "flaws": lambda n: b"A: b\r\n" + b"no field\r\n" * n + b"\r\na",
    "long file name": lambda n: (
        b"Content-Type: text/xml; name*=utf-8''" + b"%f0%9f%98%80" * n + b"\r\n\r\n<a/>"
    ),
    "signed parts": lambda n: (
        MIXED + b"--b\r\nContent-Type: multipart/signed; protocol=application/pkcs7-signature;"
        b" boundary=c\r\n\r\n--c\r\n\r\na\r\n--c\r\nContent-Type: application/pkcs7-signature\r\n"
        b"\r\nAAAA\r\n--c--\r\n" * n + b"--b--\r\n"
    ),
}


@pytest.mark.parametrize("shape", PARTS)
def test_disarming_is_few_passes(shape: str) -> None:
    """The library that cleans HTML has a budget of its own (cases J03)."""
    assert is_linear(lambda octets: DISARM.disarm(ENTITY.Entity.parse(octets)), PARTS[shape], 8)


# Recognising does not look at a body whose type nobody named.
@pytest.mark.parametrize("shape", [shape for shape in PARTS if shape != "encoded files"])
def test_layers_are_recognised_in_few_passes(shape: str) -> None:
    """In the root and in parts (cases I09)."""
    bob = ADDRESSES.Mailbox.parse("bob@partner.example")

    def read(octets: bytes) -> None:
        entity = ENTITY.Entity.parse(octets)
        PARTIAL.has_signed_part(entity)
        STRUCTURE.media_types(entity)
        WRAPPER.wrapped_message(entity, bob)
        LAYERS.layer_of(entity)

    assert is_linear(read, PARTS[shape], 8)


FIELDS: dict[str, Make] = {
    "many names": lambda n: b"".join(b"X-%d: b\r\n" % m for m in range(n)),
    "one name": lambda n: b"Subject: b\r\n" * n,
    "HP-Outer": lambda n: b"".join(b"HP-Outer: X-%d: b\r\n" % m for m in range(n)),
    "both": lambda n: b"".join(b"X-%d: b\r\nHP-Outer: X-%d: c\r\n" % (m, m) for m in range(n)),
    "long field": lambda n: b"Subject: " + b"a " * n + b"\r\n",
}


@pytest.mark.parametrize("shape", FIELDS)
@pytest.mark.parametrize("aim", ["cipher", "clear"])
def test_fields_inside_are_read_in_one_pass(shape: str, aim: str) -> None:
    """As many as a header section holds, inside and outside (RFC 9788, 4)."""
    kind = f'Content-Type: text/plain; hp="{aim}"\r\n\r\na'.encode()

    def read(octets: bytes) -> None:
        payload = ENTITY.Entity.parse(octets + kind)
        outer = ENTITY.Entity.parse(octets + b"\r\n").header
        PROTECTED.read_protected_header(payload, outer)

    assert is_linear(read, FIELDS[shape], 100)


@pytest.mark.parametrize("shape", FIELDS)
def test_fields_are_protected_in_one_pass(shape: str) -> None:
    """As many as a header section holds (RFC 9788, 5.2)."""
    wish = CONFIDENTIALITY.HeaderProtection(
        confidentiality=CONFIDENTIALITY.HeaderConfidentiality.SHY
    )

    def write(octets: bytes) -> None:
        outer = ENTITY.Entity.parse(octets + b"\r\n").header
        inner = ENTITY.Entity.parse(b"Content-Type: text/plain\r\n\r\na\r\n")
        PROTECT.protect_header(outer, inner, wish, encrypts=True)

    assert is_linear(write, FIELDS[shape], 100)
