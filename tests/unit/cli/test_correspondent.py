"""``smimegw correspondent``: what an administrator types, sees and gets as exit code."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.addresses import Mailbox
from smimegw.cli.correspondent import correspondent
from smimegw.cms.capabilities import OURS
from smimegw.memory import Candidate, CandidateState, Lesson
from tests.fakes.pki import NOW, PAST, make_ca

CA = make_ca("Correspondent CA")
BOB = Mailbox.parse("bob@partner.example")
FIRST = CA.issue(BOB.address, key="p256").certificate
SECOND = CA.issue(BOB.address, key="p256").certificate

CONFIGURATION = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "mail.corp.example:25"
[database]
url = "own.db"
"""


class Desk:
    """A configuration, a database beside it, and the command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configuration = directory / "smimegw.toml"
        self.configuration.write_text(CONFIGURATION)

    def run(self, *arguments: str) -> Result:
        where = ("-c", str(self.configuration))
        return CliRunner().invoke(correspondent, [*arguments, *where])

    def learn(self, *candidates: Candidate) -> None:
        async def work() -> None:
            database = Database(str(self.directory / "own.db"))
            known = DatabaseCorrespondents(database)
            lesson = Lesson(
                mailbox=BOB, fingerprint=FIRST.fingerprint, capabilities=OURS, signing_time=NOW
            )
            await known.learn(lesson, NOW)
            for each in candidates:
                await known.propose(each)
            await database.close()

        asyncio.run(work())

    def states(self) -> list[str]:
        entries = json.loads(self.run("show", BOB.address, "--json").stdout)["certificates"]
        return [entry["state"] for entry in entries]


def candidate(number: int = 0, state: CandidateState = CandidateState.CANDIDATE) -> Candidate:
    return Candidate(
        mailbox_key=BOB.key,
        certificate=(FIRST, SECOND)[number],
        state=state,
        first_seen=NOW + timedelta(hours=number),
        was=FIRST.fingerprint if number else "",
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_a_database_nothing_is_made(desk: Desk) -> None:
    """Made by root it would shut the gateway out."""
    result = desk.run("list")
    assert result.exit_code == 2
    assert "there is no database" in result.stderr
    assert not (desk.directory / "own.db").exists()


def test_a_server_that_is_gone_cannot_tell(desk: Desk) -> None:
    """Exit code 4, for scripts that try again."""
    text = CONFIGURATION.replace("own.db", "postgresql://smimegw@127.0.0.1:1/smimegw")
    desk.configuration.write_text(text)
    assert desk.run("list").exit_code == 4


def test_list_shows_everybody(desk: Desk) -> None:
    """One line each: what is read, and the states of the certificates."""
    desk.learn(candidate(0), candidate(1, CandidateState.SUCCESSOR))
    result = desk.run("list")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{BOB.key}  reads: aes-256-gcm")
    assert result.stdout.endswith("  candidate, successor\n")


def test_list_as_json(desk: Desk) -> None:
    """For scripts."""
    desk.learn(candidate())
    (entry,) = json.loads(desk.run("list", "--json").stdout)["correspondents"]
    assert entry["address"] == BOB.key
    assert entry["certificates"][0]["sha256"] == FIRST.fingerprint.removeprefix("sha256:")


def test_an_empty_list_says_so(desk: Desk) -> None:
    """Not an empty screen."""
    asyncio.run(_open_and_close(desk.directory / "own.db"))
    assert desk.run("list").stdout.startswith("none: ")


async def _open_and_close(path: Path) -> None:
    database = Database(str(path))
    database.open()
    await database.close()


def test_show_tells_the_history(desk: Desk) -> None:
    """Algorithms, certificates, what was known before."""
    desk.learn(candidate(0), candidate(1))
    result = desk.run("show", "Bob@partner.example")
    assert result.exit_code == 0
    assert f"{FIRST.fingerprint}  " in result.stdout
    assert f"known before: {FIRST.fingerprint[:23]}" in result.stdout
    assert result.stdout.count("candidate, not used") == 1
    assert result.stdout.count("contradicts what was known, not used") == 1


def test_show_says_whether_a_successor_is_used(desk: Desk) -> None:
    """That depends on the configuration (F22)."""
    desk.learn(candidate(0, CandidateState.SUCCESSOR))
    assert 'not used: memory.harvest is "candidates"' in desk.run("show", BOB.address).stdout
    desk.configuration.write_text(CONFIGURATION + '[memory]\nharvest = "same-ca"\n')
    assert "same CA, used" in desk.run("show", BOB.address).stdout


def test_show_says_whether_a_verified_one_is_used(desk: Desk) -> None:
    """Used only where the configuration takes what came twice (T-30)."""
    desk.learn(candidate(0, CandidateState.VERIFIED))
    assert 'not used: memory.harvest is "candidates"' in desk.run("show", BOB.address).stdout
    desk.configuration.write_text(CONFIGURATION + '[memory]\nharvest = "verified"\n')
    assert "came again later, used" in desk.run("show", BOB.address).stdout


def test_conflicts_are_listed_until_somebody_decides(desk: Desk) -> None:
    """A second certificate beside a known one waits for a person (T-30)."""
    desk.learn(candidate(0), candidate(1))
    assert desk.run("list", "--conflicts").stdout.endswith("  candidate, conflict\n")
    desk.run("refuse", BOB.address, SECOND.fingerprint)
    assert desk.run("list", "--conflicts").stdout.startswith("none: ")


def test_an_expired_one_can_be_learned_anew(desk: Desk) -> None:
    """Also what was decided on it is forgotten."""
    desk.learn(candidate(0, CandidateState.REFUSED))
    result = desk.run("expire", BOB.address)
    assert result.stdout == f"forgotten: {BOB.key}  {FIRST.fingerprint}\n"
    assert desk.states() == []
    desk.learn(candidate(0))
    assert desk.states() == ["candidate"]


def test_without_an_address_the_ended_ones_are_forgotten(desk: Desk) -> None:
    """Those that are valid stay."""
    ended = CA.issue(BOB.address, key="p256", not_after=PAST).certificate
    desk.learn(candidate(), replace(candidate(), certificate=ended))
    assert desk.run("expire").stdout == f"forgotten: {BOB.key}  {ended.fingerprint}\n"
    assert desk.states() == ["candidate"]
    assert desk.run("expire").stdout.startswith("none: ")


def test_somebody_unknown_is_a_no(desk: Desk) -> None:
    """Exit code 1."""
    desk.learn()
    result = desk.run("show", "carol@partner.example")
    assert (result.exit_code, result.stdout[:6]) == (1, "none: ")


def test_the_only_certificate_is_accepted_without_naming_it(desk: Desk) -> None:
    """And its fingerprint is shown, to be compared."""
    desk.learn(candidate())
    result = desk.run("accept", BOB.address)
    assert result.exit_code == 0
    assert FIRST.fingerprint in result.stdout
    assert desk.states() == ["accepted"]


def test_of_several_one_must_be_named(desk: Desk) -> None:
    """The text lists them."""
    desk.learn(candidate(0), candidate(1))
    result = desk.run("accept", BOB.address)
    assert result.exit_code == 2
    assert FIRST.fingerprint[:23] in result.stderr
    assert SECOND.fingerprint[:23] in result.stderr
    assert desk.states() == ["candidate", "candidate"]


@pytest.mark.parametrize("form", ["{}", "sha256:{}", "SHA256:{}"])
def test_the_first_digits_name_one(desk: Desk, form: str) -> None:
    """In the forms in which fingerprints are written."""
    desk.learn(candidate(0), candidate(1))
    digits = SECOND.fingerprint.removeprefix("sha256:")[:12]
    assert desk.run("accept", BOB.address, form.format(digits)).exit_code == 0
    assert desk.states() == ["candidate", "accepted"]


def test_digits_in_pairs_name_one(desk: Desk) -> None:
    """As openssl prints them."""
    desk.learn(candidate(0), candidate(1))
    digits = SECOND.fingerprint.removeprefix("sha256:").upper()
    pairs = ":".join(digits[start : start + 2] for start in range(0, 64, 2))
    assert desk.run("accept", BOB.address, pairs).exit_code == 0
    assert desk.states() == ["candidate", "accepted"]


def test_too_few_digits_are_refused(desk: Desk) -> None:
    """Somebody could make a certificate that begins alike."""
    desk.learn(candidate())
    digits = FIRST.fingerprint.removeprefix("sha256:")[:7]
    result = desk.run("accept", BOB.address, digits)
    assert result.exit_code == 2
    assert "at least 8 digits" in result.stderr


def test_digits_of_nothing_are_refused(desk: Desk) -> None:
    """A mistyped fingerprint accepts nothing."""
    desk.learn(candidate())
    assert desk.run("accept", BOB.address, "00000000").exit_code == 2
    assert desk.states() == ["candidate"]


def test_a_refused_one_can_be_accepted_again(desk: Desk) -> None:
    """A mistake is mended."""
    desk.learn(candidate())
    assert desk.run("refuse", BOB.address).exit_code == 0
    assert desk.states() == ["refused"]
    desk.run("accept", BOB.address)
    assert desk.states() == ["accepted"]


def test_accepting_what_is_switched_off_says_so(desk: Desk) -> None:
    """Else somebody waits for mail to be encrypted."""
    desk.configuration.write_text(CONFIGURATION + '[memory]\nharvest = "off"\n')
    desk.learn(candidate())
    assert 'memory.harvest is "off"' in desk.run("accept", BOB.address).stderr


def test_somebody_without_certificates_cannot_be_accepted(desk: Desk) -> None:
    """Nothing came with his mail."""
    desk.learn()
    result = desk.run("accept", "carol@partner.example")
    assert result.exit_code == 2
    assert "no certificate came" in result.stderr
