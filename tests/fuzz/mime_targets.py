"""Fuzz targets in MIME and in address fields."""

from __future__ import annotations

import contextlib
import unicodedata

from smimegw.address_lists import parse_mailboxes, sole_mailbox
from smimegw.addresses import Mailbox, parse_path
from smimegw.errors import AddressError, CMSError, LimitError, MIMEError
from smimegw.mime import base64
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.content_type import parse_content_type, parse_disposition, write_parameters
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.headers import encode_text_field, parse_header_section
from smimegw.mime.quoted_printable import decode_quoted_printable, encode_quoted_printable
from smimegw.mime.sendable import sendable
from smimegw.pipeline.strip import strip_results
from smimegw.smime.media_types import layer_of
from smimegw.smime.partial import has_signed_part
from smimegw.smtp.authserv_id import authserv_id
from tests.fuzz.target import Target
from tests.unit.cms.people import CONTENT, detached, person

REFUSED = (MIMEError, LimitError)
WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b"--b",
    b"--b--\r\n",
    b"From ",
    b"Content-Type: ",
    b"multipart/mixed; boundary=b",
    b"multipart/signed; boundary=b",
    b"message/rfc822",
    b"application/pkcs7-mime; name=smime.p7m",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"charset=",
    b"name*0*=utf-8''%c3",
    b"name*1=",
    b"=?utf-8?B?",
    b"=?iso-2022-jp?Q?",
    b"?=",
    b"(",
    b")",
    b"\\",
    b'"',
    b";",
    b"=\r\n",
    b"=3D",
    b"\xc3\xbc",
)
_ADDRESS_WORDS = (*(bytes((octet,)) for octet in b'"\\()<>[]@.,:;'), b"a@b.example", *WORDS[-4:])

MIXED = (
    b"From: Alice <alice@ours.example>\r\nSubject: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"gr\xc3\xbc\xc3\x9fe \r\nFrom me\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n"
    b"--b\r\nContent-Type: application/pdf; name*=utf-8''%c3%bc.pdf\r\n"
    b"Content-Disposition: attachment; filename*0=a; filename*1=b\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b--\r\n"
)


def read_entity(octets: bytes) -> None:
    """No octet is lost, and parts lie in the body."""
    entity = Entity.parse(octets)
    assert entity.raw == octets
    assert entity.ended_at_first_non_field().raw == octets
    with contextlib.suppress(*REFUSED):
        entity.decoded_body()
    with contextlib.suppress(*REFUSED):
        assert all(part.whole() in entity.body for part in read_multipart(entity).parts)


def read_header(octets: bytes) -> None:
    """The section comes back; what is removed for security is gone in a second reading too."""
    section = parse_header_section(octets)
    assert section.raw == octets
    for entry in section:
        assert isinstance(decode_words(entry.body), str)
    left = strip_results(section, "gw.ours.example").header
    again = strip_results(parse_header_section(left.raw), "gw.ours.example")
    assert not again.removed


def read_content_type(octets: bytes) -> None:
    """What is written of it is read as the same."""
    with contextlib.suppress(MIMEError):
        value = parse_content_type(octets)
        if all(name and text.isprintable() for name, text in value.parameters):
            written = value.write().encode("ascii")
            assert parse_content_type(written).media_type == value.media_type
    with contextlib.suppress(MIMEError):
        assert write_parameters(*parse_disposition(octets)).isascii()


def read_transfer_encodings(octets: bytes) -> None:
    """Both decoders; what they give is encoded and decoded alike."""
    with contextlib.suppress(MIMEError):
        decoded = base64.decode(octets)
        assert base64.decode(base64.encoded(decoded)) == decoded
    decoded = decode_quoted_printable(octets).whole()
    if decoded.count(b"\r\n") == decoded.count(b"\r") == decoded.count(b"\n"):
        assert decode_quoted_printable(encode_quoted_printable(decoded)) == decoded


def read_encoded_words(octets: bytes) -> None:
    """Any text comes out, and what is printable in it is written and read alike."""
    text = decode_words(octets)
    clean = "".join(letter for letter in text if letter.isprintable())
    assert decode_words(encode_text_field("Subject", clean).body) == clean


