"""EnvelopedData, AuthEnvelopedData and CompressedData in the forms of Bouncy Castle."""

from __future__ import annotations

import re
from functools import cache

import pytest

from smimegw.cms.algorithms import KeyEncryption, key_encryption_for
from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.cms.content_ciphers import ContentCipher
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey
from smimegw.errors import DecryptionError, NoMatchingKeyError, UnsupportedAlgorithmError
from tests.fakes.pki import Issued, make_ca
from tests.interop.matrix import GROUPS, Encryption
from tests.interop.parties import recipient_method
from tests.peers.bouncy_castle import BouncyCastle, RefusalError

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 100
CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM
CHACHA = ContentCipher.CHACHA20_POLY1305
METHODS = {
    row.name: recipient_method(row)
    for rows in GROUPS.values()
    for row in rows
    if isinstance(row, Encryption)
}
BY_KEY = {
    "rsa": "oaep-sha256-mgf1-sha1",
    "p256": "ecdh-p256-x963-sha256",
    "p384": "cofactor-p384-x963-sha384",
    "brainpool512": "ecdh-brainpool512-x963-sha512",
    "x25519": "ecdh-x25519-hkdf-sha256",
}


@cache
def _person(key: str, name: str = "alice") -> Issued:
    return make_ca("Java CA").issue(f"{name}@ours.example", key=key, usage="encrypt")


def _opened(octets: bytes, person: Issued) -> bytes:
    credential = DecryptionCredential(person.certificate, SoftwareDecryptionKey(person.key))
    return decrypt(parse_enveloped(octets), (credential,))


def _written(
    peer: BouncyCastle, cipher: ContentCipher, *keys: str, form: tuple[str, ...] = ()
) -> bytes:
    recipients = [(_person(key), METHODS[BY_KEY[key]]) for key in keys]
    return peer.encrypted(cipher.oid, CONTENT, recipients, form=form)


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda cipher: cipher.label)
@pytest.mark.parametrize("form", ["der", "stream", "attributes"])
@pytest.mark.parametrize("key", BY_KEY)
def test_every_form_of_bouncy_castle_decrypts(
    peer: BouncyCastle, key: str, form: str, cipher: ContentCipher
) -> None:
    """DER, chunked BER, attributes beside the content (RFC 5652, 6.1; RFC 5083, 2.1)."""
    assert _opened(_written(peer, cipher, key, form=(form,)), _person(key)) == CONTENT


def test_its_streams_are_indefinite_and_chunked(peer: BouncyCastle) -> None:
    """The form that the test above calls stream is BER (X.690, 8.1.3.6)."""
    octets = _written(peer, CBC, "rsa", form=("stream",))
    assert octets[:2] == b"\x30\x80"
    assert parse_enveloped(octets).encrypted_content.view() is None


@pytest.mark.parametrize("key", ["rsa", "p256"])
def test_recipient_named_by_key_identifier_decrypts(peer: BouncyCastle, key: str) -> None:
    """RFC 5652, 6.2.1 and 6.2.2."""
    method = "pkcs1" if key == "rsa" else METHODS[BY_KEY[key]]
    octets = peer.encrypted(CBC.oid, CONTENT, [(_person(key), method)], form=["keyid"])
    (identifier,) = parse_enveloped(octets).recipient_ids
    assert identifier.key_identifier == _person(key).certificate.subject_key_identifier
    assert _opened(octets, _person(key)) == CONTENT


@pytest.mark.parametrize("cipher", [CBC, GCM, CHACHA], ids=lambda cipher: cipher.label)
def test_each_of_many_recipients_decrypts(peer: BouncyCastle, cipher: ContentCipher) -> None:
    """RSA, three curves and X25519 side by side; a stranger does not (RFC 5652, 6.2)."""
    octets = _written(peer, cipher, *BY_KEY)
    for key in BY_KEY:
        assert _opened(octets, _person(key)) == CONTENT
    with pytest.raises(NoMatchingKeyError):
        _opened(octets, _person("rsa", "eve"))


@pytest.mark.parametrize("other", ["password", "kek"])
@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda cipher: cipher.label)
def test_recipients_of_other_kinds_are_passed_over(
    peer: BouncyCastle, cipher: ContentCipher, other: str
) -> None:
    """Somebody opens it with a password or a shared key, Alice with hers (RFC 5652, 6.2)."""
    alice = _person("rsa")
    octets = peer.encrypted(cipher.oid, CONTENT, [(alice, other), (alice, "pkcs1")])
    assert _opened(octets, alice) == CONTENT


