"""From the configuration to the keystore: each way to a key-encryption key, and what may lack."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path

import pytest

from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, KeyRing
from smimegw.adapters.keys.passphrase import protect
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.addresses import Mailbox
from smimegw.config.choices import LogFormat
from smimegw.config.load import load
from smimegw.errors import ConfigurationError, KeystoreError
from smimegw.keystores import files_keystore, gateway_keystore, generate_in_token
from tests.fakes.pki import make_ca
from tests.peers.softhsm import MODULE, PIN, make_token

CA = make_ca("Keystores CA")
ALICE = CA.issue("alice@ours.example", key="p256")
ADDRESS = Mailbox.parse("alice@ours.example")
OLD, NEW = KeyEncryptionKey.generate(), KeyEncryptionKey.generate()

_TEXT = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "state"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10036"
"""


class Place:
    """A directory with a configuration and a keystore."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "old").write_bytes(OLD.export())
        (directory / "new").write_bytes(NEW.export())
        (directory / "pin").write_text(PIN)
        (directory / "passphrase").write_text("correct horse\n")
        self.log = io.StringIO()

    def write(self, keystore: str) -> Path:
        path = self.directory / "smimegw.toml"
        path.write_text(_TEXT + keystore)
        return path

    def fill(self, key: KeyEncryptionKey | KeyRing) -> None:
        store = FilesKeystore(self.directory / "state" / "keys", key)
        store.prepare()
        store.add(
            KeyMaterial(certificate=ALICE.certificate, chain=ALICE.chain, private_key=ALICE.key)
        )

    def open(self, keystore: str) -> FilesKeystore:
        return files_keystore(load(self.write(keystore), check_files=False))

    def run(self, keystore: str) -> FilesKeystore | AgentKeystore:
        events = LoggedEvents(stream=self.log, form=LogFormat.JSON)
        return gateway_keystore(load(self.write(keystore), check_files=False), events)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """With both key-encryption keys, a PIN and a passphrase in files."""
    return Place(tmp_path)


def test_previous_key_opens_what_is_not_rotated_yet(place: Place) -> None:
    """Both are named, and the gateway reads keys under either."""
    place.fill(OLD)
    store = place.open(
        '[keystore]\nkey_encryption_key = { file = "new" }\n'
        'previous_key_encryption_keys = [{ file = "old" }]\n'
    )
    asyncio.run(store.check())
    assert store.sealing_key == NEW.identifier


def test_passphrase_opens_the_key_encryption_key(place: Place) -> None:
    """A file and a secret apart from it."""
    (place.directory / "new").write_bytes(protect(NEW, b"correct horse", cost=2))
    place.fill(NEW)
    store = place.open(
        '[keystore]\nkey_encryption_key = { file = "new" }\npassphrase = { file = "passphrase" }\n'
    )
    asyncio.run(store.check())


def test_wrong_passphrase_locks_a_running_gateway_and_says_so(place: Place) -> None:
    """It starts, other mail goes on, and the log has the reason (R-13)."""
    (place.directory / "new").write_bytes(protect(NEW, b"another", cost=2))
    place.fill(NEW)
    store = place.run(
        '[keystore]\nkey_encryption_key = { file = "new" }\npassphrase = { file = "passphrase" }\n'
    )
    with pytest.raises(KeystoreError) as caught:
        asyncio.run(store.signing_credentials(ADDRESS))
    assert caught.value.locked
    assert "the passphrase of the key-encryption key is wrong" in str(caught.value)
    (line,) = place.log.getvalue().splitlines()
    assert json.loads(line)["event"] == "keystore.locked"
    assert "passphrase" in line


def _token(place: Place, key: str = "kek-1") -> str:
    label = make_token().label
    return (
        f'[keystore.token]\nmodule = "{MODULE}"\nlabel = "{label}"\n'
        f'pin = {{ file = "pin" }}\nkey_encryption_key = "{key}"\n'
    )


def test_token_holds_the_key_encryption_key(place: Place) -> None:
    """Made there, used from there; no file has it."""
    text = _token(place)
    settings = load(place.write(text), check_files=False)
    assert settings.keystore.token is not None
    generate_in_token(settings.keystore.token, "kek-1")
    store = files_keystore(settings)
    store.prepare()
    store.add(KeyMaterial(certificate=ALICE.certificate, chain=(), private_key=ALICE.key))
    asyncio.run(files_keystore(settings).check())


def test_keys_move_from_a_file_to_the_token(place: Place) -> None:
    """The file's key-encryption key stays readable until the rotation is through."""
    place.fill(OLD)
    text = '[keystore]\nkey_encryption_key = { file = "old" }\n' + _token(place)
    settings = load(place.write(text), check_files=False)
    assert settings.keystore.token is not None
    made = generate_in_token(settings.keystore.token, "kek-1")
    store = files_keystore(settings)
    assert [done for _, done in store.rewrap()] == [True]
    (key,) = store.objects()
    assert key.secret.key_identifier == made.identifier


