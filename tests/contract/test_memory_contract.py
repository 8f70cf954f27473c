"""Correspondents and sightings: fake, SQLite and PostgreSQL keep one contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.adapters.database.sightings import DatabaseSightings
from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import OURS, Capabilities, Capability
from smimegw.memory import (
    Candidate,
    CandidateState,
    Correspondent,
    Correspondents,
    Lesson,
    SightingKind,
    Sightings,
)
from tests.fakes.memory import MemoryCorrespondents, MemorySightings
from tests.fakes.pki import CA, make_ca
from tests.peers.postgres import Postgres

BOB = Mailbox.parse("bob@partner.example")
CAROL = Mailbox.parse("carol@partner.example")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POOR = Capabilities((Capability("2.16.840.1.101.3.4.1.2"),))  # AES-128-CBC
CIPHERTEXT, SIGNATURE = SightingKind.CIPHERTEXT, SightingKind.SIGNATURE
THREAD = SightingKind.THREAD
DIGEST, OTHER = b"\x01" * 32, b"\x02" * 32


@dataclass
class Memory:
    """Both ports, and an event loop to ask them in."""

    correspondents: Correspondents
    sightings: Sightings
    close: Callable[[], Coroutine[Any, Any, None]]


async def _nothing() -> None:
    """The fake holds nothing open."""


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    if request.param == "fake":
        yield Memory(MemoryCorrespondents(), MemorySightings(), _nothing)
        return
    location = str(tmp_path / "smimegw.db")
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        location = server.create_database()
    database = Database(location)
    database.open()
    yield Memory(DatabaseCorrespondents(database), DatabaseSightings(database), database.close)
    asyncio.run(database.close())


@cache
def authority() -> CA:
    return make_ca("Memory CA")


@cache
def candidate(address: str = "bob@partner.example", number: int = 0) -> Candidate:
    certificate = authority().issue(address, key="p256").certificate
    return Candidate(
        mailbox_key=Mailbox.parse(address).key,
        certificate=certificate,
        state=CandidateState.CANDIDATE,
        first_seen=NOW + timedelta(seconds=number),
        was=f"sha256:{number:064x}",
    )


def lesson(
    capabilities: Capabilities = OURS, *, signed: datetime | None = NOW, mailbox: Mailbox = BOB
) -> Lesson:
    return Lesson(
        mailbox=mailbox,
        fingerprint="sha256:" + "0" * 64,
        capabilities=capabilities,
        signing_time=signed,
    )


def known(memory: Memory, *lessons: tuple[Lesson, datetime]) -> Correspondent | None:
    """What is known of Bob after *lessons*, each learned at a time."""

    async def work() -> Correspondent | None:
        for each, now in lessons:
            await memory.correspondents.learn(each, now)
        return (await memory.correspondents.find([BOB])).get(BOB.key)

    return asyncio.run(work())


# --- capabilities --------------------------------------------------------------------------------


def test_nobody_is_known_at_first(memory: Memory) -> None:
    """No entry is the answer, not an error."""
    assert known(memory) is None


def test_what_was_learned_is_found(memory: Memory) -> None:
    """As it was announced, with its time and the certificate that vouches for it."""
    assert known(memory, (lesson(), NOW)) == Correspondent(
        mailbox_key=BOB.key, capabilities=OURS, learned_at=NOW, fingerprint="sha256:" + "0" * 64
    )


def test_asking_for_nobody_asks_nothing(memory: Memory) -> None:
    """A message may be for internal recipients only."""
    assert asyncio.run(memory.correspondents.find([])) == {}


def test_a_thousand_recipients_are_found_at_once(memory: Memory) -> None:
    """More than a database takes values in one statement."""
    many = [Mailbox.parse(f"p{number}@partner.example") for number in range(1200)]
    asyncio.run(memory.correspondents.learn(lesson(mailbox=many[1100]), NOW))
    assert set(asyncio.run(memory.correspondents.find(many))) == {many[1100].key}


def test_newer_mail_replaces_what_older_mail_said(memory: Memory) -> None:
    """Software changes (RFC 8551, 2.5.2)."""
    later = (lesson(POOR, signed=NOW + DAY), NOW + DAY)
    found = known(memory, (lesson(), NOW), later)
    assert found
    assert (found.capabilities, found.learned_at) == (POOR, NOW + DAY)


def test_old_mail_sent_again_changes_nothing(memory: Memory) -> None:
    """Somebody keeps a mail until its writer can do better, and sends it again (cases G24)."""
    replayed = (lesson(POOR, signed=NOW - DAY), NOW + DAY)
    found = known(memory, (lesson(), NOW), replayed)
    assert found
    assert (found.capabilities, found.learned_at) == (OURS, NOW)


def test_undated_mail_changes_nothing_that_was_dated(memory: Memory) -> None:
    """It may be as old as it likes."""
    found = known(memory, (lesson(), NOW), (lesson(POOR, signed=None), NOW + DAY))
    assert found
    assert found.capabilities == OURS


def test_dated_mail_replaces_undated(memory: Memory) -> None:
    """What is known at least says when."""
    found = known(memory, (lesson(POOR, signed=None), NOW), (lesson(signed=NOW + DAY), NOW + DAY))
    assert found
    assert found.capabilities == OURS


def test_dated_mail_from_before_does_not_replace_undated(memory: Memory) -> None:
    """Nothing shows that it is the newer of the two."""
    found = known(memory, (lesson(signed=None), NOW), (lesson(POOR, signed=NOW - DAY), NOW + DAY))
    assert found
    assert found.capabilities == OURS


def test_a_signing_time_ahead_counts_as_now(memory: Memory) -> None:
    """A clock that is fast must not keep the next mail from teaching."""
    ahead = (lesson(POOR, signed=NOW + 300 * DAY), NOW)
    found = known(memory, ahead, (lesson(signed=NOW + DAY), NOW + DAY))
    assert found
    assert found.capabilities == OURS


def test_learning_tells_whether_it_was_news(memory: Memory) -> None:
    """The same mail twice is not."""

    async def work() -> tuple[bool, bool]:
        first = await memory.correspondents.learn(lesson(), NOW)
        return first, await memory.correspondents.learn(lesson(), NOW)

    assert asyncio.run(work()) == (True, False)


def test_correspondents_are_apart(memory: Memory) -> None:
    """What Bob's mail says is Bob's."""

    async def work() -> set[str]:
        await memory.correspondents.learn(lesson(), NOW)
        return set(await memory.correspondents.find([CAROL, BOB]))

    assert asyncio.run(work()) == {BOB.key}


# --- candidates ----------------------------------------------------------------------------------


def test_a_candidate_is_kept_as_it_is(memory: Memory) -> None:
    """With its state, its time and what was known before."""

    async def work() -> tuple[Candidate, ...]:
        assert await memory.correspondents.propose(candidate())
        return await memory.correspondents.candidates(BOB)

    assert asyncio.run(work()) == (candidate(),)


def test_the_same_certificate_is_no_news(memory: Memory) -> None:
    """And its state stays: a refused one must not come back as a candidate (T-30)."""

    async def work() -> tuple[bool, tuple[Candidate, ...]]:
        refused = replace(candidate(), state=CandidateState.REFUSED)
        await memory.correspondents.propose(refused)
        again = await memory.correspondents.propose(candidate())
        return again, await memory.correspondents.candidates(BOB)

    again, found = asyncio.run(work())
    assert not again
    assert [entry.state for entry in found] == [CandidateState.REFUSED]


def test_candidates_come_in_the_order_of_first_seen(memory: Memory) -> None:
    """The command line shows a history."""

    async def work() -> list[datetime]:
        for number in (3, 1, 2):
            await memory.correspondents.propose(candidate("bob@partner.example", number))
        return [e.first_seen for e in await memory.correspondents.candidates(BOB)]

    order = asyncio.run(work())
    if isinstance(memory.correspondents, MemoryCorrespondents):
        order.sort()  # the fake keeps the order of coming
    assert order == [NOW + timedelta(seconds=number) for number in (1, 2, 3)]


def test_candidates_of_others_are_not_found(memory: Memory) -> None:
    """By mailbox."""

    async def work() -> tuple[Candidate, ...]:
        await memory.correspondents.propose(candidate())
        return await memory.correspondents.candidates(CAROL)

    assert asyncio.run(work()) == ()


# --- sightings -----------------------------------------------------------------------------------


def test_what_was_never_seen_is_seen_now(memory: Memory) -> None:
    """And from whom."""
    (first,) = asyncio.run(memory.sightings.first_seen(CIPHERTEXT, [DIGEST], BOB.key, NOW))
    assert (first.at, first.originator) == (NOW, BOB.key)


def test_the_first_sighting_stays(memory: Memory) -> None:
    """Time and originator of the first one are the answer for ever (R-44, T-05)."""

    async def work() -> tuple[datetime, str]:
        await memory.sightings.first_seen(CIPHERTEXT, [DIGEST], BOB.key, NOW)
        later = NOW + DAY
        (second,) = await memory.sightings.first_seen(CIPHERTEXT, [DIGEST], CAROL.key, later)
        return second.at, second.originator

    assert asyncio.run(work()) == (NOW, BOB.key)


def test_kinds_and_digests_are_apart(memory: Memory) -> None:
    """A ciphertext is no signature."""

    async def work() -> list[datetime]:
        await memory.sightings.first_seen(CIPHERTEXT, [DIGEST], BOB.key, NOW)
        later = NOW + DAY
        return [
            (await memory.sightings.first_seen(SIGNATURE, [DIGEST], BOB.key, later))[0].at,
            (await memory.sightings.first_seen(CIPHERTEXT, [OTHER], BOB.key, later))[0].at,
        ]

    assert asyncio.run(work()) == [NOW + DAY, NOW + DAY]


def test_several_digests_are_answered_in_their_order(memory: Memory) -> None:
    """A ciphertext and its wrapped key are asked about together."""

    async def work() -> list[str]:
        await memory.sightings.first_seen(CIPHERTEXT, [OTHER], BOB.key, NOW)
        both = await memory.sightings.first_seen(CIPHERTEXT, [OTHER, DIGEST], CAROL.key, NOW)
        return [entry.originator for entry in both]

    assert asyncio.run(work()) == [BOB.key, CAROL.key]


def test_asking_keeps_nothing(memory: Memory) -> None:
    """Else a question would be a sighting."""

    async def work() -> tuple[object, object]:
        before = await memory.sightings.find(SIGNATURE, DIGEST)
        return before, await memory.sightings.find(SIGNATURE, DIGEST)

    assert asyncio.run(work()) == (None, None)


def test_asking_finds_the_first_sighting(memory: Memory) -> None:
    """As `first_seen` would tell it."""

    async def work() -> object:
        await memory.sightings.first_seen(SIGNATURE, [DIGEST], BOB.key, NOW)
        found = await memory.sightings.find(SIGNATURE, DIGEST)
        return found and (found.at, found.originator)

    assert asyncio.run(work()) == (NOW, BOB.key)


def test_of_many_at_once_one_is_the_first(memory: Memory) -> None:
    """Two nodes, or two sessions, see the same at the same moment."""

    async def work() -> set[str]:
        answers = await asyncio.gather(
            *(
                memory.sightings.first_seen(CIPHERTEXT, [DIGEST], f"p{number}@x.example", NOW)
                for number in range(20)
            )
        )
        return {answer.originator for (answer,) in answers}

    assert len(asyncio.run(work())) == 1


def test_one_of_several_that_was_seen_is_enough(memory: Memory) -> None:
    """Of that kind: an answer names some messages, one of which came encrypted (R-23)."""

    async def work() -> list[bool]:
        await memory.sightings.first_seen(THREAD, [DIGEST], BOB.key, NOW)
        await memory.sightings.first_seen(SIGNATURE, [OTHER], BOB.key, NOW)
        asked: list[list[bytes]] = [[OTHER, DIGEST], [DIGEST], [OTHER], []]
        return [await memory.sightings.any_seen(THREAD, each) for each in asked]

    assert asyncio.run(work()) == [True, True, False, False]


def test_asking_whether_it_was_seen_keeps_nothing(memory: Memory) -> None:
    """R-23 is asked for mail of ours, which is no encrypted mail of others."""

    async def work() -> bool:
        await memory.sightings.any_seen(THREAD, [DIGEST])
        return await memory.sightings.any_seen(THREAD, [DIGEST])

    assert asyncio.run(work()) is False
