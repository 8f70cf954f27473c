"""Keys in a real token: what they sign verifies, what was encrypted to them opens."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pkcs11 import Attribute, ObjectClass, exceptions

from smimegw.adapters.pkcs11.keys import KINDS, Duty, TokenKey, TokenKeys
from smimegw.adapters.pkcs11.token import OpenSession, Token, TokenSettings
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.key_encryption_algorithms import KeyTransport, OAEPParameters
from smimegw.cms.keys import SoftwareDecryptionKey, oaep_padding
from smimegw.errors import DecryptionError, KeystoreError, UnsupportedAlgorithmError
from tests.fakes.pki import private_key
from tests.fakes.signatures import check_signature
from tests.peers.softhsm import MODULE, PIN, SoftToken, make_token

PKCS1 = KeyTransport()
OAEP_SHA1 = KeyTransport(
    oaep=OAEPParameters(digest=DigestAlgorithm.SHA1, mgf_digest=DigestAlgorithm.SHA1)
)
CONTENT_KEY = bytes(range(32))


@pytest.fixture(scope="module")
def soft() -> SoftToken:
    """A token for all tests that leave it as it was."""
    return make_token()


@pytest.fixture
def keys(soft: SoftToken) -> TokenKeys:
    """Its keys."""
    return TokenKeys(soft.open())


def _verify(key: TokenKey, octets: bytes, scheme: SignatureScheme, digest: DigestAlgorithm) -> None:
    check_signature(key.public_key, octets, b"data", scheme, digest)


SIGNATURES = [
    ("rsa-2048", SignatureScheme.RSA_PKCS1V15, DigestAlgorithm.SHA256),
    ("rsa-2048", SignatureScheme.RSA_PKCS1V15, DigestAlgorithm.SHA512),
    ("rsa-2048", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256),
    ("rsa-2048", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA384),
    ("p-256", SignatureScheme.ECDSA, DigestAlgorithm.SHA256),
    ("p-256", SignatureScheme.ECDSA, DigestAlgorithm.SHA512),  # longer than the curve's order
    ("p-384", SignatureScheme.ECDSA, DigestAlgorithm.SHA384),
    ("p-521", SignatureScheme.ECDSA, DigestAlgorithm.SHA512),
    ("brainpool-p256", SignatureScheme.ECDSA, DigestAlgorithm.SHA256),
    ("brainpool-p384", SignatureScheme.ECDSA, DigestAlgorithm.SHA384),
    ("ed25519", SignatureScheme.ED25519, DigestAlgorithm.SHA512),
]


@pytest.mark.parametrize(
    ("kind", "scheme", "digest"), SIGNATURES, ids=lambda value: str(getattr(value, "value", value))
)
def test_generated_key_signs(
    keys: TokenKeys, kind: str, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """The public key that the token tells verifies what its private half signed."""
    made = keys.generate(kind, label=f"{kind} {scheme.value}", duty=Duty.SIGN)
    found = keys.find(id=made.id)
    _verify(found, found.sign(b"data", scheme, digest), scheme, digest)


@pytest.mark.parametrize("kind", ["rsa", "p256", "brainpool256", "ed25519"])
def test_added_key_is_the_same_key(keys: TokenKeys, kind: str) -> None:
    """What was put into the token signs under the public key from before."""
    private = private_key(kind, "token")
    added = keys.add(private, label=kind)
    found = keys.find(id=added.id, label=kind)
    assert found.public_key == private.public_key()
    scheme = {"rsa": SignatureScheme.RSA_PSS, "ed25519": SignatureScheme.ED25519}.get(
        kind, SignatureScheme.ECDSA
    )
    octets = found.sign(b"data", scheme, DigestAlgorithm.SHA256)
    _verify(found, octets, scheme, DigestAlgorithm.SHA256)


@pytest.mark.parametrize("transport", [PKCS1, OAEP_SHA1], ids=["pkcs1", "oaep-sha1"])
def test_rsa_key_decrypts(keys: TokenKeys, transport: KeyTransport) -> None:
    """A content key that was encrypted to the certificate's key comes back."""
    key = keys.generate("rsa-2048", label="reader", duty=Duty.DECRYPT)
    assert isinstance(key.public_key, rsa.RSAPublicKey)
    encrypted = key.public_key.encrypt(CONTENT_KEY, oaep_padding(transport) or padding.PKCS1v15())
    assert key.decrypt(encrypted, transport) == CONTENT_KEY


@pytest.mark.parametrize(
    ("encrypted", "transport"),
    [(b"\x01" * 256, PKCS1), (b"\x01" * 256, OAEP_SHA1), (b"short", PKCS1), (b"", PKCS1)],
    ids=["pkcs1", "oaep", "short", "empty"],
)
def test_what_does_not_decrypt_always_looks_alike(
    keys: TokenKeys, encrypted: bytes, transport: KeyTransport
) -> None:
    """The token's word for wrong padding goes no further (T-07, RFC 3218, 2.3.2)."""
    key = keys.generate("rsa-2048", label="reader", duty=Duty.DECRYPT)
    with pytest.raises(DecryptionError, match=r"^decryption failed$"):
        key.decrypt(encrypted, transport)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.BrainpoolP256R1()])