def test_token_that_comes_later_unlocks_by_itself(place: Place) -> None:
    """A running gateway asks the token again at the next mail (cases M10)."""
    place.fill(OLD)
    (place.directory / "pin").write_text("000000")
    text = '[keystore]\nkey_encryption_key = { file = "old" }\n' + _token(place)
    store = place.run(text)
    with pytest.raises(KeystoreError):
        asyncio.run(store.signing_credentials(ADDRESS))
    (place.directory / "pin").write_text(PIN)
    settings = load(place.directory / "smimegw.toml", check_files=False)
    assert settings.keystore.token is not None
    generate_in_token(settings.keystore.token, "kek-1")
    assert len(asyncio.run(store.signing_credentials(ADDRESS))) == 1


def test_gateway_with_an_agent_reads_no_secret(place: Place) -> None:
    """The key-encryption key is not for the gateway's user, and need not be there."""
    store = place.run(
        '[keystore]\nkey_encryption_key = { file = "nothing" }\nagent = "agent.sock"\n'
    )
    assert isinstance(store, AgentKeystore)
    assert store.path == place.directory / "agent.sock"
    assert not (place.directory / "state").exists()


@pytest.mark.parametrize(
    ("keystore", "words"),
    [
        ('previous_key_encryption_keys = [{ file = "nothing" }]\n', "cannot be read"),
        ('passphrase = { file = "nothing" }\n', "cannot be read"),
        ('recovery_certificate = "nothing.pem"\n', "there is no file"),
        ('recovery_certificate = "old"\n', "no PEM certificate"),
        ('token = { module = "/no.so", label = "x", pin = { file = "pin" } }\n', "no file /no.so"),
        ('token = { module = "old", label = "x", pin = { file = "none" } }\n', "cannot be read"),
    ],
)
def test_file_that_is_missing_is_found_by_the_check(
    place: Place, keystore: str, words: str
) -> None:
    """`config check` names the file and the key."""
    path = place.write(f'[keystore]\nkey_encryption_key = {{ file = "new" }}\n{keystore}')
    with pytest.raises(ConfigurationError, match=words):
        load(path)


def test_no_prime_is_in_anything_that_is_backed_up(place: Place) -> None:
    """The whole state directory without token: no prime, in any order of octets (cases M01)."""
    reader = CA.issue("dora@ours.example", usage="encrypt")
    (place.directory / "recovery.pem").write_bytes(CA.issue("r@ours.example").pem)
    text = '[keystore]\nrecovery_certificate = "recovery.pem"\n' + _token(place)
    settings = load(place.write(text), check_files=False)
    assert settings.keystore.token is not None
    generate_in_token(settings.keystore.token, "kek-1")
    store = files_keystore(settings)
    store.prepare()
    store.add(KeyMaterial(certificate=reader.certificate, chain=(), private_key=reader.key))
    numbers = reader.key.private_numbers()
    needles = [
        secret.to_bytes((secret.bit_length() + 7) // 8, order)[8:-8]
        for secret in (numbers.p, numbers.q, numbers.d)
        for order in ("big", "little")
    ]
    saved = [path.read_bytes() for path in (place.directory / "state").rglob("*") if path.is_file()]
    assert len(saved) == 2  # the key and its escrowed copy
    for octets in saved:
        said = [octets]
        if octets.startswith(b"{"):
            document = json.loads(octets)
            said += [base64.b64decode(document[name]) for name in ("wrapped_key", "sealed")]
        assert not any(needle in part for part in said for needle in needles)
    (key,) = store.objects()
    assert key.secret.key_identifier == store.sealing_key
