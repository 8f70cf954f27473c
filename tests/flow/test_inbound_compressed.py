"""Compressed mail: taken off for the recipient, and never taken for signed (RFC 8551, 3.6)."""

from __future__ import annotations

import base64
import zlib

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.mime.entity import Entity
from smimegw.smime.encrypt import encrypt
from smimegw.smime.sign import sign_clear
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from tests.fakes.company import Company, message
from tests.fakes.pki import NOW
from tests.unit.cms.people import compressed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"
TEXT = Entity.parse(b"Content-Type: text/plain\r\n\r\nTotals as agreed.\r\n")
TYPE = "application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z"


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


def _base64(cms: bytes) -> bytes:
    return base64.encodebytes(cms).replace(b"\n", b"\r\n")


def _compressed(entity: Entity, content_type: str = TYPE) -> Entity:
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return Entity.parse(head.encode() + _base64(compressed(entity.raw)))


def _signed(entity: Entity, company: Company) -> Entity:
    bob = company.ca.issue(BOB)
    credential = SigningCredential(bob.certificate, bob.chain, SoftwareSigningKey(bob.key))
    return sign_clear(entity, credential, now=NOW)


def _encrypted(entity: Entity, company: Company) -> Entity:
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    evidence = Evidence(trust_anchors=(company.ca.certificate,), require_revocation=False)
    mailbox = alice.certificate.mailboxes[0]
    chosen: ValidatedCertificate = validate(
        alice.certificate, evidence, purpose=Purpose.ENCRYPTION, mailbox=mailbox, now=NOW
    )
    result = encrypt(entity, [chosen], cipher=ContentCipher.AES_256_GCM)
    return Entity(result.header, b"".join(result.pieces()))


def _arrived(company: Company, entity: Entity) -> Entity:
    extra = entity.header.raw.decode()
    content = message(BOB, ALICE, extra=extra, body=entity.body.whole().decode())
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    return Entity.parse(company.arrived[-1])


def _field(entity: Entity, name: str) -> str:
    (entry,) = entity.header.all(name)
    return entry.body.decode()


@pytest.mark.parametrize(
    "content_type", [TYPE, "application/octet-stream; name=smime.p7z"], ids=["type", "file name"]
)
def test_compressed_mail_arrives_inflated(company: Company, content_type: str) -> None:
    """No client in use reads it; it is neither signed nor encrypted (RFC 8551, 3.6)."""
    arrived = _arrived(company, _compressed(TEXT, content_type))
    assert arrived.body == TEXT.body
    assert _field(arrived, "x-smimegw-compression") == "layer=0; result=decompressed"
    assert _field(arrived, "x-smimegw-status") == "signed=none; encrypted=no; integrity=none"
    assert "smime=none" in _field(arrived, "authentication-results")


def test_signed_inside_compressed_passes(company: Company) -> None:
    """The signature is judged as if nothing were around it (RFC 8551, 3.7)."""
    arrived = _arrived(company, _compressed(_signed(TEXT, company)))
    assert "smime=pass" in _field(arrived, "authentication-results")
    assert _field(arrived, "x-smimegw-signature").startswith("layer=1; result=pass")


def test_compressed_inside_signed_passes(company: Company) -> None:
    """The signature is over the compressed form (RFC 8551, 3.7)."""
    arrived = _arrived(company, _signed(_compressed(TEXT), company))
    assert "smime=pass" in _field(arrived, "authentication-results")
    assert arrived.body == TEXT.body


def test_compressed_inside_encrypted_inside_compressed_is_opened(company: Company) -> None:
    """Any order of layers (cases H05; RFC 8551, 3.7)."""
    arrived = _arrived(company, _compressed(_encrypted(_compressed(TEXT), company)))
    assert arrived.body == TEXT.body
    assert [entry.body for entry in arrived.header.all("x-smimegw-compression")] == [
        b"layer=0; result=decompressed",
        b"layer=2; result=decompressed",
    ]
    expected = "signed=none; encrypted=yes; integrity=authenticated"
    assert _field(arrived, "x-smimegw-status") == expected


@pytest.mark.parametrize(
    "stream",
    [b"no zlib", zlib.compress(TEXT.raw)[:-1], zlib.compress(b"\0\0\0\0")],
    ids=["no stream", "cut", "no entity"],
)
def test_what_does_not_inflate_stays_as_it_came(company: Company, stream: bytes) -> None:
    """A permanent error, and the original (R-51)."""
    head = f"Content-Type: {TYPE}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
    entity = Entity.parse(head + _base64(compressed(stream=stream)))
    arrived = _arrived(company, entity)
    assert arrived.body == entity.body
    assert "smime=permerror" in _field(arrived, "authentication-results")


def test_forged_field_about_compression_is_removed(company: Company) -> None:
    """Ours only (cases K01)."""
    head = b"X-Smimegw-Compression: layer=0; result=decompressed\r\n" + TEXT.header.raw
    arrived = _arrived(company, Entity.parse(head + b"\r\n" + TEXT.body.whole()))
    assert not arrived.header.all("x-smimegw-compression")
