"""What the doctor says of keys, and what it says is to be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.cli.doctor import examine
from smimegw.cli.finding import Finding, Health
from tests.fakes.pki import make_ca
from tests.peers.key_agent import RunningAgent

CA = make_ca("Doctor's keys CA")
READER = CA.issue("alice@ours.example", key="p256", usage="encrypt")
OLD, NEW = KeyEncryptionKey.generate(), KeyEncryptionKey.generate()


class Patient:
    """A configuration whose keystore has one decryption key under the old key-encryption key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "policies").mkdir()
        for name, key in (("old", OLD), ("new", NEW)):
            (directory / name).write_bytes(key.export())
        (directory / "recovery.pem").write_bytes(CA.pem)
        self.store = FilesKeystore(directory / "state" / "keys", OLD)
        self.store.prepare()
        self.store.add(
            KeyMaterial(certificate=READER.certificate, chain=READER.chain, private_key=READER.key)
        )

    def findings(self, keystore: str) -> tuple[Finding, ...]:
        path = self.directory / "smimegw.toml"
        path.write_text(
            f"""version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "state"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10036"
[policies]
path = "policies"
[keystore]
{keystore}
"""
        )
        return examine(path, ("keys",), None)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """One to look at."""
    return Patient(tmp_path)


def test_healthy_keystore_tells_how_it_is_sealed(patient: Patient) -> None:
    """One line: how many keys open, and under which key-encryption key."""
    (finding,) = patient.findings('key_encryption_key = { file = "old" }')
    assert finding.health is Health.OK
    assert finding.detail == f"1 keys open; sealed with {OLD.identifier}"


def test_unfinished_rotation_is_a_warning(patient: Patient) -> None:
    """And the remedy is the command."""
    _, finding = patient.findings(
        'key_encryption_key = { file = "new" }\nprevious_key_encryption_keys = [{ file = "old" }]'
    )
    assert finding.health is Health.WARN
    assert finding.detail.startswith("1 keys are still under an earlier")
    assert finding.remedy == "smimegw key rotate"


def test_missing_escrow_is_a_warning(patient: Patient) -> None:
    """Only where a recovery certificate says that there should be one."""
    _, finding = patient.findings(
        'key_encryption_key = { file = "old" }\nrecovery_certificate = "recovery.pem"'
    )
    assert finding.health is Health.WARN
    assert "alice@ours.example" in finding.detail
    assert finding.remedy == "smimegw key escrow"


def test_wrong_key_encryption_key_fails(patient: Patient) -> None:
    """The text names both keys (R-13)."""
    (finding,) = patient.findings('key_encryption_key = { file = "new" }')
    assert finding.health is Health.FAIL
    assert OLD.identifier in finding.detail
    assert "R-13" in finding.remedy


def test_agent_that_answers_is_well(patient: Patient) -> None:
    """Asked as the gateway asks it."""
    path = patient.directory / "agent.sock"
    with RunningAgent(patient.store, path):
        (finding,) = patient.findings('agent = "agent.sock"')
    assert finding.health is Health.OK
    assert "key agent answers" in finding.detail


def test_agent_that_is_gone_fails(patient: Patient) -> None:
    """And the remedy names its unit."""
    (finding,) = patient.findings('agent = "agent.sock"')
    assert finding.health is Health.FAIL
    assert "systemctl status smimegw-key-agent" in finding.remedy
