"""Ciphers that `openssl cms` makes only with its legacy provider, or not at all."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import KeyWrap, key_encryption_for
from smimegw.cms.content_ciphers import ContentCipher, LegacyCipher
from smimegw.cms.content_info import AUTH_ENVELOPED_DATA, DATA, write_content_info
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey
from smimegw.errors import DecryptionError, UnsupportedAlgorithmError
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt as open_layer
from smimegw.smime.media_types import EncryptedLayer, layer_of
from smimegw.smime.report import report_closed, report_opened
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import Issued, make_ca
from tests.fakes.smime import pkcs7
from tests.interop.openssl import Files, openssl

CONTENT = b"Content-Type: text/plain\r\n\r\n" + bytes(range(256)) * 64 + b"\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nTotals as agreed.\r\n"
ALICE = make_ca("Interop CA").issue("alice@ours.example", slot="ciphers/alice")
CREDENTIAL = DecryptionCredential(ALICE.certificate, SoftwareDecryptionKey(ALICE.key))
OPTIONS = {LegacyCipher.DES_EDE3_CBC: "-des3", LegacyCipher.RC2_128_CBC: "-rc2"}


def _made(tmp_path: Path, option: str, *more: str, content: bytes = CONTENT) -> bytes:
    files = Files.of(ALICE, tmp_path, "alice")
    return openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", option, *more),
        *("-provider", "legacy", "-provider", "default", "-recip", files.certificate),
        stdin=content,
    )


@pytest.mark.parametrize("cipher", LegacyCipher, ids=lambda cipher: cipher.label)
@pytest.mark.parametrize("options", [(), ("-stream",)], ids=["DER", "BER"])
def test_old_ciphers_of_openssl_decrypt_where_allowed(
    tmp_path: Path, cipher: LegacyCipher, options: tuple[str, ...]
) -> None:
    """DES-EDE3-CBC and RC2-CBC (RFC 3370, 5)."""
    enveloped = parse_enveloped(_made(tmp_path, OPTIONS[cipher], *options))
    assert enveloped.cipher is cipher
    assert decrypt(enveloped, (CREDENTIAL,), allow_legacy=True) == CONTENT
    with pytest.raises(UnsupportedAlgorithmError):
        decrypt(enveloped, (CREDENTIAL,))


EC_ALICE = make_ca("Interop CA").issue("alice@ours.example", slot="ciphers/ec", key="p256")
EC_CREDENTIAL = DecryptionCredential(EC_ALICE.certificate, SoftwareDecryptionKey(EC_ALICE.key))


def _triple_des_wrapped(tmp_path: Path, digest: str) -> bytes:
    octets = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", "-des3"),
        *("-recip", Files.of(EC_ALICE, tmp_path, "alice").certificate),
        *("-keyopt", f"ecdh_kdf_md:{digest}"),
        stdin=CONTENT,
    )
    assert der.oid(KeyWrap.TRIPLE_DES.oid) in octets
    return octets


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_triple_des_wrap_of_openssl_is_undone_where_allowed(tmp_path: Path, digest: str) -> None:
    """What it writes to EC keys with DES-EDE3-CBC (RFC 3217, 3; RFC 3370, 4.3.1)."""
    enveloped = parse_enveloped(_triple_des_wrapped(tmp_path, digest))
    assert decrypt(enveloped, (EC_CREDENTIAL,), allow_legacy=True) == CONTENT
    with pytest.raises(UnsupportedAlgorithmError):
        decrypt(enveloped, (EC_CREDENTIAL,))


def test_changed_triple_des_wrap_opens_nothing(tmp_path: Path) -> None:
    """One answer, as for all others (RFC 3217, 3.2; cases H19)."""
    octets = _triple_des_wrapped(tmp_path, "sha256")
    wrapped = parse_enveloped(octets).recipient_infos[0].encrypted_key
    broken = parse_enveloped(octets.replace(wrapped, bytes(40)))
    with pytest.raises(DecryptionError):
        decrypt(broken, (EC_CREDENTIAL,), allow_legacy=True)


def test_strong_cipher_under_a_weak_wrap_is_not_opened(tmp_path: Path) -> None:
    """Else the result would name AES for a key that only 3DES kept (RFC 8551, B)."""
    old = parse_enveloped(_triple_des_wrapped(tmp_path, "sha256"))
    (info,) = old.recipient_infos
    key, vector = info.content_key(EC_CREDENTIAL, 24), bytes(16)
    octets = openssl("enc", "-aes-192-cbc", "-K", key.hex(), "-iv", vector.hex(), stdin=CONTENT)
    new = replace(
        old, cipher=ContentCipher.AES_192_CBC, nonce=vector, encrypted_content=(memoryview(octets),)
    )
    with pytest.raises(DecryptionError):
        decrypt(new, (EC_CREDENTIAL,), allow_legacy=True)


@pytest.mark.parametrize("option", ["-rc2-40-cbc", "-rc2-64-cbc", "-des"])
def test_ciphers_that_anybody_can_break_are_not_read(tmp_path: Path, option: str) -> None:
    """Export ciphers and single DES (RFC 8551, B)."""
    with pytest.raises(UnsupportedAlgorithmError):
        parse_enveloped(_made(tmp_path, option))


def _chacha20(key: bytes, nonce: bytes, counter: int, octets: bytes) -> bytes:
    vector = struct.pack("<I", counter) + nonce
    return openssl("enc", "-chacha20", "-K", key.hex(), "-iv", vector.hex(), stdin=octets)


def _poly1305(directory: Path, key: bytes, octets: bytes) -> bytes:
    path = directory / "authenticated"
    path.write_bytes(octets)
    command = ("mac", "-binary", "-macopt", f"hexkey:{key.hex()}", "-in", path, "Poly1305")
    return openssl(*command)


def test_openssl_computes_the_same_chacha20_poly1305(tmp_path: Path) -> None:
    """From its ChaCha20 and its Poly1305, as RFC 8439, 2.8, puts them together (RFC 8103)."""
    keys: list[bytes] = []

    def rng(octets: int) -> bytes:
        keys.append(bytes(range(len(keys), len(keys) + octets)))
        return keys[-1]

    octets = b"".join(_encrypted(ALICE, rng))
    enveloped = parse_enveloped(octets)
    content_key, nonce = keys
    assert enveloped.nonce == nonce
    encrypted = b"".join(enveloped.encrypted_content)
    assert encrypted == _chacha20(content_key, nonce, 1, CONTENT)
    padding = bytes(-len(encrypted) % 16)
    authenticated = encrypted + padding + struct.pack("<QQ", 0, len(encrypted))
    one_time_key = _chacha20(content_key, nonce, 0, bytes(32))
    assert enveloped.tag == _poly1305(tmp_path, one_time_key, authenticated)
    identifier = asn1.read_document(octets).elements()[1].elements()[0].elements()[2].elements()[1]
    assert identifier.elements()[0].oid() == "1.2.840.113549.1.9.16.3.18"


def test_chacha20_poly1305_of_openssl_decrypts(tmp_path: Path) -> None:
    """Its ChaCha20 and its Poly1305 inside AuthEnvelopedData, with attributes (RFC 8103, 3)."""
    content_key, nonce, attribute = (
        bytes(range(32)),
        bytes(range(12)),
        der.sequence(
            der.oid("1.3.6.1.4.1.32473.2"), der.set_of([der.octet_string(b"authenticated")])
        ),
    )
    encrypted = _chacha20(content_key, nonce, 1, CONTENT)
    additional = der.set_of([attribute])
    authenticated = b"".join(
        octets + bytes(-len(octets) % 16) for octets in (additional, encrypted)
    )
    authenticated += struct.pack("<QQ", len(additional), len(encrypted))
    tag = _poly1305(tmp_path, _chacha20(content_key, nonce, 0, bytes(32)), authenticated)
    files = Files.of(ALICE, tmp_path, "alice")
    wrapped = openssl(
        "pkeyutl", "-encrypt", "-certin", "-inkey", files.certificate, stdin=content_key
    )
    info = der.sequence(
        der.integer(0),
        issuer_and_serial_number(ALICE.certificate),
        der.sequence(der.oid("1.2.840.113549.1.1.1"), der.value(asn1.NULL, b"")),
        der.octet_string(wrapped),
    )
    cipher = der.sequence(der.oid("1.2.840.113549.1.9.16.3.18"), der.octet_string(nonce))
    inner = der.sequence(der.oid(DATA), cipher, der.value(0x80, encrypted))
    octets = write_content_info(
        AUTH_ENVELOPED_DATA,
        der.sequence(
            der.integer(0),
            der.set_of([info]),
            inner,
            der.set_of([attribute], tag=0xA1),
            der.octet_string(tag),
        ),
    )
    assert decrypt(parse_enveloped(octets), (CREDENTIAL,)) == CONTENT


def _encrypted(person: Issued, rng: object) -> list[bytes]:
    recipient = Recipient(person.certificate, key_encryption_for(person.certificate))
    cipher = ContentCipher.CHACHA20_POLY1305
    return list(encrypt((CONTENT,), len(CONTENT), [recipient], cipher, rng=rng))  # type: ignore[arg-type]


def _layer(octets: bytes) -> EncryptedLayer:
    layer = layer_of(pkcs7(octets, b"application/x-pkcs7-mime; smime-type=enveloped-data"))
    assert isinstance(layer, EncryptedLayer)
    return layer


@pytest.mark.parametrize("cipher", LegacyCipher, ids=lambda cipher: cipher.label)
def test_old_mail_is_marked_as_weak(tmp_path: Path, cipher: LegacyCipher) -> None:
    """Opened where allowed, never without saying so (RFC 8551, B)."""
    layer = _layer(_made(tmp_path, OPTIONS[cipher], content=TEXT))
    report = report_opened(0, open_layer(layer, [CREDENTIAL], allow_legacy=True))
    assert (report.cipher, report.integrity) == (cipher.label, "none")
    assert report.notes == ("weak-cipher",)


@pytest.mark.parametrize("cipher", LegacyCipher, ids=lambda cipher: cipher.label)
def test_old_mail_stays_closed_unless_allowed(tmp_path: Path, cipher: LegacyCipher) -> None:
    """The record says why, the result fields have the one word (R-48)."""
    layer = _layer(_made(tmp_path, OPTIONS[cipher], content=TEXT))
    with pytest.raises(UnsupportedAlgorithmError) as caught:
        open_layer(layer, [CREDENTIAL])
    report = report_closed(0, layer, caught.value)
    assert (report.result, report.reason) == ("not-decrypted", "failed")
    assert cipher.label in report.detail


def _old_mail(company: Company, tmp_path: Path) -> tuple[Entity, bytes]:
    """What arrives of a 3DES message, and the body as it was sent."""
    company.world.keystore.add(ALICE)
    cms = _made(tmp_path, "-des3", content=TEXT)
    body = base64.encodebytes(cms).replace(b"\n", b"\r\n").decode()
    kind = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
    extra = kind + "Content-Transfer-Encoding: base64\r\n"
    content = message("bob@partner.example", "alice@ours.example", extra=extra, body=body)
    sent = company.send("mx", ["alice@ours.example"], content, reverse_path="bob@partner.example")
    assert sent.reply.code == 250
    return Entity.parse(company.arrived[-1]), body.encode()


def test_gateway_leaves_old_mail_as_it_came(tmp_path: Path) -> None:
    """With the key at hand, and no rule that allows it (R-48)."""
    arrived, sent = _old_mail(Company(), tmp_path)
    assert arrived.body == sent
    (field,) = arrived.header.all("x-smimegw-encrypted")
    assert field.body == b"not-decrypted; reason=failed"


def test_rule_may_open_old_mail_and_it_is_marked(tmp_path: Path) -> None:
    """``old_ciphers = true``: readable, and its fields say that nobody vouches for it."""
    rule = POLICY.replace(
        'then = { require = "none" }', 'then = { require = "none", old_ciphers = true }'
    )
    arrived, _ = _old_mail(Company(policy=rule), tmp_path)
    assert arrived.raw.endswith(TEXT.partition(b"\r\n\r\n")[2])
    (status,) = arrived.header.all("x-smimegw-status")
    assert status.body == b"signed=none; encrypted=yes; integrity=none"
