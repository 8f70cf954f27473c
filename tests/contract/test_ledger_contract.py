"""One contract for every ledger: in memory, SQLite, PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.ledger import DatabaseLedger
from smimegw.custody import Ledger
from smimegw.errors import LedgerBusyError, LedgerError
from tests.fakes.custody import MemoryLedger
from tests.peers.postgres import Postgres

Use = Callable[[Ledger], Awaitable[Any]]
Run = Callable[..., Any]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test's coroutine with a ledger of each kind; options go to the ledger."""
    kind, location = request.param, ""
    if kind == "sqlite":
        location = str(tmp_path / "smimegw.db")
    elif kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        location = server.create_database()
    memory: dict[str, Any] = {}

    def run(use: Use, **options: Any) -> Any:
        async def main() -> Any:
            if not location:
                ledger = MemoryLedger(**options)
                ledger.entries = memory.setdefault("entries", {})
                ledger.claims = memory.setdefault("claims", {})
                return await use(ledger)
            database = Database(location, deadline_seconds=20)
            try:
                return await use(DatabaseLedger(database, **options))
            finally:
                await database.close()

        return asyncio.run(main())

    return run


def test_what_was_accepted_is_known_to_a_retry(run: Run) -> None:
    """On every node and after every restart (commit protocol, step 6)."""

    async def first(ledger: Ledger) -> None:
        assert await ledger.claim("message", "one") == frozenset()
        await ledger.accept("message", ["alice"], holder="one")
        await ledger.release("message", "one")

    async def again(ledger: Ledger) -> None:
        assert await ledger.accepted("message") == {"alice"}
        assert await ledger.claim("message", "two") == {"alice"}
        assert await ledger.accepted("another") == frozenset()

    run(first)
    run(again)


def test_a_message_is_delivered_by_one_node_at_a_time(run: Run) -> None:
    """The second to come is told to come again (C35)."""

    async def use(ledger: Ledger) -> None:
        await ledger.claim("message", "one")
        with pytest.raises(LedgerBusyError):
            await ledger.claim("message", "two")
        await ledger.claim("another", "two")
        await ledger.release("message", "one")
        await ledger.claim("message", "two")

    run(use)


def test_of_many_claims_at_once_one_holds(run: Run) -> None:
    """The same octets at once to two nodes: one proceeds (C35)."""

    async def use(ledger: Ledger) -> None:
        claims = [ledger.claim("message", f"node-{number}") for number in range(8)]
        results = await asyncio.gather(*claims, return_exceptions=True)
        assert sum(isinstance(result, frozenset) for result in results) == 1
        assert sum(isinstance(result, LedgerBusyError) for result in results) == 7

    run(use)


def test_claims_of_different_recipients_do_not_meet(run: Run) -> None:
    """Parts of one message go at the same time; what was accepted is known to all of them."""

    async def use(ledger: Ledger) -> None:
        await ledger.claim("message", "one", key="first part")
        await ledger.claim("message", "two", key="second part")
        with pytest.raises(LedgerBusyError):
            await ledger.claim("message", "three", key="second part")
        await ledger.accept("message", ["alice"], holder="one", key="first part")
        await ledger.release("message", "one", key="first part")
        assert await ledger.claim("message", "three", key="first part") == {"alice"}

    run(use)


def test_the_claim_of_a_dead_node_ends(run: Run) -> None:
    """A node that was killed must not keep a message for ever."""

    async def use(ledger: Ledger) -> None:
        await ledger.claim("message", "dead")
        await ledger.claim("message", "two")

    run(use, lease_seconds=0)


def test_a_node_that_lost_its_claim_writes_nothing(run: Run) -> None:
    """Whoever hung and wakes up must not send the rest (T-25)."""

    async def use(ledger: Ledger) -> None:
        await ledger.claim("message", "slow")
        await ledger.claim("message", "quick")
        with pytest.raises(LedgerBusyError):
            await ledger.accept("message", ["alice"], holder="slow")
        assert await ledger.accepted("message") == frozenset()

    run(use, lease_seconds=0)


def test_entries_may_be_repeated(run: Run) -> None:
    """After a crash nobody knows whether the entry was written."""

    async def use(ledger: Ledger) -> None:
        await ledger.accept("message", ["alice", "bob"])
        await ledger.accept("message", ["bob", "carol"])
        assert await ledger.accepted("message") == {"alice", "bob", "carol"}

    run(use)


def test_only_the_holder_releases_and_forgets(run: Run) -> None:
    """A message that may be sent anew in full is forgotten, by whoever delivered it."""

    async def use(ledger: Ledger) -> None:
        await ledger.claim("message", "one")
        await ledger.accept("message", ["alice"], holder="one")
        await ledger.release("message", "two", forget=True)
        assert await ledger.accepted("message") == {"alice"}
        with pytest.raises(LedgerBusyError):
            await ledger.claim("message", "two")
        await ledger.release("message", "one", forget=True)
        assert await ledger.accepted("message") == frozenset()

    run(use)


def test_old_entries_do_not_count(run: Run) -> None:
    """Seven days: longer than any client tries (RFC 5321, 4.5.4.1)."""

    async def use(ledger: Ledger) -> None:
        await ledger.accept("message", ["alice"])
        assert await ledger.accepted("message") == frozenset()
        await ledger.claim("other", "sweeps")

    run(use, kept_seconds=0)


def test_a_ledger_that_is_down_says_so(tmp_path: Path) -> None:
    """Never "nobody has it" (R-22)."""

    async def main() -> None:
        database = Database(str(tmp_path / "no" / "such" / "directory.db"))
        ledger = DatabaseLedger(database)
        for call in (ledger.accepted("m"), ledger.claim("m", "h"), ledger.accept("m", ["t"])):
            with pytest.raises(LedgerError):
                await call
        await database.close()

    asyncio.run(main())


def test_the_claims_of_who_ended_are_given_back(run: Run) -> None:
    """A node that was killed and is back need not be waited for; others keep theirs."""

    async def use(ledger: Ledger) -> None:
        await ledger.claim("message", "dead", key="one")
        await ledger.claim("message", "alive", key="two")
        await ledger.release_all(["dead", "unknown"])
        await ledger.claim("message", "next", key="one")
        with pytest.raises(LedgerBusyError):
            await ledger.claim("message", "next", key="two")

    run(use)
