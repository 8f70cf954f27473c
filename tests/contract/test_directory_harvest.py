"""Certificates learned from mail as a directory, and their place behind the others (T-30)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from smimegw.adapters.chain.remembered import RememberedLast
from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.adapters.database.harvest import HarvestDirectory
from smimegw.config.choices import Harvest
from smimegw.directories import ACTIVE_STATES
from smimegw.errors import DirectoryError
from smimegw.memory import Candidate, CandidateState
from smimegw.x509.certificate import Certificate
from tests.fakes.clock import SetClock
from tests.fakes.directory import BOB, FakeDirectory
from tests.fakes.pki import NOW, PAST, make_ca


@cache
def certificate(number: int = 0) -> Certificate:
    ca = make_ca("Harvest CA")
    return ca.issue(BOB.address, key="p256", slot=f"harvest-{number}").certificate


@cache
def ended() -> Certificate:
    return make_ca("Harvest CA").issue(BOB.address, key="p256", not_after=PAST).certificate


# --- which are used ------------------------------------------------------------------------------


@pytest.fixture
def known(tmp_path: Path) -> Iterator[DatabaseCorrespondents]:
    database = Database(str(tmp_path / "smimegw.db"))
    database.open()
    yield DatabaseCorrespondents(database)
    asyncio.run(database.close())


@pytest.mark.parametrize(
    ("harvest", "used"),
    [
        (Harvest.CANDIDATES, {"accepted"}),
        (Harvest.SAME_CA, {"accepted", "successor"}),
        (Harvest.VERIFIED, {"accepted", "successor", "verified"}),
    ],
)
def test_only_what_may_be_used_is_found(
    known: DatabaseCorrespondents, harvest: Harvest, used: set[str]
) -> None:
    """A candidate is not used, a refused one never; a successor where that is configured (F22)."""
    states = {}
    for number, state in enumerate(CandidateState):
        entry = Candidate(
            mailbox_key=BOB.key, certificate=certificate(number), state=state, first_seen=NOW
        )
        states[certificate(number)] = state.value
        asyncio.run(known.propose(entry))
    found = asyncio.run(HarvestDirectory(known, used=ACTIVE_STATES[harvest]).find(BOB))
    assert {states[entry.certificate] for entry in found} == used


def test_a_database_that_is_down_is_an_error() -> None:
    """Unknown is never "none" (R-06, R-22)."""
    database = Database("postgresql://smimegw@127.0.0.1:1/smimegw")
    directory = HarvestDirectory(DatabaseCorrespondents(database), used=list(CandidateState))

    async def work() -> None:
        with pytest.raises(DirectoryError):
            await directory.find(BOB)
        await database.close()

    asyncio.run(work())


# --- their place ---------------------------------------------------------------------------------


def found(published: FakeDirectory, remembered: FakeDirectory) -> list[Certificate]:
    directory = RememberedLast(published, remembered, SetClock(NOW + timedelta(seconds=1)))
    return [entry.certificate for entry in asyncio.run(directory.find(BOB))]


def test_a_published_certificate_keeps_the_others_out() -> None:
    """What a mail brought never replaces what a directory says (T-30)."""
    remembered = FakeDirectory(certificate(1))
    assert found(FakeDirectory(certificate(0)), remembered) == [certificate(0)]
    assert remembered.questions == 0


def test_where_nothing_is_published_mail_is_believed() -> None:
    """As far as an administrator or the rule for successors let it."""
    assert found(FakeDirectory(), FakeDirectory(certificate(1))) == [certificate(1)]


def test_a_published_certificate_that_ended_counts_as_none() -> None:
    """Nobody maintains it any more (F22)."""
    assert found(FakeDirectory(ended()), FakeDirectory(certificate(1))) == [certificate(1)]


def test_one_that_ended_beside_a_valid_one_changes_nothing() -> None:
    """Directories keep old ones."""
    published = FakeDirectory(ended(), certificate(0))
    assert found(published, FakeDirectory(certificate(1))) == [ended(), certificate(0)]


def test_the_ended_one_is_told_when_there_is_nothing_else() -> None:
    """So that the reply says "expired" and not "none" (R-03)."""
    assert found(FakeDirectory(ended()), FakeDirectory()) == [ended()]


def test_a_directory_that_is_down_does_not_make_mail_believed() -> None:
    """What it has is unknown (R-06)."""
    published = FakeDirectory()
    published.down = True
    with pytest.raises(DirectoryError):
        found(published, FakeDirectory(certificate(1)))


def test_a_memory_that_is_down_does_not_matter_when_it_is_not_needed() -> None:
    """It would not have been asked (R-22)."""
    remembered = FakeDirectory()
    remembered.down = True
    assert found(FakeDirectory(certificate(0)), remembered) == [certificate(0)]


def test_a_memory_that_is_down_is_an_error_when_it_is_needed() -> None:
    """Unknown is never "none" (R-22)."""
    remembered = FakeDirectory()
    remembered.down = True
    with pytest.raises(DirectoryError):
        found(FakeDirectory(), remembered)


def test_both_kinds_of_sources_say_what_they_have() -> None:
    """The record names the directories and the memory, in the order they were asked (T-30)."""
    published, learned = FakeDirectory(name="ldap:staff"), FakeDirectory(certificate())
    both = RememberedLast(published, learned, SetClock())
    answer = asyncio.run(both.look_up(BOB))
    assert [(entry.source, entry.said.value) for entry in answer.said] == [
        ("ldap:staff", "none"),
        ("fake:one", "found"),
    ]


def test_a_memory_that_is_down_is_named_with_what_the_directories_said() -> None:
    """None there, unknown here: the whole is unknown (R-06, R-22)."""
    learned = FakeDirectory(name="harvest:mail")
    learned.down = True
    answer = asyncio.run(RememberedLast(FakeDirectory(), learned, SetClock()).look_up(BOB))
    assert [entry.said.value for entry in answer.said] == ["none", "failed"]
    assert isinstance(answer.error, DirectoryError)