def make_canonical(octets: bytes) -> None:
    """Twice is once, and relays have nothing left to change (RFC 8551, 3.1)."""
    raw = canonical_for_signing(Entity.parse(octets)).raw
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    assert canonical_for_signing(Entity.parse(raw)).raw == raw


def read_layer(octets: bytes) -> None:
    """Recognising S/MIME, in the root and in parts."""
    entity = Entity.parse(octets)
    has_signed_part(entity)
    found = sendable(entity)
    assert found is None or b"\0" not in found.raw
    layer_of(entity)


def read_address(octets: bytes) -> None:
    """Every mailbox that is found is read again as itself and holds nothing invisible."""
    for read in (parse_mailboxes, lambda body: (sole_mailbox([body]),)):
        with contextlib.suppress(AddressError):
            for named in read(octets):
                _check(named.mailbox)
    with contextlib.suppress(AddressError):
        _check(Mailbox.parse(octets))
    with contextlib.suppress(AddressError):
        mailbox = parse_path(octets)
        assert mailbox is None or parse_path(f"<{mailbox.address}>".encode()) == mailbox


def _check(mailbox: Mailbox) -> None:
    assert Mailbox.parse(mailbox.address) == mailbox
    assert mailbox.domain.isascii()
    assert not any(unicodedata.category(letter) in {"Cc", "Cf"} for letter in mailbox.address)


def read_authserv_id(octets: bytes) -> None:
    """A name in comparison form, or none."""
    name = authserv_id(octets)
    assert name is None or (name.isascii() and name == name.lower())


def _clear_signed() -> bytes:
    signature = b"".join(base64.encode_lines((detached(person("bob", "p256")),)))
    return (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n'
        b"\r\n--b\r\n" + CONTENT + b"\r\n--b\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + signature + b"\r\n--b--\r\n"
    )


TARGETS = (
    Target("entity", read_entity, REFUSED, lambda: [MIXED, CONTENT], WORDS),
    Target(
        "header",
        read_header,
        REFUSED,
        lambda: [MIXED.partition(b"\r\n\r\n")[0] + b"\r\n", b"X-Smimegw-A: b\r\n c\r\nA : b\n"],
        (*WORDS, b"Authentication-Results: gw.ours.example; ", b"X-Smimegw-Result: "),
    ),
    Target(
        "content-type",
        read_content_type,
        (),
        lambda: [
            b'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b',
            b"text/plain; charset=utf-8; name*0*=utf-8''%c3%bc; name*1=b (comment)",
            b'attachment; filename="a \\"b\\".txt"',
        ],
        WORDS,
    ),
    Target(
        "transfer-encodings",
        read_transfer_encodings,
        (),
        lambda: [b"QUJD\r\nRA==\r\n", b"gr=C3=BC=\r\n=C3=9Fe =20\r\nFrom \t\r\n"],
        WORDS,
    ),
    Target(
        "encoded-words",
        read_encoded_words,
        (),
        lambda: [b"=?utf-8?Q?gr=C3=BC?= =?utf-8?B?w59l?= plain =?gb2312*de?b?xOO6ww==?="],
        WORDS,
    ),
    Target("canonical", make_canonical, REFUSED, lambda: [MIXED, CONTENT], WORDS),
    Target("layer", read_layer, (*REFUSED, CMSError), lambda: [_clear_signed(), MIXED], WORDS),
    Target(
        "address",
        read_address,
        (),
        lambda: [
            b'"Alice \\"A\\"" (c(d)) <alice@ours.example>, group: bob@partner.example;',
            b"<\xc3\xa4lice@b\xc3\xbccher.example>",
            b"alice@[192.0.2.1]",
            b"=?utf-8?Q?=C3=A4?= <a@b.example>",
        ],
        _ADDRESS_WORDS,
    ),
    Target(
        "authserv-id",
        read_authserv_id,
        (),
        lambda: [b"gw.ours.example 1; smime=pass", b'i=1; "gw" (a (b)); spf=none'],
        _ADDRESS_WORDS,
    ),
)
