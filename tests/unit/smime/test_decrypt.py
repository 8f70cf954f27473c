"""Opening encrypted layers: what comes out, and the one answer to everything that fails."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.envelope import Recipient
from smimegw.cms.envelope import encrypt as encrypt_octets
from smimegw.errors import DecryptionError, KeystoreError, NoMatchingKeyError
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import OpenedContent, decrypt
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.fakes.smime import ALICE, BOB, EVE, ISSUING, TEXT, clear_signed, encrypted, pkcs7, reader

CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM


def _layer(entity: Entity) -> EncryptedLayer:
    layer = layer_of(entity)
    assert isinstance(layer, EncryptedLayer)
    return layer


def _sealed(plaintext: bytes, cipher: ContentCipher = CBC) -> EncryptedLayer:
    """Any octets encrypted for Alice."""
    to = [Recipient(ALICE.certificate, KeyEncryption.RSA_PKCS1V15)]
    return _layer(pkcs7(b"".join(encrypt_octets([plaintext], len(plaintext), to, cipher))))


def _opened(plaintext: bytes, cipher: ContentCipher = CBC) -> OpenedContent:
    return decrypt(_sealed(plaintext, cipher), [reader(ALICE)])


@pytest.mark.parametrize("cipher", list(ContentCipher))
def test_every_recipient_gets_the_same_octets(cipher: ContentCipher) -> None:
    """RSA and ECDH recipients of one message."""
    layer = _layer(encrypted(TEXT, [ALICE, BOB], cipher))
    for issued in (ALICE, BOB):
        opened = decrypt(layer, [reader(issued)])
        assert opened.entity.raw == TEXT.raw
        assert (opened.cipher, opened.authenticated) == (cipher, cipher.authenticated)
        assert opened.key_fingerprint == issued.certificate.fingerprint


def test_key_that_opened_it_is_named() -> None:
    """Among several keys at hand it is told which one it was."""
    opened = decrypt(_layer(encrypted(TEXT, [BOB])), [reader(ALICE), reader(BOB)])
    assert opened.key_fingerprint == BOB.certificate.fingerprint


def test_second_key_is_tried_when_the_first_cannot() -> None:
    """A keystore entry with a wrong key does not hide the right one."""
    other = ISSUING.issue("alice@ours.example", slot="not her key")
    wrong = type(reader(ALICE))(ALICE.certificate, reader(other).key)
    opened = decrypt(_layer(encrypted(TEXT, [ALICE, BOB])), [wrong, reader(BOB)])
    assert opened.key_fingerprint == BOB.certificate.fingerprint


def test_signed_content_stays_exact() -> None:
    """What is inside is signed often: not one octet changes."""
    signed = clear_signed()
    assert decrypt(_layer(encrypted(signed)), [reader(ALICE)]).entity.raw == signed.raw


@pytest.mark.parametrize("credentials", [[], [reader(EVE)]], ids=["none", "somebody-else"])
def test_no_key(credentials: list[object]) -> None:
    """Told apart from a failure, before any key is used (R-47)."""
    with pytest.raises(NoMatchingKeyError):
        decrypt(_layer(encrypted()), credentials)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"no header field and no empty line",
        b"\x01\x02\x03 noise",
        b"Content-Type: text/plain\r\n\r\nNUL \0 here\r\n",
        b"Content-Type: text/plain\r\n\r\nbare\rCR\r\n",
        b"Content-Type: text/plain\r\n\r\nbare\nLF and CRLF\r\n",
        b"Content-Type: text/plain\r\nX: \x1b[2J\r\n\r\ntext\r\n",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\ntext\r\n",
        b"Content-Type : text/plain\r\n\r\ntext\r\n",
        b"Content-Type: text\r\n\r\ntext\r\n",
        b"junk line\r\nContent-Type: text/plain\r\n\r\ntext\r\n",
        b"X: " + b"x" * 300_000 + b"\r\n\r\ntext\r\n",
    ],
    ids=[
        "empty", "no-entity", "noise", "nul", "bare-cr", "bare-lf", "escape-in-header",
        "two-types", "space-before-colon", "no-subtype", "junk", "huge-header",
    ],
)  # fmt: skip
@pytest.mark.parametrize("cipher", [CBC, GCM])
def test_content_that_is_no_entity(plaintext: bytes, cipher: ContentCipher) -> None:
    """Not delivered decrypted, and not told apart from any other failure (cases J05)."""
    with pytest.raises(DecryptionError) as caught:
        _opened(plaintext, cipher)
    assert caught.value.args == DecryptionError().args
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_control_characters_mean_tampering_where_nothing_authenticates() -> None:
    """A shifted CBC block is noise; under GCM odd text is only odd text (T-04)."""
    plaintext = b"Content-Type: text/plain\r\n\r\nbell \x07 and backspace \x08\r\n"
    with pytest.raises(DecryptionError):
        _opened(plaintext, CBC)
    assert _opened(plaintext, GCM).entity.raw == plaintext


@pytest.mark.parametrize("body", [b"\t\x0c\r\n", b"\x1b$B$3$s\x1b(B\r\n", b"\xe4\xb8\xad\r\n"])
def test_text_of_this_world_is_no_noise(body: bytes) -> None:
    """Tabs, form feeds, ISO 2022 shifts and 8-bit text are content."""
    plaintext = b"Content-Type: text/plain; charset=x\r\n\r\n" + body
    assert _opened(plaintext).entity.raw == plaintext


def test_unix_line_ends_are_read_as_what_they_mean() -> None:
    """Tools that forget the canonical form (RFC 8551, 3.1.1)."""
    opened = _opened(b"Content-Type: text/plain\n\ntext\n")
    assert opened.entity.raw == b"Content-Type: text/plain\r\n\r\ntext\r\n"


def test_entity_without_fields() -> None:
    """An empty header section is text/plain (RFC 2045, 5.2)."""
    assert _opened(b"\r\ntext\r\n").entity.body == b"text\r\n"


def test_changed_ciphertext_is_noticed_by_gcm() -> None:
    """Every octet counts, and the failure says nothing."""
    octets = bytearray(encrypted(TEXT, [ALICE], GCM).decoded_body().whole())
    octets[-30] ^= 1
    with pytest.raises(DecryptionError) as caught:
        decrypt(_layer(pkcs7(bytes(octets))), [reader(ALICE)])
    assert caught.value.__context__ is None


def test_keystore_trouble_is_not_hidden() -> None:
    """A locked keystore must become 451, not "failed" (R-49)."""

    class Sealed:
        def decrypt(self, *_: object) -> bytes:
            raise KeystoreError("locked", locked=True)

        exchange = decrypt

    credential = type(reader(ALICE))(ALICE.certificate, Sealed())  # type: ignore[arg-type]
    with pytest.raises(KeystoreError):
        decrypt(_layer(encrypted()), [credential])


def test_repr_shows_no_content() -> None:
    """Opened content does not leak into logs."""
    assert "100 EUR" not in repr(_opened(TEXT.raw))