@pytest.mark.parametrize("other", ["password", "kek"])
def test_nothing_but_recipients_of_other_kinds_opens_nothing(
    peer: BouncyCastle, other: str
) -> None:
    """No key of ours is meant (RFC 5652, 6.2.3 and 6.2.4)."""
    alice = _person("rsa")
    with pytest.raises(NoMatchingKeyError):
        _opened(peer.encrypted(CBC.oid, CONTENT, [(alice, other)]), alice)


@pytest.mark.parametrize(
    "cipher",
    [
        *("2.16.840.1.101.3.4.1.7", "2.16.840.1.101.3.4.1.47"),  # AES-CCM
        *("1.2.392.200011.61.1.1.1.4", "1.2.410.200004.1.4"),  # Camellia-256-CBC, SEED-CBC
        *("1.3.6.1.4.1.188.7.1.1.2", "1.2.840.113533.7.66.10"),  # IDEA-CBC, CAST5-CBC
    ],
)
def test_ciphers_that_are_not_ours_are_not_read(peer: BouncyCastle, cipher: str) -> None:
    """Named as unsupported, not as broken (RFC 8551, 2.7)."""
    octets = peer.encrypted(cipher, CONTENT, [(_person("rsa"), "pkcs1")])
    with pytest.raises(UnsupportedAlgorithmError, match=re.escape(cipher)):
        parse_enveloped(octets)


@pytest.mark.parametrize("key", ["p256", "p384", "brainpool512", "x25519"])
def test_user_keying_material_takes_part(peer: BouncyCastle, key: str) -> None:
    """It goes into the derivation (RFC 5753, 7.2; RFC 8418, 2.2)."""
    recipients = [(_person(key), METHODS[BY_KEY[key]])]
    octets = peer.encrypted(CBC.oid, CONTENT, recipients, material=b"Sixteen octets!!")
    assert _opened(octets, _person(key)) == CONTENT
    with pytest.raises(DecryptionError):
        _opened(octets.replace(b"Sixteen octets!!", b"sixteen octets!!"), _person(key))


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda cipher: cipher.label)
def test_originator_certificates_do_not_disturb(peer: BouncyCastle, cipher: ContentCipher) -> None:
    """OriginatorInfo (RFC 5652, 6.1)."""
    recipients = [(_person("rsa"), "pkcs1")]
    originator = _person("p256", "bob").certificate
    octets = peer.encrypted(cipher.oid, CONTENT, recipients, originator=originator)
    assert originator.der in octets
    assert _opened(octets, _person("rsa")) == CONTENT


@pytest.mark.parametrize("cipher", [GCM, CHACHA], ids=lambda cipher: cipher.label)
def test_authenticated_attributes_are_authenticated(
    peer: BouncyCastle, cipher: ContentCipher
) -> None:
    """Changed ones open nothing, changed unauthenticated ones do no harm (RFC 5083, 2.2)."""
    octets = _written(peer, cipher, "rsa", form=("attributes",))
    changed = octets.replace(b"not authenticated", b"NOT AUTHENTICATED")
    assert changed != octets
    assert _opened(changed, _person("rsa")) == CONTENT
    changed = changed.replace(b"authenticated", b"AUTHENTICATED")
    with pytest.raises(DecryptionError):
        _opened(changed, _person("rsa"))


def test_bouncy_castle_reads_ours_for_many_recipients(peer: BouncyCastle) -> None:
    """Every one of them finds the own RecipientInfo (RFC 5652, 6.2)."""
    people = [_person(key) for key in ("rsa", "p256", "p384", "brainpool512")]
    recipients = [
        Recipient(person.certificate, key_encryption_for(person.certificate, oaep=True))
        for person in people
    ]
    octets = b"".join(encrypt((CONTENT,), len(CONTENT), recipients, CBC))
    for person in people:
        assert peer.decrypted(octets, person) == CONTENT


def test_bouncy_castle_notices_a_change_of_ours(peer: BouncyCastle) -> None:
    """The last octet is the tag's."""
    alice = _person("rsa")
    recipient = Recipient(alice.certificate, KeyEncryption.RSA_OAEP_SHA512)
    octets = b"".join(encrypt((CONTENT,), len(CONTENT), [recipient], GCM))
    assert peer.decrypted(octets, alice) == CONTENT
    changed = octets[:-1] + bytes([octets[-1] ^ 1])
    with pytest.raises(RefusalError, match="mac check in GCM failed"):
        peer.decrypted(changed, alice)


def test_compressed_data_of_bouncy_castle_inflates(peer: BouncyCastle) -> None:
    """BER with indefinite lengths (RFC 3274)."""
    octets = peer.compressed(CONTENT)
    assert octets[:2] == b"\x30\x80"
    assert inflate(parse_compressed_data(octets)) == CONTENT
