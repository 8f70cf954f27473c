"""ChaCha20-Poly1305 both ways, and the ciphers that only old mail has (RFC 8103, RFC 8551, B)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import KeyEncryption
from smimegw.cms.content_ciphers import ContentCipher, LegacyCipher, cipher_of
from smimegw.cms.content_info import AUTH_ENVELOPED_DATA, DATA, ENVELOPED_DATA
from smimegw.cms.envelope import Recipient, decrypt, parse_enveloped
from smimegw.cms.keys import DecryptionCredential
from smimegw.cms.recipient_info import write_recipient_infos
from smimegw.errors import (
    CMSError,
    DecryptionError,
    NoMatchingKeyError,
    UnsupportedAlgorithmError,
)
from tests.unit.cms.people import (
    CONTENT,
    CountingKey,
    decryption_credential,
    person,
    sealed,
)

CHACHA20 = ContentCipher.CHACHA20_POLY1305
IV = bytes(range(8))


def _chacha20(
    *, nonce: bytes | None = None, tag: bytes | None = None, flipped: bool = False
) -> bytes:
    """An AuthEnvelopedData for alice with one thing replaced."""
    content = asn1.read_document(sealed([person()], CHACHA20)).elements()[1].elements()[0]
    version, infos, inner, old_tag = content.elements()
    content_type, algorithm, encrypted = inner.elements()
    octets = bytearray(encrypted.content)
    octets[0] ^= flipped
    if nonce is not None:
        identifier = algorithm_identifiers.write(CHACHA20.oid, der.octet_string(nonce))
    else:
        identifier = algorithm.encoded
    fields = der.sequence(
        *(version.encoded, infos.encoded),
        der.sequence(content_type.encoded, identifier, der.value(0x80, bytes(octets))),
        old_tag.encoded if tag is None else der.octet_string(tag),
    )
    return der.sequence(der.oid(AUTH_ENVELOPED_DATA), der.explicit(0, fields))


def _legacy(cipher: LegacyCipher, *, version: int = 58, parameters: bytes | None = None) -> bytes:
    """An EnvelopedData for alice under an old cipher."""
    content_key = bytes(range(1, cipher.key_octets + 1))
    is_rc2 = cipher is LegacyCipher.RC2_128_CBC
    algorithm = RC2(content_key) if is_rc2 else TripleDES(content_key)
    padder = padding.PKCS7(64).padder()
    padded = padder.update(CONTENT) + padder.finalize()
    encryptor = Cipher(algorithm, modes.CBC(IV)).encryptor()
    octets = encryptor.update(padded) + encryptor.finalize()
    if parameters is None:
        parameters = der.octet_string(IV)
        parameters = der.sequence(der.integer(version), parameters) if is_rc2 else parameters
    recipient = Recipient(person().certificate, KeyEncryption.RSA_PKCS1V15)
    fields = der.sequence(
        der.integer(0),
        write_recipient_infos([recipient], content_key),
        der.sequence(
            der.oid(DATA),
            algorithm_identifiers.write(cipher.oid, parameters),
            der.value(0x80, octets),
        ),
    )
    return der.sequence(der.oid(ENVELOPED_DATA), der.explicit(0, fields))


# --- ChaCha20-Poly1305 (RFC 8103) ----------------------------------------------------------------


@pytest.mark.parametrize("key", ["rsa", "p256"])
def test_chacha20_opens(key: str) -> None:
    """In AuthEnvelopedData, with a nonce of 12 octets and nothing else (RFC 8103, 2)."""
    alice = person("alice", key)
    enveloped = parse_enveloped(sealed([alice], CHACHA20))
    assert (enveloped.cipher, len(enveloped.nonce), len(enveloped.tag)) == (CHACHA20, 12, 16)
    assert enveloped.authenticated
    assert decrypt(enveloped, (decryption_credential(alice),)) == CONTENT


@pytest.mark.parametrize(
    "change", [{"flipped": True}, {"tag": bytes(16)}, {"nonce": bytes(12)}], ids=repr
)
def test_changed_chacha20_opens_nothing(change: dict[str, bytes]) -> None:
    """Content, tag and nonce (RFC 8439, 2.8)."""
    octets = _chacha20(**change)  # type: ignore[arg-type]
    with pytest.raises(DecryptionError):
        decrypt(parse_enveloped(octets), (decryption_credential(person()),))


@pytest.mark.parametrize("nonce", [b"", bytes(8), bytes(11), bytes(13), bytes(24)], ids=len)
def test_chacha20_with_another_nonce_is_malformed(nonce: bytes) -> None:
    """12 octets (RFC 8103, 2)."""
    with pytest.raises(CMSError):
        parse_enveloped(_chacha20(nonce=nonce))


@pytest.mark.parametrize("tag", [b"", bytes(12), bytes(15), bytes(17)], ids=len)
def test_chacha20_with_another_tag_is_malformed(tag: bytes) -> None:
    """16 octets (RFC 8103, 2)."""
    with pytest.raises(CMSError):
        parse_enveloped(_chacha20(tag=tag))


# --- old ciphers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", LegacyCipher, ids=lambda cipher: cipher.label)
def test_old_ciphers_open_where_they_are_allowed(cipher: LegacyCipher) -> None:
    """And say that they are weak (RFC 8551, B)."""
    enveloped = parse_enveloped(_legacy(cipher))
    assert enveloped.cipher is cipher
    assert enveloped.cipher.is_weak
    assert not enveloped.authenticated
    credentials = (decryption_credential(person()),)
    assert decrypt(enveloped, credentials, allow_legacy=True) == CONTENT


@pytest.mark.parametrize("cipher", LegacyCipher, ids=lambda cipher: cipher.label)
def test_old_ciphers_are_refused_before_a_key_is_used(cipher: LegacyCipher) -> None:
    """Nobody gets them read by asking (RFC 8551, B)."""
    key = CountingKey(person())
    with pytest.raises(UnsupportedAlgorithmError, match=cipher.label):
        decrypt(
            parse_enveloped(_legacy(cipher)), (DecryptionCredential(person().certificate, key),)
        )
    assert key.uses == 0


def test_old_cipher_for_somebody_else_is_no_key() -> None:
    """That nobody here can open it comes first (R-47)."""
    enveloped = parse_enveloped(_legacy(LegacyCipher.DES_EDE3_CBC))
    with pytest.raises(NoMatchingKeyError):
        decrypt(enveloped, (decryption_credential(person("bob")),))


@pytest.mark.parametrize("version", [160, 120, 59, 256], ids=str)
def test_rc2_with_a_shorter_key_is_refused(version: int) -> None:
    """40 and 64 bits are opened by anybody in minutes (RFC 2268, 6)."""
    with pytest.raises(UnsupportedAlgorithmError):
        parse_enveloped(_legacy(LegacyCipher.RC2_128_CBC, version=version))


@pytest.mark.parametrize(
    ("cipher", "parameters"),
    [
        (LegacyCipher.DES_EDE3_CBC, der.octet_string(bytes(16))),
        (LegacyCipher.DES_EDE3_CBC, der.NULL),
        (LegacyCipher.RC2_128_CBC, der.octet_string(IV)),
        (LegacyCipher.RC2_128_CBC, der.sequence(der.integer(58), der.octet_string(bytes(7)))),
    ],
)
def test_old_cipher_without_a_vector_is_malformed(cipher: LegacyCipher, parameters: bytes) -> None:
    """One block of 8 octets (RFC 3370, 5)."""
    with pytest.raises(CMSError):
        parse_enveloped(_legacy(cipher, parameters=parameters))


def test_ciphers_that_are_written_are_strong() -> None:
    """What can be chosen for writing holds no weak one."""
    assert not any(cipher.is_weak for cipher in ContentCipher)
    assert not {cipher.oid for cipher in ContentCipher} & {cipher.oid for cipher in LegacyCipher}


def test_unknown_cipher_is_unsupported() -> None:
    """CAST-128, for instance."""
    with pytest.raises(UnsupportedAlgorithmError):
        cipher_of("1.2.840.113533.7.66.10")
