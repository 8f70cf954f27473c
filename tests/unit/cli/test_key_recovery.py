"""Escrow and recovery of decryption keys, from the commands to OpenSSL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smimegw.adapters.keys import escrow
from smimegw.adapters.keys.escrow import passphrase_of
from smimegw.adapters.keys.shares import Share, join
from smimegw.cli.key import key
from smimegw.cli.records import records
from tests.fakes.pki import Issued, make_ca

CA = make_ca("Recovery CA")
READER = CA.issue("alice@ours.example", usage="encrypt")
AGREES = CA.issue("dora@ours.example", usage="encrypt", key="x25519")
SIGNER = CA.issue("bob@ours.example", usage="sign")
BOTH = CA.issue("carol@ours.example")


def _run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(key, [str(item) for item in arguments], input=stdin)


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recovery certificate, its key and three shares, of which two open it."""
    directory = tmp_path_factory.mktemp("ceremony") / "recovery"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(escrow, "_RECOVERY_BITS", 2048)  # 4096 take seconds to find
        assert _run("make-recovery", directory).exit_code == 0
    return directory


class Site:
    """A configured keystore with a recovery certificate."""

    def __init__(self, directory: Path, ceremony: Path) -> None:
        self.directory, self.ceremony = directory, ceremony
        self.config = directory / "smimegw.toml"
        self.state = directory / "state"
        _run("generate-kek", directory / "kek")
        self.config.write_text(
            f"""version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "{self.state}"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10036"
[keystore]
key_encryption_key = {{ file = "{directory}/kek" }}
recovery_certificate = "{ceremony}/recovery.pem"
"""
        )

    def add(self, issued: Issued) -> str:
        (self.directory / "key.pem").write_bytes(issued.key_pem + issued.pem)
        result = _run("import", self.directory / "key.pem", "-c", self.config)
        assert result.exit_code == 0, result.output
        return issued.certificate.fingerprint.removeprefix("sha256:")

    def copies(self) -> list[Path]:
        return sorted((self.state / "keys").glob("*.p7m"))

    def recover(self, which: str, *shares: int, reason: str = "case 4711") -> Result:
        arguments = [
            item for number in shares
            for item in ("--share", self.ceremony / f"share-{number}.txt")
        ]  # fmt: skip
        return _run(
            "recover", which, "--recovery-key", self.ceremony / "recovery.key.pem", *arguments,
            "--reason", reason, "--output", self.directory / "out.pem", "--password-file", "-",
            "-c", self.config, stdin="open sesame\n",
        )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, ceremony: Path) -> Site:
    """With an empty keystore."""
    return Site(tmp_path, ceremony)


@pytest.mark.parametrize("issued", [READER, AGREES], ids=["rsa", "x25519"])
def test_recovered_key_is_the_one_that_was_imported(site: Site, issued: Issued) -> None:
    """Two of three people bring the key back, under a password, with its certificate."""
    identifier = site.add(issued)
    result = site.recover(identifier[:12], 1, 3)
    assert result.exit_code == 0, result.output
    out = (site.directory / "out.pem").read_bytes()
    assert load_pem_private_key(out, b"open sesame").public_key() == issued.key.public_key()
    assert issued.pem in out
    assert (site.directory / "out.pem").stat().st_mode & 0o777 == 0o600


def test_backup_and_two_shares_restore_on_an_empty_machine(site: Site, tmp_path: Path) -> None:
    """The copy, the recovery key and two shares are all it takes (cases M13)."""
    site.add(READER)
    (copy,) = site.copies()
    moved = tmp_path / "from-backup.p7m"
    moved.write_bytes(copy.read_bytes())
    elsewhere = Site(_directory(tmp_path, "elsewhere"), site.ceremony)
    elsewhere.state.mkdir()
    assert elsewhere.recover(str(moved), 2, 3).exit_code == 0
    arguments = ("import", elsewhere.directory / "out.pem", "--password-file", "-")
    restored = _run(*arguments, "-c", elsewhere.config, stdin="open sesame\n")
    assert restored.exit_code == 0, restored.output
    assert "<alice@ours.example>" in restored.output


def test_one_share_restores_nothing(site: Site) -> None:
    """With one share of two nothing opens, and nothing is written (cases M13)."""
    identifier = site.add(READER)
    result = site.recover(identifier[:12], 1)
    assert result.exit_code == 2
    assert "2 different shares are needed" in result.output
    assert not (site.directory / "out.pem").exists()


@pytest.mark.parametrize("issued", [SIGNER, BOTH], ids=["signs", "does both"])
def test_key_that_signs_is_never_escrowed(site: Site, issued: Issued) -> None:
    """Nobody else may ever sign for its owner."""
    site.add(issued)
    assert site.copies() == []
    _run("escrow", "-c", site.config)
    assert site.copies() == []


def test_import_says_why_a_key_is_not_escrowed(site: Site) -> None:
    """Whoever expects a copy learns at once that there is none."""
    (site.directory / "key.pem").write_bytes(BOTH.key_pem + BOTH.pem)
    result = _run("import", site.directory / "key.pem", "-c", site.config)
    assert "escrow   no: it can sign, too" in result.output