def test_agreed_secret_is_the_peer_s(keys: TokenKeys, curve: ec.EllipticCurve) -> None:
    """Both sides of ECDH get one secret."""
    private = ec.generate_private_key(curve)
    key = keys.add(private, label="agrees", duty=Duty.DECRYPT)
    peer = ec.generate_private_key(curve)
    secret = SoftwareDecryptionKey(peer).exchange(private.public_key())
    assert key.exchange(peer.public_key()) == secret


def test_agreement_with_another_curve_is_refused(keys: TokenKeys) -> None:
    """A point of another curve never reaches the token."""
    key = keys.generate("p-256", label="agrees", duty=Duty.DECRYPT)
    with pytest.raises(DecryptionError):
        key.exchange(ec.generate_private_key(ec.SECP384R1()).public_key())


def test_key_for_reading_does_not_sign(keys: TokenKeys) -> None:
    """The token itself keeps a key to its duty."""
    key = keys.generate("rsa-2048", label="reader", duty=Duty.DECRYPT)
    with pytest.raises(UnsupportedAlgorithmError):
        key.sign(b"data", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256)


@pytest.mark.parametrize("kind", KINDS)
def test_private_half_never_leaves(soft: SoftToken, kind: str) -> None:
    """The private value of a key that was made in the token is refused (cases M01)."""
    token = soft.open()
    made = TokenKeys(token).generate(kind, label="secret")
    name = Attribute.PRIVATE_EXPONENT if kind.startswith("rsa") else Attribute.VALUE

    wanted = {Attribute.ID: made.id, Attribute.CLASS: ObjectClass.PRIVATE_KEY}

    def read(opened: OpenSession) -> object:
        (found,) = opened.session.get_objects(wanted)
        return found[name]

    with pytest.raises(KeystoreError) as caught:
        token.use(read)
    assert isinstance(caught.value.__cause__, exceptions.AttributeSensitive)


def test_removed_key_is_gone(keys: TokenKeys) -> None:
    """After removal neither half is found, and a handle that was kept fails."""
    key = keys.generate("p-256", label="short-lived")
    keys.remove(key)
    with pytest.raises(KeystoreError, match="holds 0 private keys"):
        keys.find(id=key.id)
    with pytest.raises(KeystoreError):
        key.sign(b"data", SignatureScheme.ECDSA, DigestAlgorithm.SHA256)


# --- the token itself ----------------------------------------------------------------------------


def test_wrong_pin_is_tried_once() -> None:
    """Tokens lock after few wrong PINs, so the same one never goes there twice (cases M10)."""
    fresh = make_token()
    token = fresh.open(lambda: "999999")
    for _ in range(20):  # SoftHSM locks after 15
        with pytest.raises(KeystoreError, match="refuses the PIN") as caught:
            token.check()
        assert caught.value.locked
    assert not caught.value.retryable
    fresh.open().check()


def test_corrected_pin_is_seen() -> None:
    """The administrator corrects the file, and the next use opens (cases M10)."""
    written = ["111111"]
    token = make_token().open(lambda: written[-1])
    with pytest.raises(KeystoreError):
        token.check()
    written.append(PIN)
    token.check()


def test_lost_sessions_are_opened_again() -> None:
    """What took all sessions away costs one retry, no error (R-14)."""
    soft = make_token()
    token = soft.open()
    key = TokenKeys(token).generate("p-256", label="signs")
    key.sign(b"data", SignatureScheme.ECDSA, DigestAlgorithm.SHA256)
    library = ctypes.CDLL(str(MODULE))
    slot = token.use(lambda opened: opened.session.token.slot.slot_id)
    assert library.C_CloseAllSessions(ctypes.c_ulong(slot)) == 0
    octets = key.sign(b"data", SignatureScheme.ECDSA, DigestAlgorithm.SHA256)
    _verify(key, octets, SignatureScheme.ECDSA, DigestAlgorithm.SHA256)


def test_absent_token_is_found_when_it_comes() -> None:
    """An absent token is an error that says so, and no restart is needed later (cases M10)."""
    token = Token(TokenSettings(module=MODULE, label="late comer", pin=lambda: PIN))
    with pytest.raises(KeystoreError, match="is not there"):
        token.check()
    make_token("late comer")
    token.check()


def test_missing_library_says_what_to_do(tmp_path: Path) -> None:
    """The error names the library."""
    token = Token(TokenSettings(module=tmp_path / "none.so", label="x", pin=lambda: PIN))
    with pytest.raises(KeystoreError, match=r"none\.so cannot be used"):
        token.check()


def test_many_threads_use_one_token(keys: TokenKeys) -> None:
    """More threads than sessions take turns, and all get signatures that hold."""
    key = keys.generate("p-256", label="busy", duty=Duty.SIGN)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                octets = key.sign(b"data", SignatureScheme.ECDSA, DigestAlgorithm.SHA256)
                _verify(key, octets, SignatureScheme.ECDSA, DigestAlgorithm.SHA256)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_two_users_of_a_token_do_not_log_each_other_out_for_good(soft: SoftToken) -> None:
    """The login belongs to the process; whoever loses it logs in again."""
    one, two = soft.open(), soft.open()
    key = TokenKeys(one).generate("p-256", label="shared")
    two.check()
    one.close()
    gc.collect()
    assert TokenKeys(two).find(id=key.id).id == key.id
    one.close()
    two.check()


def test_nothing_shows_the_pin(soft: SoftToken) -> None:
    """Neither settings nor tokens nor keys print it."""
    token = soft.open()
    key = TokenKeys(token).generate("p-256", label="quiet")
    assert PIN not in f"{token!r} {token.settings!r} {key!r}"
