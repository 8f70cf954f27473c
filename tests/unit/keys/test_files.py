"""The keystore in a directory: what is written, what is refused, what a running gateway sees."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.keys.key_object import KeyObject
from smimegw.addresses import Mailbox
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.errors import CertificateError, KeystoreError, UsageError
from tests.fakes.pki import DAY, NOW, Issued, make_ca, raw_rfc822

CA = make_ca("Files CA")
ALICE = CA.issue("alice@ours.example", key="p256")
BOB = CA.issue("bob@ours.example", key="p256")
KEK = KeyEncryptionKey(bytes(range(32)))
ADDRESS = Mailbox.parse("alice@ours.example")


def material(issued: Issued) -> KeyMaterial:
    return KeyMaterial(certificate=issued.certificate, chain=issued.chain, private_key=issued.key)


@pytest.fixture
def store(tmp_path: Path) -> FilesKeystore:
    """An empty, open keystore."""
    return FilesKeystore(tmp_path, KEK)


def signers(store: FilesKeystore, mailbox: Mailbox = ADDRESS) -> list[object]:
    found = asyncio.run(store.signing_credentials(mailbox))
    return [credential.certificate for credential in found]


def the_file(directory: Path, key: KeyObject) -> Path:
    (found,) = directory.glob(f"{key.identifier}*")
    return found


def rewrite(path: Path, **members: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


# --- writing -----------------------------------------------------------------------------------


def test_file_is_for_its_owner_only(store: FilesKeystore, tmp_path: Path) -> None:
    """Mode 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        path = the_file(tmp_path, store.add(material(ALICE)))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    """`prepare` makes it 0700 and may be called again."""
    store = FilesKeystore(tmp_path / "deep" / "keys", KEK)
    store.prepare()
    store.prepare()
    assert (tmp_path / "deep" / "keys").stat().st_mode & 0o077 == 0


def test_nothing_of_the_private_key_is_in_the_file(store: FilesKeystore, tmp_path: Path) -> None:
    """Without the key-encryption key the file gives no private key (cases M01)."""
    rsa = CA.issue("carol@ours.example")
    numbers = rsa.key.private_numbers()
    text = the_file(tmp_path, store.add(material(rsa))).read_bytes()
    for secret in (numbers.p, numbers.q, numbers.d):
        octets = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
        assert octets not in text
        assert octets.hex().encode() not in text.lower()
    pkcs8 = rsa.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for line in pkcs8.splitlines()[2:-2]:
        assert line not in text


def test_no_temporary_file_is_left(store: FilesKeystore, tmp_path: Path) -> None:
    """Neither after success nor after a refusal."""
    store.add(material(ALICE))
    with pytest.raises(UsageError):
        store.add(material(ALICE))
    assert len(list(tmp_path.iterdir())) == 1


def test_duplicate_is_refused_and_nothing_changes(store: FilesKeystore, tmp_path: Path) -> None:
    """A second import says how to replace the first one."""
    path = the_file(tmp_path, store.add(material(ALICE)))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"already in .*smimegw key remove"):
        store.add(material(ALICE))
    assert path.read_bytes() == before


def test_mailbox_of_somebody_else_is_refused(store: FilesKeystore) -> None:
    """The certificate must be for that address."""
    with pytest.raises(UsageError, match=r"not for <bob@ours\.example>"):
        store.add(material(ALICE), [Mailbox.parse("bob@ours.example")])


def test_mailboxes_can_be_fewer_than_in_the_certificate(store: FilesKeystore) -> None:
    """--address restricts a key to some of its mailboxes."""
    names = [raw_rfc822("alice@ours.example"), raw_rfc822("sales@ours.example")]
    both = CA.issue("alice@ours.example", key="p256", san=names)
    store.add(material(both), [Mailbox.parse("Sales@ours.example")])
    assert signers(store, Mailbox.parse("sales@ours.example")) == [both.certificate]
    assert signers(store) == []


def test_certificate_without_mailbox_is_refused(store: FilesKeystore) -> None:
    """Nobody could ever use it."""
    with pytest.raises(UsageError, match="no mailbox"):
        store.add(material(CA.issue(None, key="p256")))


def test_certificate_of_an_authority_is_refused(store: FilesKeystore) -> None:
    """CA keys do not belong into the gateway."""
    issued = Issued(certificate=CA.certificate, key=CA.key)
    with pytest.raises((CertificateError, UsageError)):
        store.add(material(issued), [])


def test_locked_keystore_takes_no_key(tmp_path: Path) -> None:
    """Nothing is ever written unsealed."""
    with pytest.raises(KeystoreError) as caught:
        FilesKeystore(tmp_path, None).add(material(ALICE))
    assert caught.value.locked
    assert list(tmp_path.iterdir()) == []


