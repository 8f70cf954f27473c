"""Software keys do what a handle promises and tell nothing."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.envelope import parse_enveloped
from smimegw.cms.key_encryption_algorithms import KeyTransport, OAEPParameters
from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey, SoftwareSigningKey
from smimegw.errors import DecryptionError, KeystoreError, UnsupportedAlgorithmError
from tests.unit.cms.people import decryption_credential, person, sealed, signing_credential

OAEP = KeyTransport(
    oaep=OAEPParameters(digest=DigestAlgorithm.SHA256, mgf_digest=DigestAlgorithm.SHA256)
)


def test_repr_shows_no_key() -> None:
    """Key material never reaches a log."""
    alice = person()
    handles = [SoftwareSigningKey(alice.key), SoftwareDecryptionKey(alice.key)]
    shown = repr([*handles, signing_credential(alice), decryption_credential(alice)])
    assert "PrivateKey" not in shown


@pytest.mark.parametrize(
    ("key", "scheme"),
    [
        ("rsa", SignatureScheme.ECDSA),
        ("p256", SignatureScheme.RSA_PKCS1V15),
        ("p256", SignatureScheme.RSA_PSS),
    ],
)
def test_scheme_of_another_kind_of_key_is_refused(key: str, scheme: SignatureScheme) -> None:
    """A key never signs in a way that its certificate does not say."""
    handle = SoftwareSigningKey(person("kinds", key).key)
    with pytest.raises(UnsupportedAlgorithmError):
        handle.sign(b"data", scheme, DigestAlgorithm.SHA256)


def test_crypto_library_rejects_pkcs1_padding_implicitly() -> None:
    """Bad padding gives random-looking octets, the same each time, and no error (RFC 3218).

    The code does not rely on it; that the wheel loses it should be known all the same.
    """
    key = person().key
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.public_key().public_numbers()
    handle = SoftwareDecryptionKey(key)
    for number in range(20):
        block = (b"\x00\x07" + bytes((number,)) * 254).rjust(256, b"\0")
        encrypted = pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(256, "big")
        found = handle.decrypt(encrypted, KeyTransport())
        assert found == handle.decrypt(encrypted, KeyTransport())
        assert found != block


def test_bad_oaep_is_a_decryption_error_without_cause() -> None:
    """Whatever the library says stays inside."""
    handle = SoftwareDecryptionKey(person().key)
    with pytest.raises(DecryptionError) as caught:
        handle.decrypt(bytes(256), OAEP)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_exchange_with_another_curve_is_a_decryption_error() -> None:
    """Keys of different curves have nothing in common (RFC 5753, 3.1)."""
    peer = person("other", "p384").key.public_key()
    with pytest.raises(DecryptionError):
        SoftwareDecryptionKey(person("bob", "p256").key).exchange(peer)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [b"", b"k" * 16, b"k" * 31, b"k" * 33, None], ids=repr)
def test_wrong_pkcs1_answers_become_random_keys(answer: bytes | None) -> None:
    """Tokens that report bad padding, or give another length, decide nothing (RFC 3218, 2.3.2)."""

    class Token:
        def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
            if answer is None:
                raise DecryptionError
            return answer

        def exchange(self, peer_public_key: object) -> bytes:
            raise AssertionError

    alice = person()
    (info,) = parse_enveloped(sealed([alice])).recipient_infos
    credential = DecryptionCredential(alice.certificate, Token())
    assert info.content_key(credential, 32) != info.content_key(credential, 32)
    assert len(info.content_key(credential, 32)) == 32


def test_keystore_that_does_not_answer_is_not_a_decryption_error() -> None:
    """A sealed keystore delays mail; it must not look like mail that cannot be opened (R-49)."""

    class Sealed:
        def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
            raise KeystoreError("sealed", locked=True)

        def exchange(self, peer_public_key: object) -> bytes:
            raise KeystoreError("sealed", locked=True)

    for issued in (person(), person("bob", "p256")):
        (info,) = parse_enveloped(sealed([issued])).recipient_infos
        with pytest.raises(KeystoreError):
            info.content_key(DecryptionCredential(issued.certificate, Sealed()), 32)
