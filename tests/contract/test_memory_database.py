"""What is remembered in a real database: several nodes, forgetting, troubles."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from smimegw.adapters.database import forgetting
from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.adapters.database.forgetting import forget
from smimegw.adapters.database.schema import correspondents
from smimegw.adapters.database.sightings import DatabaseSightings
from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import OURS
from smimegw.errors import DatabaseError
from smimegw.limits import Limits
from smimegw.memory import Candidate, CandidateState, Lesson, SightingKind
from tests.fakes.pki import make_ca
from tests.peers.postgres import Postgres

BOB = Mailbox.parse("bob@partner.example")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP = 400 * DAY
DIGEST = b"\x01" * 32
CIPHERTEXT = SightingKind.CIPHERTEXT

FIRST = """
import asyncio, sys
from datetime import UTC, datetime
from smimegw.adapters.database.access import Database
from smimegw.adapters.database.sightings import DatabaseSightings
from smimegw.memory import SightingKind

async def work():
    database = Database(sys.argv[1], deadline_seconds=30)
    sightings = DatabaseSightings(database)
    for number in range(20):
        digests = [bytes([number]) * 32, bytes([19 - number]) * 31 + b"k"]
        if sys.argv[2] == "b@x.example":
            digests.reverse()
        found = await sightings.first_seen(
            SightingKind.CIPHERTEXT, digests, sys.argv[2], datetime.now(UTC)
        )
        print(*sorted(entry.originator for entry in found), sep="+")
    await database.close()

asyncio.run(work())
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "smimegw.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database()


@pytest.fixture
def database(location: str) -> Iterator[Database]:
    opened = Database(location)
    opened.open()
    yield opened
    asyncio.run(opened.close())