# --- purposes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa", "p256"])
@pytest.mark.parametrize(
    ("usage", "expected"), [("sign", (1, 0)), ("encrypt", (0, 1)), ("both", (1, 1)), (None, (1, 1))]
)
def test_key_usage_decides_what_a_key_is_offered_for(
    store: FilesKeystore, kind: str, usage: str | None, expected: tuple[int, int]
) -> None:
    """Separate keys for signing and encryption are kept apart (RFC 8550, 4.4.2)."""
    issued = CA.issue("alice@ours.example", key=kind, usage=usage)
    store.add(material(issued))
    name = CertificateIdentifier(key_identifier=issued.certificate.subject_key_identifier)
    readers = asyncio.run(store.decryption_credentials([name], [ADDRESS]))
    assert (len(signers(store)), len(readers)) == expected


def test_expired_certificate_stays_for_old_mail(store: FilesKeystore) -> None:
    """Encryption keys are kept for ever."""
    old = CA.issue("alice@ours.example", key="p256", not_after=NOW - DAY)
    store.add(material(old))
    name = CertificateIdentifier(key_identifier=old.certificate.subject_key_identifier)
    assert asyncio.run(store.decryption_credentials([name], [ADDRESS]))


def test_strict_local_part_per_domain(tmp_path: Path) -> None:
    """Domains that tell upper from lower case are respected."""
    store = FilesKeystore(tmp_path, KEK, strict_local_part=["ours.example"])
    store.add(material(ALICE))
    assert signers(store, Mailbox.parse("Alice@ours.example")) == []
    assert signers(store) == [ALICE.certificate]


# --- what is wrong with a file --------------------------------------------------------------------


def test_swapped_keys_do_not_open(store: FilesKeystore, tmp_path: Path) -> None:
    """Alice's file with Bob's sealed key is noticed (cases M03)."""
    alice = the_file(tmp_path, store.add(material(ALICE)))
    bob = the_file(tmp_path, store.add(material(BOB)))
    other = json.loads(bob.read_text())
    rewrite(alice, wrapped_key=other["wrapped_key"], sealed=other["sealed"])
    with pytest.raises(KeystoreError, match="belongs to another mailbox or certificate") as caught:
        signers(store)
    assert alice.name in str(caught.value)


def test_swapped_files_are_noticed(store: FilesKeystore, tmp_path: Path) -> None:
    """Two files that changed their names (cases M03)."""
    alice = the_file(tmp_path, store.add(material(ALICE)))
    bob = the_file(tmp_path, store.add(material(BOB)))
    first, second = alice.read_bytes(), bob.read_bytes()
    alice.write_bytes(second)
    bob.write_bytes(first)
    assert len(store.flaws()) == 2
    with pytest.raises(KeystoreError, match="fingerprint"):
        signers(store)


@pytest.mark.parametrize(
    "members",
    [{"mailboxes": ["alice@ours.example", "eve@ours.example"]}, {"purpose": "sign"}],
    ids=["mailboxes", "purpose"],
)
def test_edited_file_does_not_open(
    store: FilesKeystore, tmp_path: Path, members: dict[str, Any]
) -> None:
    """Somebody who can write the directory cannot use another's key (cases M03)."""
    path = the_file(tmp_path, store.add(material(ALICE)))
    rewrite(path, **members)
    with pytest.raises(KeystoreError, match="changed since it was written"):
        signers(store)


def test_file_edited_after_its_key_was_opened_does_not_open(
    store: FilesKeystore, tmp_path: Path
) -> None:
    """Opened keys in memory are no way around the seal (cases M03)."""
    path = the_file(tmp_path, store.add(material(ALICE)))
    assert signers(store)
    rewrite(path, mailboxes=["alice@ours.example", "eve@ours.example"])
    with pytest.raises(KeystoreError):
        signers(FilesKeystore(tmp_path, KEK), Mailbox.parse("eve@ours.example"))
    os.utime(tmp_path)
    with pytest.raises(KeystoreError):
        signers(store, Mailbox.parse("eve@ours.example"))


def test_wrong_key_encryption_key(store: FilesKeystore, tmp_path: Path) -> None:
    """Says which file wants which key, and what to set."""
    store.add(material(ALICE))
    with pytest.raises(KeystoreError, match=r"keystore\.key_encryption_key") as caught:
        signers(FilesKeystore(tmp_path, KeyEncryptionKey.generate()))
    assert caught.value.locked


@pytest.mark.parametrize(
    "octets",
    [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 2}', b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "list", "members", "format", "no-text", "deep"],
)
def test_broken_file_is_named(store: FilesKeystore, tmp_path: Path, octets: bytes) -> None:
    """The administrator learns which file it is; unknown is not none."""
    path = the_file(tmp_path, store.add(material(ALICE)))
    path.write_bytes(octets)
    with pytest.raises(KeystoreError, match=path.name):
        signers(store)


