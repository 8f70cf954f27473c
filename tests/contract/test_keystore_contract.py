"""What every `ports.Keystore` promises, whatever keeps the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.errors import KeystoreError
from smimegw.ports import Keystore
from tests.fakes.pki import DAY, NOW, Issued, make_ca
from tests.fakes.ports import MemoryKeystore

CA = make_ca("Contract CA")
OLD = CA.issue("alice@ours.example", not_before=NOW - 100 * DAY)
NEW = CA.issue("alice@ours.example", not_before=NOW - 3 * DAY, slot="alice new")
BOB = CA.issue("bob@ours.example", key="p256")
ALICE = Mailbox.parse("alice@ours.example")

Make = Callable[..., Keystore]


@pytest.fixture(params=["files", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A keystore with these keys, locked or not."""

    def files(*issued: Issued, locked: bool = False) -> Keystore:
        kek = KeyEncryptionKey.generate()
        store = FilesKeystore(tmp_path, kek)
        for item in issued:
            store.add(
                KeyMaterial(certificate=item.certificate, chain=item.chain, private_key=item.key)
            )
        return FilesKeystore(tmp_path, None) if locked else store

    def memory(*issued: Issued, locked: bool = False) -> Keystore:
        return MemoryKeystore(held=list(issued), locked=locked)

    return files if request.param == "files" else memory


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
