"""Every reader needs memory in proportion to what it reads; how many times that is said here."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from random import Random

import pytest

from smimegw.address_lists import parse_mailboxes
from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.cms.content_info import DATA, SIGNED_DATA
from smimegw.cms.envelope import decrypt, parse_enveloped
from smimegw.cms.signed_data import parse_signed_data
from smimegw.errors import MessageError
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.content_type import parse_content_type
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import Entity, read_multipart
from smimegw.mime.headers import parse_header_section
from smimegw.mime.inert_html import plain_text
from smimegw.mime.sendable import sendable
from smimegw.smime.disarm import disarm
from smimegw.smime.media_types import layer_of
from smimegw.smtp.content import ContentReader, stuffed
from tests.fakes.pki import NOW, make_ca
from tests.unit.cms.people import compressed, decryption_credential, person, sealed

Make = Callable[[int], bytes]

CA = make_ca("Memory CA")
ALICE = CA.issue("alice@ours.example", key="p256", slot="memory")
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def entity(octets: bytes) -> None:
    """Header section, parts, decoded body."""
    parsed = Entity.parse(octets)
    if parsed.header.all("content-transfer-encoding"):
        parsed.decoded_body()
    elif parsed.content_type.type == "multipart":
        _ = read_multipart(parsed).parts


def header(octets: bytes) -> None:
    """All fields with their bodies."""
    for entry in parse_header_section(octets):
        _ = entry.lower_name, entry.body


def data(octets: bytes) -> None:
    """As it comes from a client, in pieces."""
    reader = ContentReader()
    for at in range(0, len(octets), 4096):
        reader.feed(octets[at : at + 4096])
    reader.feed(b"\r\n.\r\n")
    reader.result()


def opened(octets: bytes) -> None:
    """Decrypted for Bob."""
    decrypt(parse_enveloped(octets), [decryption_credential(person("bob", "p256"))])


def revoked(octets: bytes) -> None:
    """A list of revoked certificates."""
    from smimegw.x509.revocation import status

    status(ALICE.certificate, CA.certificate, [octets], NOW, 0)


def signed(content: bytes) -> bytes:
    """SignedData without signers."""
    return der.sequence(
        der.oid(SIGNED_DATA),
        der.explicit(
            0,
            der.sequence(
                der.integer(1),
                der.value(0x31),
                der.sequence(der.oid(DATA), der.explicit(0, content)),
                der.value(0x31),
            ),
        ),
    )


def encoded(encoding: bytes, body: bytes) -> bytes:
    """One part with that transfer encoding."""
    return b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


# name: reader, input of about so many octets, how many times that at most
READERS: dict[str, tuple[Callable[[bytes], object], Make, float]] = {
    "text": (entity, lambda n: b"A: b\r\n\r\n" + b"a" * n, 4),
    "parts": (entity, lambda n: MIXED + (b"--b\r\n\r\n" + b"a" * 1000 + b"\r\n") * (n // 1009), 5),
    "base64": (entity, lambda n: encoded(b"base64", b"QUJD\r\n" * (n // 6)), 5),
    "quoted-printable": (entity, lambda n: encoded(b"quoted-printable", b"a \n" * (n // 3)), 5),
    "header fields": (header, lambda n: (b"A: " + b"b" * 250 + b"\r\n") * (n // 255), 8),
    "small header fields": (header, lambda n: b"A: b\r\n" * min(n // 6, 1000), 150),
    "encoded words": (decode_words, lambda n: b"=?utf-8?Q?a?= " * (n // 14), 30),
    "parameters": (
        parse_content_type,
        lambda n: b"a/b" + b"".join(b"; p%d=x" % m for m in range(n // 9)),
        60,
    ),
    "addresses": (
        parse_mailboxes,
        lambda n: b", ".join([b"Somebody with a name <a@b.example>"] * min(n // 36, 2000)),
        30,
    ),
    "canonical form": (
        lambda o: canonical_for_signing(Entity.parse(o)),
        lambda n: b"A: b\r\n\r\n" + b"\xff" * n,
        16,
    ),
    "canonical form of mixed octets": (
        lambda o: canonical_for_signing(Entity.parse(o)),
        lambda n: b"A: b\r\n\r\n" + b"a\xff" * (n // 2),
        12,
    ),
    "canonical form of short lines": (
        lambda o: canonical_for_signing(Entity.parse(o)),
        lambda n: b"A: b\r\n\r\n" + b"a \n" * (n // 3),
        12,
    ),
    "sendable form": (lambda o: sendable(Entity.parse(o)), lambda n: b"A: b\n\n" + b"a\n" * n, 8),
    "disarmed form": (
        lambda o: disarm(Entity.parse(o)),
        lambda n: b"Content-Type: text/html; charset=utf-8\r\n\r\n" + b"<b>" * (n // 3),
        30,
    ),
    "text of HTML": (lambda o: plain_text(o.decode()), lambda n: b"<b>a" * (n // 4), 30),
    "layer": (
        lambda o: layer_of(Entity.parse(o)),
        lambda n: (
            b"Content-Type: application/pkcs7-mime\r\n\r\n" + signed(der.octet_string(bytes(n)))
        ),
        4,
    ),
    "DATA": (data, lambda n: b"a\r\n" * (n // 3), 4),
    "DATA written": (lambda o: list(stuffed([o])), lambda n: b"a\r\n" * (n // 3), 4),
    "one large ASN.1 value": (asn1.read_document, lambda n: der.octet_string(bytes(n)), 0.1),
    "encapsulated content": (parse_signed_data, lambda n: signed(der.octet_string(bytes(n))), 1.2),
    "chunks of content": (
        parse_signed_data,
        lambda n: signed(b"\x24\x80" + der.octet_string(bytes(500)) * (n // 504) + b"\0\0"),
        3,
    ),
    "small chunks of content": (
        parse_signed_data,
        lambda n: signed(b"\x24\x80" + der.octet_string(b"a" * 8) * (n // 10) + b"\0\0"),
        40,
    ),
    "encrypted, CBC": (
        opened,
        lambda n: sealed([person("bob", "p256")], ContentCipher.AES_128_CBC, bytes(n)),
        5,
    ),
    "encrypted, GCM": (
        opened,
        lambda n: sealed([person("bob", "p256")], ContentCipher.AES_128_GCM, bytes(n)),
        5,
    ),
    "compressed": (
        lambda o: inflate(parse_compressed_data(o)),
        lambda n: compressed(Random(1).randbytes(n)),
        4,
    ),
    "CRL": (revoked, lambda n: CA.crl(range(1, n // 40)), 5),
}


def peak(read: Callable[[bytes], object], octets: bytes) -> int:
    """The most memory that was in use at once, besides the input."""
    gc.collect()
    tracemalloc.start()
    try:
        read(octets)
    except MessageError:
        pass
    finally:
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


@pytest.mark.parametrize("name", READERS)
def test_memory_is_bounded_by_what_is_read(name: str) -> None:
    """A fixed number of copies, whatever the size (T-09)."""
    read, make, times = READERS[name]
    small, large = make(10_000), make(100_000)
    peak(read, small)  # what is loaded once is loaded now
    needed = peak(read, large)
    assert needed <= times * len(large) + 300_000