@pytest.mark.parametrize("member", ["certificates", "mailboxes", "wrapped_key", "sealed"])
@pytest.mark.parametrize("value", [None, 5, "", "x", [], ["x"], {}])
def test_broken_member_is_an_error_of_ours(
    store: FilesKeystore, tmp_path: Path, member: str, value: object
) -> None:
    """Whatever stands in the file, the answer is a KeystoreError."""
    rewrite(the_file(tmp_path, store.add(material(ALICE))), **{member: value})
    with pytest.raises(KeystoreError):
        asyncio.run(store.check())


def test_broken_file_does_not_hide_other_keys(store: FilesKeystore, tmp_path: Path) -> None:
    """Who has a readable key is served."""
    path = the_file(tmp_path, store.add(material(BOB)))
    store.add(material(ALICE))
    path.write_bytes(b"{")
    assert signers(store) == [ALICE.certificate]


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    """A wrong path must not look like "no keys"."""
    with pytest.raises(KeystoreError, match=r"keystore\.path"):
        signers(FilesKeystore(tmp_path / "nowhere", KEK))


def test_locked_keystore_still_says_whose_mail_it_is_not(tmp_path: Path) -> None:
    """While locked, mail that needs no key of ours goes on (R-49)."""
    FilesKeystore(tmp_path, KEK).add(material(ALICE))
    locked = FilesKeystore(tmp_path, None)
    assert signers(locked, Mailbox.parse("nobody@ours.example")) == []
    with pytest.raises(KeystoreError) as caught:
        signers(locked)
    assert caught.value.locked


def test_check_names_what_cannot_be_opened(store: FilesKeystore, tmp_path: Path) -> None:
    """For readiness: all is well, locked, and wrong key."""
    store.add(material(ALICE))
    asyncio.run(store.check())
    with pytest.raises(KeystoreError):
        asyncio.run(FilesKeystore(tmp_path, None).check())
    with pytest.raises(KeystoreError):
        asyncio.run(FilesKeystore(tmp_path, KeyEncryptionKey.generate()).check())


# --- a running gateway ----------------------------------------------------------------------------


def test_import_is_seen_without_restart(store: FilesKeystore, tmp_path: Path) -> None:
    """Another process adds a key, the running one uses it."""
    assert signers(store) == []
    FilesKeystore(tmp_path, KEK).add(material(ALICE))
    assert signers(store) == [ALICE.certificate]


def test_removal_is_seen_without_restart(store: FilesKeystore, tmp_path: Path) -> None:
    """A removed key is not used from memory."""
    key = store.add(material(ALICE))
    assert signers(store)
    FilesKeystore(tmp_path, KEK).remove(key)
    assert signers(store) == []


def test_two_changes_within_one_tick_are_both_seen(store: FilesKeystore, tmp_path: Path) -> None:
    """Coarse clocks of file systems hide the second change; a young time stamp proves nothing."""
    tick = (NOW + DAY).timestamp()
    os.utime(tmp_path, (tick, tick))
    assert signers(store) == []
    FilesKeystore(tmp_path, KEK).add(material(ALICE))
    os.utime(tmp_path, (tick, tick))
    assert signers(store) == [ALICE.certificate]


def test_unchanged_directory_is_not_read_again(store: FilesKeystore, tmp_path: Path) -> None:
    """A look-up costs one stat once the directory has settled."""
    path = the_file(tmp_path, store.add(material(ALICE)))
    long_ago = (NOW - DAY).timestamp()
    os.utime(tmp_path, (long_ago, long_ago))
    assert signers(store)
    path.chmod(0o000)
    path.write_bytes(b"broken")  # the directory's own time stamp stays
    assert signers(store)


def test_repr_of_credentials_shows_no_key(store: FilesKeystore) -> None:
    """Handles may be logged by accident."""
    store.add(material(ALICE))
    (credential,) = asyncio.run(store.signing_credentials(ADDRESS))
    assert "PrivateKey" not in repr(credential)


def test_look_up_does_not_grow_with_other_people_s_keys(
    store: FilesKeystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the keys of the mailbox in question are looked at (T-09)."""
    for issued in (ALICE, BOB, *(CA.issue(f"u{n}@ours.example", key="p256") for n in range(5))):
        store.add(material(issued))
    looked_at: list[KeyObject] = []
    is_of = store._is_of

    def counting(key: KeyObject, mailbox: Mailbox) -> bool:
        looked_at.append(key)
        return is_of(key, mailbox)

    monkeypatch.setattr(store, "_is_of", counting)
    assert signers(store) == [ALICE.certificate]
    assert [key.certificate for key in looked_at] == [ALICE.certificate]
