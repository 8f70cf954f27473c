"""A whole company gets certificates from its real LDAP directory, also when the run is killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from pki import founding, opening
from pki.people import People, Person, checked_filter
from pki.practice import Addresses, Practice
from pki.settings import Settings
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.addresses import Mailbox
from smimegw.cli.key import key
from smimegw.errors import DirectoryError, UsageError
from tests.interop.openssl import openssl
from tests.peers.slapd import Slapd
from tests.unit.pki.steps import NOW, PASSPHRASE

_PROJECT = Path(__file__).resolve().parents[2]
_PROGRAM = "if __name__ == '__main__': from pki.cli import main; main()"
_CROWD = 620  # more than one page


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        server.load("\n".join(_person(server, f"p{i:03}", "crowd") for i in range(_CROWD)))
        server.add(_person(server, "staff", "staff"))
        for odd in (
            _person(server, "outside", "odd", mail="eve@evil.example"),
            _person(server, "long", "odd", name="L" * 65),
            _person(server, "nomail", "odd", mail=""),
            _person(server, "twin1", "twins", mail="twin@corp.example"),
            _person(server, "twin2", "twins", mail="twin@corp.example"),
        ):
            server.add(odd)
        yield server


def _person(server: Slapd, uid: str, group: str, *, mail: str | None = None, name: str = "") -> str:
    mail = f"{uid}@corp.example" if mail is None else mail
    lines = [
        f"dn: uid={uid},{server.people_base}",
        "objectClass: inetOrgPerson",
        f"uid: {uid}",
        f"cn: {name or uid.title()}",
        f"sn: {uid}",
        f"departmentNumber: {group}",
        *([f"mail: {mail}"] if mail else []),
    ]
    return "\n".join(lines) + "\n"


def _practice(server: Slapd, folder: Path, **changes: object) -> Practice:
    password = folder / "ldap-password"
    password.write_text(server.publisher_password + "\n")
    values: dict[str, object] = {
        "url": server.ldaps_url,
        "bind_dn": server.publisher_dn,
        "password_file": str(password),
        "base": server.people_base,
        "ca": str(server.ca),
        **changes,
    }
    return Practice(**values)


@dataclass(frozen=True)
class Administrator:
    """Somebody who types commands in processes of their own."""

    folder: Path

    def type(self, *words: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "SMIMEGW_CA_DIRECTORY": str(self.folder / "ca"),
            "SMIMEGW_CA_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "SMIMEGW_FAILPOINTS": f"{kill_at}=kill" if kill_at else "",
        }
        command = [sys.executable, "-c", _PROGRAM, *words, "--no-input", "--yes"]
        return subprocess.run(
            command,
            env=environment,
            cwd=_PROJECT,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def issue(self, where: str, *words: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
        files = ("-o", str(self.folder / "out"), "--p12-passphrase-file", str(self.secret))
        return self.type(
            *("issue", "--from-ldap", where, "--key", "p-256", "--jobs", "1", *files, *words),
            kill_at=kill_at,
        )

    @property
    def secret(self) -> Path:
        return self.folder / "passphrase"

    def mailboxes(self) -> Counter[str]:
        """How many certificates everybody has."""
        with opening.reading(self.folder / "ca") as opened:
            everybody = opened.register.certificates()
        return Counter(str(item.mailbox) for item in everybody if item.mailbox)


def _admin(server: Slapd, folder: Path, **changes: object) -> Administrator:
    settings = Settings(domains=("corp.example",), practice=_practice(server, folder, **changes))
    plan = founding.Founding(name="CA", settings=settings, key_kind=founding.KeyKind.P_256)
    founding.initialise(folder / "ca", plan, passphrase=PASSPHRASE, now=NOW)
    (folder / "passphrase").write_bytes(PASSPHRASE + b"\n")
    return Administrator(folder)


@pytest.fixture
def admin(slapd: Slapd, tmp_path: Path) -> Administrator:
    return _admin(slapd, tmp_path)


# --- people --------------------------------------------------------------------------------------


def test_everybody_is_found_page_by_page(slapd: Slapd, tmp_path: Path) -> None:
    """More people than one answer of the server holds (RFC 2696)."""
    with People.open(_practice(slapd, tmp_path)) as people:
        found = [*people.search("(departmentNumber=crowd)")]
    assert len(found) == _CROWD
    assert all(isinstance(person, Person) for person in found)
    owner = f"uid=p007,{slapd.people_base}"
    assert Person(mailbox=Mailbox.parse("p007@corp.example"), name="P007", dn=owner) in found


def test_a_mailbox_of_nobody_is_refused(slapd: Slapd, tmp_path: Path) -> None:
    """The address has to be owned, where ca.toml says so."""
    with People.open(_practice(slapd, tmp_path)) as people:
        people.require(Mailbox.parse("P007@corp.example"))
        with pytest.raises(UsageError, match="nobody's mailbox"):
            people.require(Mailbox.parse("nobody@corp.example"))


def test_a_mailbox_of_two_entries_is_refused(slapd: Slapd, tmp_path: Path) -> None:
    """Whose the certificate would be is anybody's guess (F11)."""
    with People.open(_practice(slapd, tmp_path)) as people:
        with pytest.raises(UsageError, match=r"several entries .*uid=twin1.*uid=twin2"):
            people.require(Mailbox.parse("twin@corp.example"))


