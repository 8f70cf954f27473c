"""What every `ports.Keystore` promises, whatever keeps the keys."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, KeyRing
from smimegw.adapters.pkcs11.holder import TokenHolder
from smimegw.adapters.pkcs11.key_encryption import TokenKeyEncryption, generate
from smimegw.adapters.pkcs11.token import Token
from smimegw.addresses import Mailbox
from smimegw.cms import envelope
from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    SignatureScheme,
    key_encryption_for,
)
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.cms.keys import DecryptionCredential, SigningCredential, SoftwareDecryptionKey
from smimegw.cms.recipient_info import Recipient
from smimegw.content import Content
from smimegw.errors import DecryptionError, KeystoreError, UnsupportedAlgorithmError, UsageError
from smimegw.ports import Keystore
from tests.fakes.pki import DAY, NOW, Issued, make_ca
from tests.fakes.ports import MemoryKeystore
from tests.fakes.signatures import check_signature
from tests.peers.key_agent import RunningAgent
from tests.peers.softhsm import make_token

CA = make_ca("Contract CA")
OLD = CA.issue("alice@ours.example", not_before=NOW - 100 * DAY)
NEW = CA.issue("alice@ours.example", not_before=NOW - 3 * DAY, slot="alice new")
BOB = CA.issue("bob@ours.example", key="p256")
ALICE = Mailbox.parse("alice@ours.example")
KEK = KeyEncryptionKey(bytes(range(32)))
TEXT = b"the price is 100 EUR"

Make = Callable[..., Keystore]


@functools.cache
def token() -> Token:
    """One token for all tests of this process."""
    return make_token().open()


def files(directory: Path, issued: Sequence[Issued]) -> FilesKeystore:
    """On files."""
    store = FilesKeystore(directory, KEK)
    for item in issued:
        store.add(material(item))
    return store


def in_token(directory: Path, issued: Sequence[Issued]) -> FilesKeystore:
    """The private keys in a token, and the key-encryption key as well."""
    ring = KeyRing(TokenKeyEncryption(token(), "contract"))
    store = FilesKeystore(directory, ring, token=TokenHolder(token()))
    with contextlib.suppress(UsageError):  # made already
        generate(token(), "contract")
    for item in issued:
        store.add_to_token(material(item))
    return store


def material(item: Issued) -> KeyMaterial:
    """What an administrator imports."""
    return KeyMaterial(certificate=item.certificate, chain=item.chain, private_key=item.key)


@pytest.fixture(params=["files", "token", "agent", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """A keystore with these keys, locked or not."""
    with contextlib.ExitStack() as stack:

        def make(*issued: Issued, locked: bool = False) -> Keystore:
            if request.param == "memory":
                return MemoryKeystore(held=list(issued), locked=locked)
            store = (in_token if request.param == "token" else files)(tmp_path, issued)
            store = FilesKeystore(tmp_path, None) if locked else store
            if request.param != "agent":
                return store
            socket = tmp_path / "agent.sock"
            stack.enter_context(RunningAgent(store, socket))
            asked = AgentKeystore(socket)
            stack.callback(asyncio.run, asked.close())
            return asked

        yield make


def _name(issued: Issued) -> CertificateIdentifier:
    return CertificateIdentifier(key_identifier=issued.certificate.subject_key_identifier)


def _signers(store: Keystore, mailbox: Mailbox = ALICE) -> list[object]:
    found = asyncio.run(store.signing_credentials(mailbox))
    return [credential.certificate for credential in found]


def _readers(
    store: Keystore, names: Sequence[Issued], owners: Sequence[Mailbox] = (ALICE,)
) -> list[object]:
    identifiers = [_name(issued) for issued in names]
    found = asyncio.run(store.decryption_credentials(identifiers, owners))
    return [credential.certificate for credential in found]


def test_nobody_s_mailbox_has_none(make: Make) -> None:
    """No key is an empty answer, not an error."""
    store = make(BOB)
    assert _signers(store) == []
    assert _readers(store, [BOB]) == []


def test_signing_credential_carries_certificate_path_and_a_key_that_signs(make: Make) -> None:
    """The handle belongs to the certificate, and the path goes along."""
    (credential,) = asyncio.run(make(OLD, BOB).signing_credentials(ALICE))
    assert credential.certificate == OLD.certificate
    assert credential.chain == OLD.chain
    octets = credential.key.sign(b"data", SignatureScheme.RSA_PKCS1V15, DigestAlgorithm.SHA256)
    assert len(octets) == 256


def test_case_of_the_local_part_does_not_count(make: Make) -> None:
    """Mailboxes are compared as `Mailbox.same_as` does."""
    assert _signers(make(BOB), Mailbox.parse("Bob@OURS.example")) == [BOB.certificate]


def test_decryption_credential_needs_a_named_certificate(make: Make) -> None:
    """A key that the message does not name is not offered."""
    store = make(OLD, NEW)
    assert _readers(store, [OLD]) == [OLD.certificate]
    assert set(_readers(store, [NEW, OLD])) == {OLD.certificate, NEW.certificate}


def test_decryption_credential_needs_its_owner(make: Make) -> None:
    """A key opens only mail of its own mailbox (T-06, cases J09)."""
    store = make(OLD, BOB)
    assert _readers(store, [OLD], [Mailbox.parse("bob@ours.example")]) == []
    assert _readers(store, [OLD], []) == []


def test_locked_keystore_says_so(make: Make) -> None:
    """Locked is told apart from empty (R-13, R-49)."""
    store = make(OLD, locked=True)
    with pytest.raises(KeystoreError) as caught:
        _signers(store)
    assert caught.value.locked
    with pytest.raises(KeystoreError) as caught:
        _readers(store, [OLD])
    assert caught.value.locked


def test_newest_signing_credential_comes_first(make: Make) -> None:
    """The certificate with the latest notBefore signs."""
    store = make(OLD, NEW)
    assert _signers(store) == [NEW.certificate, OLD.certificate]


# --- what keys do --------------------------------------------------------------------------------

SIGNATURES = [
    ("rsa", SignatureScheme.RSA_PKCS1V15, DigestAlgorithm.SHA256),
    ("rsa", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256),
    ("rsa", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA512),
    ("p256", SignatureScheme.ECDSA, DigestAlgorithm.SHA256),
    ("p384", SignatureScheme.ECDSA, DigestAlgorithm.SHA384),
    ("p521", SignatureScheme.ECDSA, DigestAlgorithm.SHA512),
    ("brainpool256", SignatureScheme.ECDSA, DigestAlgorithm.SHA256),
    ("ed25519", SignatureScheme.ED25519, DigestAlgorithm.SHA512),
]


def _person(kind: str) -> Issued:
    return CA.issue("alice@ours.example", key=kind, slot=f"alice {kind}")


def _signer(store: Keystore) -> SigningCredential:
    return asyncio.run(store.signing_credentials(ALICE))[0]


def _reader(store: Keystore, issued: Issued) -> DecryptionCredential:
    (found,) = asyncio.run(store.decryption_credentials([_name(issued)], [ALICE]))
    return found


@pytest.mark.parametrize(
    ("kind", "scheme", "digest"), SIGNATURES, ids=lambda value: str(getattr(value, "value", value))
)
def test_every_kind_of_key_signs(
    make: Make, kind: str, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """The certificate's key verifies what the handle signed."""
    credential = _signer(make(_person(kind)))
    octets = credential.key.sign(TEXT, scheme, digest)
    check_signature(credential.certificate.public_key, octets, TEXT, scheme, digest)


