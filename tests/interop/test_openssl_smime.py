"""Whole S/MIME messages, both ways, with the openssl command as the other mail program."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable
from pathlib import Path

import pytest

from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.errors import VerificationError
from smimegw.mime.build import split_for_protection
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection, field
from smimegw.mime.lines import with_crlf
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedForm, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import VerifiedContent, identity_of, verify
from tests.fakes.pki import NOW, Issued
from tests.fakes.smime import ALICE, BOB, EVIDENCE, address, reader, recipient, signer
from tests.interop.mails import MAILS, mail
from tests.interop.openssl import Files, openssl, refusal


class Desk:
    """PEM files of Alice (RSA) and Bob (P-256)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.alice = Files.of(ALICE, directory, "alice")
        self.bob = Files.of(BOB, directory, "bob")

    def keep(self, name: str, octets: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(octets)
        return path

    def of(self, issued: Issued) -> Files:
        return self.alice if issued is ALICE else self.bob


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Files for openssl."""
    return Desk(tmp_path)


def parts(octets: bytes) -> tuple[HeaderSection, Entity]:
    """The fields outside and the entity to protect."""
    content = Entity.parse(octets)
    outer, inner = split_for_protection(content.header)
    return outer, Entity(inner, content.body)


def joined(outer: HeaderSection, header: HeaderSection, body: Iterable[bytes]) -> bytes:
    """A whole message."""
    if not outer.all("mime-version"):
        outer = outer.append([field("MIME-Version", "1.0")])
    return outer.append(header.fields).raw + b"\r\n" + b"".join(body)


def received(octets: bytes) -> Entity:
    """What openssl wrote, as SMTP would carry it."""
    return Entity.parse(with_crlf(octets))


def judged(content: Entity, layer: SignedLayer) -> VerifiedContent:
    originator, sender = identity_of(content.header)
    return verify(layer, EVIDENCE, originator=originator, sender=sender, now=NOW)


def same_for_readers(one: bytes, other: bytes) -> None:
    """Both messages show the same texts and attachments."""
    assert _shown(one) == _shown(other)


def _shown(octets: bytes) -> list[tuple[str, str | None, object]]:
    whole = email.message_from_bytes(octets, policy=email.policy.SMTP)
    shown = []
    for part in whole.walk():
        content = None if part.is_multipart() else part.get_content()
        if isinstance(content, str):
            content = content.replace("\r\n", "\n")
        shown.append((part.get_content_type(), part.get_filename(), content))
    return shown


# --- we write, openssl reads ----------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("sign", [sign_clear, sign_opaque])
def test_openssl_verifies_our_mail(desk: Desk, sign: object, name: str) -> None:
    """Every kind of mail in both forms; what it shows is what was written."""
    outer, entity = parts(MAILS[name])
    signed = sign(entity, signer(ALICE), now=NOW)  # type: ignore[operator]
    file = desk.keep("signed.eml", joined(outer, signed.header, (signed.body.whole(),)))
    content = openssl("cms", "-verify", "-CAfile", desk.alice.root, "-in", file)
    assert content == canonical_for_signing(entity).raw
    same_for_readers(outer.raw + content, MAILS[name])


@pytest.mark.parametrize(
    "digest", [d for d in DigestAlgorithm if d.name in {"SHA256", "SHA384", "SHA512"}]
)
@pytest.mark.parametrize(
    ("issued", "scheme"),
    [(ALICE, None), (ALICE, SignatureScheme.RSA_PSS), (BOB, None)],
    ids=["pkcs1", "pss", "ecdsa"],
)
def test_openssl_verifies_every_algorithm(
    desk: Desk, issued: Issued, scheme: SignatureScheme | None, digest: DigestAlgorithm
) -> None:
    """All signature algorithms in a multipart/signed message."""
    outer, entity = parts(MAILS["text"])
    signed = sign_clear(entity, signer(issued), now=NOW, digest=digest, scheme=scheme)
    file = desk.keep("signed.eml", joined(outer, signed.header, (signed.body.whole(),)))
    content = openssl("cms", "-verify", "-CAfile", desk.of(issued).root, "-in", file)
    assert content == canonical_for_signing(entity).raw


def test_openssl_refuses_our_mail_after_a_change(desk: Desk) -> None:
    """The comparison can fail."""
    outer, entity = parts(MAILS["text"])
    signed = sign_clear(entity, signer(ALICE), now=NOW)
    octets = joined(outer, signed.header, (signed.body.whole(),))
    octets = octets.replace(b"Hello Bob", b"Hello Eve")
    file = desk.keep("signed.eml", octets)
    said = refusal("cms", "-verify", "-CAfile", desk.alice.root, "-in", file)
    assert "content verify error" in said


@pytest.mark.parametrize("name", MAILS)
def test_openssl_opens_and_verifies_our_sealed_mail(desk: Desk, name: str) -> None:
    """Sign, then encrypt for an RSA and an EC recipient; both get the same octets."""
    outer, entity = parts(MAILS[name])
    signed = sign_clear(entity, signer(ALICE), now=NOW)
    protected = encrypt(signed, [recipient(ALICE), recipient(BOB)])
    file = desk.keep("sealed.eml", joined(outer, protected.header, protected.pieces()))
    for files in (desk.alice, desk.bob):
        opened = openssl(
            "cms", "-decrypt", "-in", file, "-recip", files.certificate, "-inkey", files.key
        )
        assert opened == signed.raw
    inner = desk.keep("inner.eml", opened)
    content = openssl("cms", "-verify", "-CAfile", desk.alice.root, "-in", inner)
    same_for_readers(outer.raw + content, MAILS[name])


@pytest.mark.parametrize(
    "cipher",  # OpenSSL 3.0 has no ChaCha20-Poly1305 in CMS
    [cipher for cipher in ContentCipher if cipher is not ContentCipher.CHACHA20_POLY1305],
)
@pytest.mark.parametrize(
    ("issued", "oaep"), [(ALICE, False), (ALICE, True), (BOB, False)], ids=["pkcs1", "oaep", "ecdh"]
)
def test_openssl_opens_every_algorithm(
    desk: Desk, issued: Issued, oaep: bool, cipher: ContentCipher
) -> None:
    """All ciphers with all key encryptions."""
    outer, entity = parts(MAILS["text"])
    protected = encrypt(entity, [recipient(issued)], cipher=cipher, oaep=oaep)
    file = desk.keep("sealed.eml", joined(outer, protected.header, protected.pieces()))
    files = desk.of(issued)
    opened = openssl(
        "cms", "-decrypt", "-in", file, "-recip", files.certificate, "-inkey", files.key
    )
    assert opened == entity.raw


# --- openssl writes, we read ----------------------------------------------------------------------


def _openssl_signed(desk: Desk, entity: bytes, issued: Issued, *options: str) -> bytes:
    files = desk.of(issued)
    return openssl(
        "cms", "-sign", "-signer", files.certificate, "-inkey", files.key, "-certfile",
        files.chain, "-from", address(issued).address, "-to", "bob@partner.example", *options,
        stdin=entity,
    )  # fmt: skip


@pytest.mark.parametrize("issued", [ALICE, BOB], ids=["rsa", "p256"])
@pytest.mark.parametrize(
    ("options", "form"),
    [
        ((), SignedForm.CLEAR),
        (("-crlfeol",), SignedForm.CLEAR),
        (("-nodetach",), SignedForm.OPAQUE),
        (("-nodetach", "-stream"), SignedForm.OPAQUE),
        (("-keyid",), SignedForm.CLEAR),
        (("-md", "sha512"), SignedForm.CLEAR),
        (("-noattr",), SignedForm.CLEAR),
    ],
    ids=["clear", "crlf", "opaque", "opaque-stream", "keyid", "sha512", "no-attributes"],
)
def test_mail_signed_by_openssl_verifies(
    desk: Desk, options: tuple[str, ...], form: SignedForm, issued: Issued
) -> None:
    """Clear and opaque, DER and chunked BER, with and without signed attributes."""
    _, entity = parts(MAILS["html and attachment"])
    content = received(_openssl_signed(desk, entity.raw, issued, *options))
    layer = layer_of(content)
    assert isinstance(layer, SignedLayer)
    verified = judged(content, layer)
    assert (verified.form, verified.mailbox, verified.notes) == (form, address(issued), ())
    assert verified.entity.raw == entity.raw


def test_mail_of_the_older_openssl_command_verifies(desk: Desk) -> None:
    """``openssl smime`` writes x-pkcs7 types and PKCS #7."""
    _, entity = parts(MAILS["chinese"])
    octets = openssl(
        "smime", "-sign", "-signer", desk.alice.certificate, "-inkey", desk.alice.key,
        "-certfile", desk.alice.chain, "-from", "alice@ours.example", stdin=entity.raw,
    )  # fmt: skip
    assert b"application/x-pkcs7-signature" in octets
    content = received(octets)
    layer = layer_of(content)
    assert isinstance(layer, SignedLayer)
    assert judged(content, layer).entity.raw == entity.raw


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("options", [("-aes256",), ("-aes-128-gcm",), ("-aes128", "-stream")])
def test_mail_encrypted_by_openssl_opens(desk: Desk, name: str, options: tuple[str, ...]) -> None:
    """CBC, GCM and streamed, for an RSA and an EC recipient."""
    _, entity = parts(MAILS[name])
    octets = openssl(
        "cms", "-encrypt", *options, desk.alice.certificate, desk.bob.certificate, stdin=entity.raw
    )
    layer = layer_of(received(octets))
    assert isinstance(layer, EncryptedLayer)
    for issued in (ALICE, BOB):
        assert decrypt(layer, [reader(issued)]).entity.raw == entity.raw


def test_mail_sealed_by_openssl_opens_and_verifies(desk: Desk) -> None:
    """Signed, then encrypted, as a user's mail program does."""
    _, entity = parts(MAILS["forwarded"])
    signed = _openssl_signed(desk, entity.raw, BOB)
    octets = openssl("cms", "-encrypt", "-aes256", desk.alice.certificate, stdin=signed)
    outer = layer_of(received(octets))
    assert isinstance(outer, EncryptedLayer)
    opened = decrypt(outer, [reader(ALICE)])
    inner = layer_of(opened.entity)
    assert isinstance(inner, SignedLayer)
    content = received(b"From: bob@partner.example\n" + octets)
    assert judged(content, inner).entity.raw == entity.raw


def test_change_after_openssl_signed_is_noticed(desk: Desk) -> None:
    """The comparison can fail."""
    octets = _openssl_signed(desk, parts(MAILS["text"])[1].raw, ALICE)
    content = received(octets.replace(b"Hello Bob", b"Hello Eve"))
    layer = layer_of(content)
    assert isinstance(layer, SignedLayer)
    with pytest.raises(VerificationError, match="fail digest"):
        judged(content, layer)


def test_mails_are_what_they_claim() -> None:
    """The samples are real: 8-bit, base64, multipart and forwarded."""
    assert mail("8bit").transfer_encoding == "8bit"
    assert mail("html and attachment").content_type.media_type == "multipart/mixed"
    assert mail("chinese").content_type.media_type == "multipart/mixed"
    assert b"message/rfc822" in mail("forwarded").body
