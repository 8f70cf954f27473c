"""Agreement with X25519, X448 and Brainpool keys: who may, and what never works (RFC 8418)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import x448, x25519

from smimegw.cms.algorithms import (
    ContentCipher,
    KeyEncryption,
    key_encryption_for,
    signature_scheme_for,
)
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.keys import SoftwareDecryptionKey
from smimegw.errors import DecryptionError, UnsupportedAlgorithmError
from tests.fakes.pki import Issued, make_ca
from tests.unit.cms.people import CONTENT, decryption_credential, sealed

KINDS = ["x25519", "x448", "brainpool256", "brainpool384", "brainpool512"]


def _person(kind: str, name: str = "alice") -> Issued:
    ca = make_ca("Agreement CA")
    return ca.issue(f"{name}@ours.example", key=kind, usage="encrypt", slot=f"agree/{name}")


@pytest.mark.parametrize("cipher", [ContentCipher.AES_128_CBC, ContentCipher.AES_256_GCM])
@pytest.mark.parametrize("kind", KINDS)
def test_what_we_encrypt_opens(kind: str, cipher: ContentCipher) -> None:
    """Each kind of key with both kinds of envelope (RFC 5753, RFC 8418)."""
    alice = _person(kind)
    enveloped = parse_enveloped(sealed([alice], cipher))
    assert decrypt(enveloped, (decryption_credential(alice),)) == CONTENT


def test_all_kinds_of_recipients_in_one_message() -> None:
    """Each opens with its own key (RFC 5652, 6.2)."""
    people = [_person(kind) for kind in (*KINDS, "rsa", "p256", "p521")]
    enveloped = parse_enveloped(sealed(people))
    for person in people:
        assert decrypt(enveloped, (decryption_credential(person),)) == CONTENT


@pytest.mark.parametrize("kind", ["x25519", "x448"])
def test_another_key_of_the_same_kind_does_not_open(kind: str) -> None:
    """The right certificate with somebody else's key."""
    alice, bob = _person(kind), _person(kind, "bob")
    mixed = Issued(certificate=alice.certificate, key=bob.key, chain=alice.chain)
    with pytest.raises(DecryptionError):
        decrypt(parse_enveloped(sealed([alice])), (decryption_credential(mixed),))


@pytest.mark.parametrize("kind", ["x25519", "x448"])
def test_montgomery_keys_do_not_sign(kind: str) -> None:
    """They agree (RFC 8410, 5)."""
    with pytest.raises(UnsupportedAlgorithmError):
        signature_scheme_for(_person(kind).certificate)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_other_keys_do_not_agree(kind: str) -> None:
    """An agreement needs a key that can."""
    certificate = _person(kind).certificate
    recipient = Recipient(certificate, KeyEncryption.ECDH_HKDF_SHA256)
    with pytest.raises(UnsupportedAlgorithmError):
        encrypt((CONTENT,), len(CONTENT), [recipient], ContentCipher.AES_256_CBC)


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("x25519", x25519.X25519PublicKey.from_public_bytes(bytes(32))),
        ("x25519", x25519.X25519PublicKey.from_public_bytes(b"\1" + bytes(31))),
        ("x448", x448.X448PublicKey.from_public_bytes(bytes(56))),
    ],
)
def test_points_without_a_secret_are_refused(
    kind: str, point: x25519.X25519PublicKey | x448.X448PublicKey
) -> None:
    """A secret of zeros is everybody's (RFC 7748, 6)."""
    with pytest.raises(DecryptionError):
        SoftwareDecryptionKey(_person(kind).key).exchange(point)


def test_certificate_with_a_point_without_a_secret_is_not_written_to() -> None:
    """Whoever made it could read, and everybody else (RFC 7748, 6.1)."""

    class Weak:
        def public_key(self) -> x25519.X25519PublicKey:
            return x25519.X25519PublicKey.from_public_bytes(bytes(32))

    issued = make_ca("Agreement CA").issue(key=Weak(), usage="encrypt")  # type: ignore[arg-type]
    recipient = Recipient(issued.certificate, key_encryption_for(issued.certificate))
    with pytest.raises(UnsupportedAlgorithmError, match="weak point"):
        encrypt((CONTENT,), len(CONTENT), [recipient], ContentCipher.AES_256_CBC)


@pytest.mark.parametrize("peer", ["p256", "x448", "x25519"])
def test_keys_of_different_kinds_have_nothing_in_common(peer: str) -> None:
    """An answer for each pair, never a secret."""
    for own in {"p384", "x448", "x25519"} - {peer}:
        with pytest.raises(DecryptionError):
            SoftwareDecryptionKey(_person(own).key).exchange(_person(peer).key.public_key())