def test_key_refuses_another_scheme(make: Make) -> None:
    """An EC key makes no RSA signature, wherever it is."""
    credential = _signer(make(_person("p256")))
    with pytest.raises(UnsupportedAlgorithmError):
        credential.key.sign(TEXT, SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256)


def _mail(issued: Issued) -> bytes:
    recipient = Recipient(issued.certificate, key_encryption_for(issued.certificate))
    pieces = envelope.encrypt([TEXT], len(TEXT), [recipient], ContentCipher.AES_256_CBC)
    return b"".join(pieces)


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "brainpool256"])
def test_what_was_encrypted_to_a_key_opens(make: Make, kind: str) -> None:
    """Key transport and key agreement, through a whole EnvelopedData (RFC 5652, 6)."""
    issued = _person(kind)
    enveloped = envelope.parse_enveloped(_mail(issued))
    opened = envelope.decrypt(enveloped, [_reader(make(issued), issued)])
    assert b"".join(Content.of(opened)) == TEXT


def test_mail_to_last_year_s_key_opens(make: Make) -> None:
    """A new key does not shut old mail: the message names the old certificate."""
    store = make(OLD, NEW)
    enveloped = envelope.parse_enveloped(_mail(OLD))
    found = asyncio.run(store.decryption_credentials(enveloped.recipient_ids, [ALICE]))
    assert [credential.certificate for credential in found] == [OLD.certificate]
    assert b"".join(Content.of(envelope.decrypt(enveloped, found))) == TEXT


def test_wrong_padding_tells_nothing(make: Make) -> None:
    """Either the one error of all failures, or octets that mean nothing (T-07)."""
    key = _reader(make(OLD), OLD).key
    opened: list[bytes] = []
    with contextlib.suppress(DecryptionError):
        opened.append(key.decrypt(b"\x01" * 256, KeyTransport()))
    assert b"\x01" * 256 not in opened
    assert all(len(octets) < 256 - 11 + 1 for octets in opened)  # RFC 8017, 7.2.1


def test_wrong_padding_becomes_a_random_content_key(make: Make) -> None:
    """Who sent it learns nothing from what we do next (T-07, RFC 3218, 2.3.2)."""
    (info,) = envelope.parse_enveloped(_mail(OLD)).recipient_infos
    wrong = dataclasses.replace(info, encrypted_key=b"\x01" * 256)
    assert len(wrong.content_key(_reader(make(OLD), OLD), 32)) == 32


def test_agreement_with_a_point_of_another_curve_fails(make: Make) -> None:
    """The one error of all failures (T-07)."""
    issued = _person("p256")
    key = _reader(make(issued), issued).key
    with pytest.raises(DecryptionError):
        key.exchange(CA.issue("eve@evil.example", key="p384").key.public_key())


def test_both_sides_agree_on_one_secret(make: Make) -> None:
    """Raw ECDH, as the peer computes it."""
    issued, peer = _person("p256"), CA.issue("eve@evil.example", key="p256")
    secret = SoftwareDecryptionKey(peer.key).exchange(issued.key.public_key())
    assert _reader(make(issued), issued).key.exchange(peer.key.public_key()) == secret


def test_nothing_of_a_key_is_shown(make: Make) -> None:
    """No handle, credential or keystore has key material in its repr (cases M01)."""
    store = make(OLD)
    credential, reading = _signer(store), _reader(store, OLD)
    shown = f"{store!r} {credential!r} {reading!r} {credential.key!r} {reading.key!r}"
    numbers = OLD.key.private_numbers()
    for secret in (numbers.d, numbers.p, numbers.q):
        assert f"{secret:x}" not in shown
        assert str(secret) not in shown