def test_references_alone_are_nobody(tmp_path: Path) -> None:
    """An answer that is elsewhere must not look like a company without people (F07)."""
    with Slapd() as server:
        server.add(
            f"dn: ou=away,{server.people_base}\n"
            "objectClass: referral\nobjectClass: extensibleObject\nou: away\n"
            "ref: ldap://127.0.0.1:1/dc=elsewhere\n"
        )
        with People.open(_practice(server, tmp_path)) as people:
            with pytest.raises(DirectoryError, match="never followed"):
                list(people.search("(departmentNumber=crowd)"))


def test_an_address_is_no_filter(slapd: Slapd, tmp_path: Path) -> None:
    """What an attacker writes into his address finds nobody else (F01)."""
    with People.open(_practice(slapd, tmp_path)) as people:
        with pytest.raises(UsageError, match="nobody's mailbox"):
            people.require(Mailbox.parse('"*)(mail=*"@corp.example'))


@pytest.mark.parametrize("text", ["(mail=", "", "((x=1)"])
def test_what_is_no_filter_is_named(text: str) -> None:
    """RFC 4515."""
    with pytest.raises(UsageError, match="not an LDAP filter"):
        checked_filter(text)


def test_a_directory_that_is_down_is_not_nobody(slapd: Slapd, tmp_path: Path) -> None:
    """Unknown is neither yes nor no."""
    with pytest.raises(DirectoryError):
        People.open(_practice(slapd, tmp_path, url="ldaps://127.0.0.1:1"))


def test_issue_asks_the_directory_where_ca_toml_says_so(slapd: Slapd, tmp_path: Path) -> None:
    """A typing mistake does not get a certificate."""
    admin = _admin(slapd, tmp_path, addresses=Addresses.DIRECTORY)
    refused = admin.type("issue", "pOO7@corp.example", "--key", "p-256")
    assert refused.returncode == 2
    assert "nobody's mailbox" in refused.stderr
    asked = admin.type("request", "create", "pOO7@corp.example")
    assert asked.returncode == 2
    assert "nobody's mailbox" in asked.stderr
    assert admin.type("issue", "p007@corp.example", "--key", "p-256").returncode == 0


# --- many ----------------------------------------------------------------------------------------


def test_people_get_files_that_openssl_reads(admin: Administrator) -> None:
    """One .p12 for each, with key and chain."""
    done = admin.issue("(uid=p00*)", "--profile", "pair")
    assert done.returncode == 0, done.stderr
    files = sorted((admin.folder / "out").glob("*.p12"))
    assert len(files) == 20
    text = openssl("pkcs12", "-in", files[0], "-passin", f"file:{admin.secret}", "-nodes")
    assert text.count(b"BEGIN CERTIFICATE") == 3
    assert text.count(b"BEGIN PRIVATE KEY") == 1
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_doing_it_again_issues_nothing(admin: Administrator) -> None:
    """Whoever has one is left out."""
    admin.issue("(uid=p00*)")
    before = admin.mailboxes()
    again = admin.issue("(uid=p00*)")
    assert again.returncode == 0
    assert "10 are there already" in again.stderr
    assert admin.mailboxes() == before
    assert set(before.values()) == {1}


def test_who_cannot_have_one_does_not_stop_the_others(admin: Administrator) -> None:
    """Another domain, a name too long, no address: named, exit 3, everybody else is served."""
    done = admin.issue("(|(uid=staff)(departmentNumber=odd))")
    assert done.returncode == 3
    assert "outside of the domains" in done.stderr
    assert "no mail attribute" in done.stderr
    assert set(admin.mailboxes()) == {"staff@corp.example", "long@corp.example"}


def test_a_dry_run_shows_and_issues_nothing(admin: Administrator) -> None:
    """Look first."""
    done = admin.type("issue", "--from-ldap", "(uid=p00*)", "--dry-run", "--json")
    plan = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(plan) == 10
    assert plan[0]["action"] == "issue"
    assert not admin.mailboxes()


def test_a_killed_run_is_finished_by_the_next(admin: Administrator) -> None:
    """Nobody gets two, and what was issued and not written is written (M22)."""
    killed = admin.issue("(uid=p00*)", kill_at="bulk.recorded")
    assert killed.returncode == -9
    assert not [*(admin.folder / "out").glob("*.p12")]
    done = admin.issue("(uid=p00*)")
    assert done.returncode == 0, done.stderr
    assert len(admin.mailboxes()) == 10
    assert set(admin.mailboxes().values()) == {1}
    assert len([*(admin.folder / "out").glob("*.p12")]) == 10


def test_the_gateway_takes_the_whole_folder(admin: Administrator) -> None:
    """Everybody's keys by one command, and by the same one again after it was stopped."""
    done = admin.issue("(|(uid=p010)(uid=p011)(uid=p012)(uid=p013))", "--profile", "pair")
    assert done.returncode == 0, done.stderr
    keys = admin.folder / "keys"
    made = CliRunner().invoke(key, ["generate-kek", str(admin.folder / "kek")])
    assert made.exit_code == 0, made.output

    def take() -> str:
        places = ("--keystore", keys, "--kek-file", admin.folder / "kek")
        words = ("import", admin.folder / "out", "--password-file", admin.secret, *places)
        taken = CliRunner().invoke(key, [str(word) for word in words])
        assert taken.exit_code == 0, taken.output
        return taken.output.splitlines()[-1]

    assert take() == "8 keys imported, 0 already there, 0 refused"
    for lost in sorted(keys.glob("*.key.json"))[:3]:
        lost.unlink()
    assert take() == "3 keys imported, 5 already there, 0 refused"
    store = FilesKeystore(keys, KeyEncryptionKey.load((admin.folder / "kek").read_bytes()))
    for number in range(10, 14):
        signing = store.signing_credentials(Mailbox.parse(f"p{number:03}@corp.example"))
        assert len(asyncio.run(signing)) == 1