def test_keys_from_before_are_escrowed_by_command(site: Site) -> None:
    """And once only."""
    text = site.config.read_text()
    line = next(line for line in text.splitlines() if line.startswith("recovery_certificate"))
    site.config.write_text(text.replace(line, ""))
    site.add(READER)
    assert site.copies() == []
    site.config.write_text(text)
    assert "1 keys escrowed" in _run("escrow", "-c", site.config).output
    assert "0 keys escrowed" in _run("escrow", "-c", site.config).output
    assert len(site.copies()) == 1


def test_copy_stays_when_the_key_is_removed(site: Site) -> None:
    """A user who left: the decryption key is archived, not lost (cases M16)."""
    identifier = site.add(READER)
    assert _run("remove", identifier, "--yes", "-c", site.config).exit_code == 0
    assert site.recover(identifier[:12], 1, 2).exit_code == 0


def test_recovery_is_recorded_with_its_reason(site: Site) -> None:
    """Who, whose key, which shares and why, in a chain that can be checked."""
    identifier = site.add(READER)
    site.recover(identifier[:12], 1, 3, reason="left the company, case 4711")
    path = site.state / "recoveries.jsonl"
    (line,) = path.read_text().splitlines()
    assert '"left the company, case 4711"' in line
    assert identifier in line
    assert "[1,3]" in line.replace(" ", "")
    verified = CliRunner().invoke(records, ["verify", str(path), "-c", str(site.config)])
    assert verified.exit_code == 0, verified.output


def test_no_record_no_key(site: Site) -> None:
    """If it cannot be recorded, nothing is handed out (R-20)."""
    identifier = site.add(READER)
    (site.state / "recoveries.jsonl").mkdir()
    assert site.recover(identifier[:12], 1, 2).exit_code != 0
    assert not (site.directory / "out.pem").exists()


def test_openssl_opens_the_copy_with_the_joined_key(site: Site) -> None:
    """Without this program: the shares' secret is the passphrase, the rest is CMS (RFC 5083)."""
    site.add(READER)
    (copy,) = site.copies()
    shares = [(site.ceremony / f"share-{n}.txt").read_text().split()[-1] for n in (1, 2)]
    passphrase = passphrase_of(join([Share.parse(text) for text in shares])).decode()
    opened = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", copy, "-binary",
         "-recip", site.ceremony / "recovery.pem", "-inkey", site.ceremony / "recovery.key.pem",
         "-passin", f"pass:{passphrase}"],
        check=True, capture_output=True,
    )  # fmt: skip
    assert READER.key_pem in opened.stdout


def test_changed_copy_is_refused(site: Site) -> None:
    """One octet of the ciphertext, and nothing comes out (RFC 5084)."""
    identifier = site.add(READER)
    (copy,) = site.copies()
    octets = bytearray(copy.read_bytes())
    octets[-60] ^= 1
    copy.write_bytes(octets)
    result = site.recover(identifier[:12], 1, 2)
    assert result.exit_code == 2
    assert "changed" in result.output


def test_nothing_of_the_key_is_in_clear(site: Site) -> None:
    """Neither the copies nor the ceremony's files hold a prime or the secret (cases M01)."""
    site.add(READER)
    primes = READER.key.private_numbers()
    needles = [
        form
        for number in (primes.p, primes.q, primes.d)
        for form in (number.to_bytes((number.bit_length() + 7) // 8, "big"),)
    ]
    for path in (*site.copies(), *(site.state / "keys").iterdir()):
        assert not any(needle in path.read_bytes() for needle in needles)
    secret = join(
        [Share.parse((site.ceremony / f"share-{n}.txt").read_text().split()[-1]) for n in (1, 2)]
    )
    for path in site.ceremony.iterdir():
        assert passphrase_of(secret) not in path.read_bytes()


def test_shares_of_another_ceremony_do_not_open(site: Site, tmp_path: Path) -> None:
    """The text says what may be wrong."""
    identifier = site.add(READER)
    other = tmp_path / "other"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(escrow, "_RECOVERY_BITS", 2048)
        _run("make-recovery", other)
    site.ceremony, mine = other, site.ceremony
    result = _run(
        "recover", identifier, "--recovery-key", mine / "recovery.key.pem",
        "--share", other / "share-1.txt", "--share", other / "share-2.txt", "--reason", "x",
        "--output", site.directory / "out.pem", "--password-file", "-", "-c", site.config,
        stdin="open sesame\n",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "do not open the recovery key" in result.output


def test_recovered_file_is_never_an_old_one(site: Site) -> None:
    """What is there already stays as it is."""
    identifier = site.add(READER)
    (site.directory / "out.pem").write_text("precious")
    assert site.recover(identifier[:12], 1, 2).exit_code == 2
    assert (site.directory / "out.pem").read_text() == "precious"


def _directory(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


def test_list_tells_json(site: Site) -> None:
    """Machines read where a key is kept."""
    site.add(READER)
    listed = json.loads(_run("list", "--json", "-c", site.config).output)
    assert listed["holder"] == "file"
    assert listed["escrowed"] is True