def candidate(**changes: object) -> Candidate:
    certificate = make_ca("Memory CA").issue(BOB.address, key="p256").certificate
    found = Candidate(
        mailbox_key=BOB.key,
        certificate=certificate,
        state=CandidateState.CANDIDATE,
        first_seen=NOW,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def lesson() -> Lesson:
    return Lesson(mailbox=BOB, fingerprint="sha256:0", capabilities=OURS, signing_time=NOW)


# --- several nodes -------------------------------------------------------------------------------


def test_two_nodes_agree_who_was_first(location: str) -> None:
    """Of two processes that see the same ciphertexts at once, both hear the same answer (T-05)."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, location, name], stdout=subprocess.PIPE, text=True
        )
        for name in ("a@x.example", "b@x.example")
    ]
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert len(answers[0]) == 20
    assert answers[0] == answers[1]


def test_what_one_node_learned_another_knows(database: Database, location: str) -> None:
    """One database for all."""
    other = Database(location)

    async def work() -> set[str]:
        await DatabaseCorrespondents(database).learn(lesson(), NOW)
        found = await DatabaseCorrespondents(other).find([BOB])
        await other.close()
        return set(found)

    assert asyncio.run(work()) == {BOB.key}


# --- bounded -------------------------------------------------------------------------------------


def forgotten(database: Database, later: timedelta) -> int:
    return asyncio.run(forget(database, NOW + later, KEEP))


def test_a_sighting_is_kept_as_long_as_configured(database: Database) -> None:
    """And no longer."""
    sightings = DatabaseSightings(database)
    asyncio.run(sightings.first_seen(CIPHERTEXT, [DIGEST], BOB.key, NOW))
    assert forgotten(database, KEEP) == 0
    assert forgotten(database, KEEP + DAY) == 1
    assert asyncio.run(sightings.find(CIPHERTEXT, DIGEST)) is None


def test_a_correspondent_who_writes_is_kept(database: Database) -> None:
    """The time of his last mail counts, also when it said nothing new."""
    known = DatabaseCorrespondents(database)
    asyncio.run(known.learn(lesson(), NOW))
    asyncio.run(known.learn(lesson(), NOW + 10 * DAY))
    assert forgotten(database, KEEP + 5 * DAY) == 0
    assert forgotten(database, KEEP + 15 * DAY) == 1


def test_a_candidate_nobody_decided_on_is_forgotten(database: Database) -> None:
    """It comes again with the next mail."""
    old = candidate(first_seen=NOW - 10 * DAY)
    asyncio.run(DatabaseCorrespondents(database).propose(old))
    assert forgotten(database, KEEP - 5 * DAY) == 1


@pytest.mark.parametrize("state", [CandidateState.ACCEPTED, CandidateState.REFUSED])
def test_an_administrators_word_holds_as_long_as_the_certificate(
    database: Database, state: CandidateState
) -> None:
    """A refused one must not come back with the next mail (T-30)."""
    decided = candidate(first_seen=NOW - 10 * DAY, state=state)
    asyncio.run(DatabaseCorrespondents(database).propose(decided))
    assert forgotten(database, KEEP - 5 * DAY) == 0
    assert forgotten(database, (decided.certificate.not_after - NOW) + KEEP + DAY) == 1


def test_very_many_are_forgotten_in_pieces(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for one long transaction."""
    monkeypatch.setattr(forgetting, "_AT_ONCE", 3)
    sightings = DatabaseSightings(database)
    for number in range(10):
        asyncio.run(sightings.first_seen(CIPHERTEXT, [bytes([number]) * 32], "", NOW))
    assert forgotten(database, KEEP + DAY) == 10


def test_of_too_many_candidates_the_oldest_make_room(database: Database) -> None:
    """Whoever writes with a new certificate every day does not fill the disk."""
    known = DatabaseCorrespondents(database, limits=Limits(candidates=2))
    entries = [candidate(first_seen=NOW + number * DAY) for number in range(4)]
    for entry in entries:
        asyncio.run(known.propose(entry))
    assert asyncio.run(known.candidates(BOB)) == tuple(entries[2:])


def test_decided_candidates_do_not_make_room(database: Database) -> None:
    """An administrator's word is not pushed out by mail."""
    known = DatabaseCorrespondents(database, limits=Limits(candidates=1))
    accepted = candidate(state=CandidateState.ACCEPTED)
    newer = [candidate(first_seen=NOW + number * DAY) for number in (1, 2)]
    for entry in (accepted, *newer):
        asyncio.run(known.propose(entry))
    assert asyncio.run(known.candidates(BOB)) == (accepted, newer[1])


# --- decisions -----------------------------------------------------------------------------------


def test_a_decision_changes_the_state(database: Database) -> None:
    """What the command line does."""
    known, entry = DatabaseCorrespondents(database), candidate()
    asyncio.run(known.propose(entry))
    fingerprint = entry.certificate.fingerprint
    assert asyncio.run(known.decide(BOB, fingerprint, CandidateState.ACCEPTED))
    assert [e.state for e in asyncio.run(known.candidates(BOB))] == [CandidateState.ACCEPTED]


def test_a_decision_on_nothing_says_so(database: Database) -> None:
    """A fingerprint may be mistyped."""
    known = DatabaseCorrespondents(database)
    assert not asyncio.run(known.decide(BOB, "sha256:0", CandidateState.ACCEPTED))


def test_everybody_is_listed(database: Database) -> None:
    """Correspondents and candidates, for the command line."""
    known, entry = DatabaseCorrespondents(database), candidate()
    asyncio.run(known.propose(entry))
    asyncio.run(known.learn(lesson(), NOW))
    people, certificates = asyncio.run(known.everybody())
    assert [person.mailbox_key for person in people] == [BOB.key]
    assert certificates == (entry,)


# --- troubles ------------------------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[Database], Awaitable[object]]] = {
    "find": lambda database: DatabaseCorrespondents(database).find([BOB]),
    "learn": lambda database: DatabaseCorrespondents(database).learn(lesson(), NOW),
    "candidates": lambda database: DatabaseCorrespondents(database).candidates(BOB),
    "propose": lambda database: DatabaseCorrespondents(database).propose(candidate()),
    "first_seen": lambda database: DatabaseSightings(database).first_seen(
        CIPHERTEXT, [DIGEST], BOB.key, NOW
    ),
    "sighting": lambda database: DatabaseSightings(database).find(CIPHERTEXT, DIGEST),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_server_that_is_gone_is_an_error(question: str) -> None:
    """Never "not known" and never "not seen" (R-22)."""
    database = Database("postgresql://smimegw@127.0.0.1:1/smimegw")

    async def work() -> None:
        with pytest.raises(DatabaseError, match="is the server running"):
            await QUESTIONS[question](database)
        await database.close()

    asyncio.run(work())


def test_a_server_that_hangs_is_an_error(postgres: Postgres) -> None:
    """No mail waits longer than the deadline (R-22)."""
    database = Database(postgres.create_database(), deadline_seconds=0.5)
    database.open().dispose()  # a session that is open has a process of its own, not frozen
    postgres.freeze()

    async def work() -> None:
        with pytest.raises(DatabaseError, match="did not answer"):
            await DatabaseSightings(database).find(CIPHERTEXT, DIGEST)

    try:
        asyncio.run(work())
    finally:
        postgres.thaw()
        asyncio.run(database.close())


def test_a_database_that_comes_back_is_used_again(postgres: Postgres) -> None:
    """Without a restart of the gateway, and its trouble is over."""
    database = Database(postgres.create_database(), deadline_seconds=10)
    postgres.stop()

    async def work() -> tuple[str, str]:
        before = await database.probe()
        postgres.start()
        after = await database.probe()
        await database.close()
        return before, after

    before, after = asyncio.run(work())
    assert "is the server running" in before
    assert after == ""


def test_a_database_without_troubles_says_so(database: Database) -> None:
    """/ready asks."""
    assert asyncio.run(database.probe()) == ""


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    """Nothing is taken for remembered that is not (R-22)."""
    database = Database(str(tmp_path / "smimegw.db"))
    engine = database.open()

    @sa.event.listens_for(engine, "checkout")
    def fill(connection: object, *_: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        (pages,) = cursor.execute("PRAGMA page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        cursor.close()

    async def work() -> None:
        for number in range(5000):
            await DatabaseSightings(database).first_seen(
                CIPHERTEXT, [number.to_bytes(32, "big")], BOB.key * 15, NOW
            )

    with pytest.raises(DatabaseError, match="full"):
        asyncio.run(work())
    asyncio.run(database.close())


def test_capabilities_that_cannot_be_read_are_none(database: Database) -> None:
    """Written by another release; the mailbox is written to as if nothing were known."""
    known = DatabaseCorrespondents(database)
    asyncio.run(known.learn(lesson(), NOW))
    with database.open().begin() as connection:
        connection.execute(sa.update(correspondents).values(capabilities=b"\x30\x01"))
    found = asyncio.run(known.find([BOB]))
    assert found[BOB.key].capabilities is None


def test_a_cancellation_is_not_lost_when_the_answer_comes_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that is ended while it asks ends; a gateway that stops would wait for it for ever."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        monkeypatch.setattr(loop, "run_in_executor", lambda *_: answer)
        asking = asyncio.create_task(Database(str(tmp_path / "memory.db")).read(lambda _: None))
        await asyncio.sleep(0)
        answer.set_result("just now")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(work())
