"""Encrypting and opening, for one and for many, in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smimegw.cms import asn1
from smimegw.cms.algorithms import ContentCipher, KeyEncryption, key_encryption_for
from smimegw.cms.content_info import content_type_of
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.errors import CMSError, NoMatchingKeyError, UnsupportedAlgorithmError
from tests.fakes.pki import make_ca
from tests.unit.cms.people import CONTENT, decryption_credential, detached, person, sealed

_PIECE_OCTETS = 41040
CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM


def _recipient(name: str = "alice", key: str = "rsa") -> Recipient:
    certificate = person(name, key).certificate
    return Recipient(certificate, key_encryption_for(certificate))


@pytest.mark.parametrize("cipher", ContentCipher, ids=lambda cipher: cipher.label)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 41039, 41040, 41041, 100_000])
def test_every_size_comes_back(cipher: ContentCipher, size: int) -> None:
    """Around blocks and pieces (RFC 5652, 6.3)."""
    bob = person("bob", "p256")
    content = bytes(number % 251 for number in range(size))
    octets = sealed([bob], cipher, content)
    assert decrypt(parse_enveloped(octets), (decryption_credential(bob),)) == content


@pytest.mark.parametrize("cipher", ContentCipher, ids=lambda cipher: cipher.label)
@pytest.mark.parametrize("size", [1, 1000, 50_000])
def test_length_is_known_and_result_stays_the_same(cipher: ContentCipher, size: int) -> None:
    """Whatever pieces came in; who reads again gets no octet under another key or nonce."""
    content = [bytes(size)] * (200_000 // size)
    written = encrypt(content, 200_000, [_recipient()], cipher)
    octets = b"".join(written)
    assert len(octets) == len(written)
    assert b"".join(written) == octets
    opened = decrypt(parse_enveloped(written), (decryption_credential(person()),))
    assert opened == bytes(200_000)


def test_content_is_read_while_the_result_is_taken() -> None:
    """Memory does not grow with the message."""
    taken = 0

    def content() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(_PIECE_OCTETS)

    pieces = encrypt(content(), 100 * _PIECE_OCTETS, [_recipient()], GCM)
    assert taken == 0
    for number, _ in enumerate(pieces, start=1):
        assert taken <= number + 1
    assert taken == 100


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda cipher: cipher.label)
@pytest.mark.parametrize("wrong", [-1, 1])
def test_wrong_length_is_an_error(cipher: ContentCipher, wrong: int) -> None:
    """The lengths at the start would lie (X.690, 10.1)."""
    with pytest.raises(ValueError, match="than was said"):
        list(encrypt((CONTENT,), len(CONTENT) + wrong, [_recipient()], cipher))


def test_nobody_to_encrypt_for_is_an_error() -> None:
    """Content that nobody can read is a mistake of the caller."""
    with pytest.raises(ValueError, match="without recipients"):
        encrypt((CONTENT,), len(CONTENT), [], CBC)


def test_key_encryption_of_another_kind_of_key_is_refused_at_once() -> None:
    """Before any piece is taken."""
    for certificate, key_encryption in (
        (person("bob", "p256").certificate, KeyEncryption.RSA_PKCS1V15),
        (person().certificate, KeyEncryption.ECDH_SHA256KDF),
    ):
        with pytest.raises(UnsupportedAlgorithmError):
            encrypt((CONTENT,), len(CONTENT), [Recipient(certificate, key_encryption)], CBC)


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda cipher: cipher.label)
def test_every_recipient_reads_and_nobody_else(cipher: ContentCipher) -> None:
    """RSA and elliptic curves side by side (RFC 5652, 6.2)."""
    people = [person(), person("bob", "p256"), person("carol", "p521")]
    enveloped = parse_enveloped(sealed(people, cipher))
    for issued in people:
        assert decrypt(enveloped, (decryption_credential(issued),)) == CONTENT
    with pytest.raises(NoMatchingKeyError):
        decrypt(enveloped, (decryption_credential(person("mallory", "p256")),))


def test_first_credential_that_can_is_taken() -> None:
    """Old and new keys are offered together (cases F24)."""
    enveloped = parse_enveloped(sealed([person()]))
    credentials = [decryption_credential(person(name)) for name in ("bob", "alice")]
    assert decrypt(enveloped, credentials) == CONTENT


def test_same_content_never_looks_the_same() -> None:
    """Content key and nonce are new each time."""
    first, second = (parse_enveloped(sealed([person()])) for _ in range(2))
    assert first.nonce != second.nonce
    assert b"".join(first.encrypted_content) != b"".join(second.encrypted_content)


def test_randomness_comes_from_the_argument() -> None:
    """Content key first, then the nonce."""
    asked: list[int] = []

    def rng(octets: int) -> bytes:
        asked.append(octets)
        return bytes(octets)

    octets = b"".join(encrypt((CONTENT,), len(CONTENT), [_recipient()], GCM, rng=rng))
    assert asked == [32, 12]
    assert parse_enveloped(octets).nonce == bytes(12)


@pytest.mark.parametrize(
    ("names", "version"), [((("alice", "rsa"),), 0), ((("alice", "rsa"), ("bob", "p256")), 2)]
)
def test_version_follows_the_recipients(names: tuple[tuple[str, str], ...], version: int) -> None:
    """0 with key transport by issuer and serial number only, else 2 (RFC 5652, 6.1)."""
    octets = sealed([person(*name) for name in names])
    content = asn1.read_document(octets).elements()[1].elements()[0]
    assert content.elements()[0].integer() == version


def test_only_gcm_is_authenticated() -> None:
    """What result fields call integrity."""
    assert not parse_enveloped(sealed([person()], CBC)).authenticated
    assert parse_enveloped(sealed([person()], GCM)).authenticated


def test_content_types_are_named() -> None:
    """From the outer OID (RFC 5652, 3; RFC 5083, 2)."""
    assert content_type_of(detached(person())) == "signed-data"
    assert content_type_of(sealed([person()], CBC)) == "enveloped-data"
    assert content_type_of(sealed([person()], GCM)) == "auth-enveloped-data"


def test_signed_data_is_no_envelope() -> None:
    """Each reader reads its own content type."""
    with pytest.raises(CMSError):
        parse_enveloped(detached(person()))


def test_recipient_without_usable_key_is_refused() -> None:
    """RSA below 2048 bits (limits.rsa_bits_min)."""
    weak = make_ca().issue("weak@ours.example", key="rsa1024").certificate
    with pytest.raises(UnsupportedAlgorithmError):
        encrypt((CONTENT,), len(CONTENT), [Recipient(weak, KeyEncryption.RSA_PKCS1V15)], CBC)
