"""Rotation of the key-encryption key: whole at every step, and nothing comes back from it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, KeyRing
from smimegw.errors import KeystoreError
from tests.fakes.pki import Issued, make_ca

CA = make_ca("Rotation CA")
PEOPLE = [CA.issue(f"{name}@ours.example", key="p256") for name in ("alice", "bob", "carol")]
OLD = KeyEncryptionKey(bytes(range(32)))
NEW = KeyEncryptionKey(bytes(range(1, 33)))
BOTH = KeyRing(NEW, [OLD])


def material(issued: Issued) -> KeyMaterial:
    return KeyMaterial(certificate=issued.certificate, chain=issued.chain, private_key=issued.key)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Three keys under the old key-encryption key."""
    store = FilesKeystore(tmp_path, OLD)
    for issued in PEOPLE:
        store.add(material(issued))
    return tmp_path


def test_half_rotated_keystore_opens_with_both(keys: Path) -> None:
    """Meanwhile a gateway that knows both reads everything."""
    next(FilesKeystore(keys, BOTH).rewrap())
    asyncio.run(FilesKeystore(keys, BOTH).check())


def test_stopped_rotation_goes_on_where_it_was(keys: Path) -> None:
    """The second run does what is left and no more."""
    next(FilesKeystore(keys, BOTH).rewrap())
    assert len(list(FilesKeystore(keys, BOTH).rewrap())) == 2
    asyncio.run(FilesKeystore(keys, NEW).check())


def test_killed_rotation_leaves_a_whole_keystore(keys: Path) -> None:
    """Killed between two keys, both key-encryption keys still open all, and a rerun ends it."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from smimegw.adapters.keys.files import FilesKeystore\n"
        "from smimegw.adapters.keys.key_encryption import KeyEncryptionKey as K, KeyRing\n"
        "ring = KeyRing(K(bytes(range(1, 33))), [K(bytes(range(32)))])\n"
        "steps = FilesKeystore(Path(sys.argv[1]), ring).rewrap()\n"
        "next(steps), os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(keys)], check=False, env=os.environ)
    assert ended.returncode == -signal.SIGKILL
    asyncio.run(FilesKeystore(keys, BOTH).check())
    assert len(list(FilesKeystore(keys, BOTH).rewrap())) == 2
    asyncio.run(FilesKeystore(keys, NEW).check())


def test_key_that_was_removed_meanwhile_stays_removed(keys: Path) -> None:
    """Rotation never writes a file that somebody deleted after it was read."""
    store = FilesKeystore(keys, BOTH)
    victim = store.objects()[1]
    steps = store.rewrap()
    next(steps)
    store.remove(victim)
    assert (victim, False) in list(steps)
    assert victim.identifier not in {key.identifier for key in store.objects()}


def test_rotation_without_the_earlier_key_says_what_is_missing(keys: Path) -> None:
    """The text names the file, the key that is wanted and where to configure it."""
    with pytest.raises(KeystoreError, match="previous_key_encryption_keys") as caught:
        list(FilesKeystore(keys, NEW).rewrap())
    assert OLD.identifier in str(caught.value)
    assert str(keys) in str(caught.value)


def test_swapped_files_are_not_rotated(keys: Path) -> None:
    """What was moved to another key's place does not get a new seal (cases M03)."""
    first, second, _ = sorted(keys.glob("*.json"))
    one, two = first.read_text(), second.read_text()
    first.write_text(one.replace(_part(one), _part(two)))
    with pytest.raises(KeystoreError, match="changed since"):
        list(FilesKeystore(keys, BOTH).rewrap())


def _part(text: str) -> str:
    return text.split('"wrapped_key": "')[1].partition(chr(34))[0]


def test_running_gateway_keeps_its_opened_keys(keys: Path) -> None:
    """A gateway that knows both goes on during and after the rotation."""
    gateway = FilesKeystore(keys, BOTH)
    address = PEOPLE[0].certificate.mailboxes[0]
    asyncio.run(gateway.signing_credentials(address))
    for _ in FilesKeystore(keys, BOTH).rewrap():
        assert len(asyncio.run(gateway.signing_credentials(address))) == 1
    assert len(asyncio.run(gateway.signing_credentials(address))) == 1
