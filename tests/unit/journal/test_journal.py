"""The journal of final dots: what it keeps, what a crash leaves, and how the disk fails it."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from smimegw.adapters.journal.file import FileJournal
from smimegw.custody import Dot, Unfinished
from smimegw.errors import JournalError


def dot(name: str = "txn/1", *recipients: str) -> Dot:
    people = recipients or ("bob@partner.example",)
    return Dot(
        id=name,
        txn=name.partition("/")[0],
        message_id="<1@test>",
        relay="out[127.0.0.1]:25",
        recipients=people,
        fingerprint="f" * 64,
        tokens=tuple(f"token of {person}" for person in people),
        at="2026-11-23T12:00:00+00:00",
    )


def written(path: Path, use: Callable[[FileJournal], Awaitable[None]]) -> Unfinished:
    """Let *use* work with a journal that then ends without warning; what the next one finds."""

    async def main() -> None:
        journal = FileJournal(path)
        journal.recover()
        journal.begin()
        await use(journal)
        await journal.close()

    asyncio.run(main())
    return found(path)


def found(path: Path) -> Unfinished:
    journal = FileJournal(path)
    try:
        return journal.recover()
    finally:
        asyncio.run(journal.close())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dots.jsonl"


def test_a_dot_without_an_answer_is_found_at_the_start(path: Path) -> None:
    """Killed between dot and reply: recipient and Message-ID are known (C08)."""

    async def use(journal: FileJournal) -> None:
        await journal.sending([dot("a/1"), dot("a/2", "carol@else.example")])
        journal.answered(dot("a/1"), "refused")

    left = written(path, use)
    assert left.in_doubt == (dot("a/2", "carol@else.example"),)
    assert left.untold == ()


def test_an_accepted_dot_stays_open_until_the_client_knows(path: Path) -> None:
    """Killed between the next hop's 250 and ours: the ledger will be told (C16)."""

    async def use(journal: FileJournal) -> None:
        await journal.sending([dot("a/1"), dot("b/1")])
        journal.answered(dot("a/1"), "accepted", ["token"])
        journal.answered(dot("b/1"), "accepted", ["token"])
        journal.told("b")

    left = written(path, use)
    assert left.untold == ((dot("a/1"), ("token",)),)
    assert left.in_doubt == ()


def test_the_line_is_on_the_disk_before_the_dot_may_go(path: Path) -> None:
    """`sending` returns after the sync, so a reader of the file sees the line."""

    async def main() -> None:
        journal = FileJournal(path)
        await journal.sending([dot("a/1")])
        assert b'"a/1"' in path.read_bytes()
        await journal.close()

    asyncio.run(main())


def test_waiting_lines_share_one_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred transactions at once do not cost a hundred syncs."""
    syncs: list[int] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        fsync(descriptor)

    async def main() -> None:
        journal = FileJournal(path)
        journal.begin()
        monkeypatch.setattr(os, "fsync", counted)
        await asyncio.gather(*(journal.sending([dot(f"{n}/1")]) for n in range(100)))
        await journal.close()

    asyncio.run(main())
    assert len(syncs) < 10


@pytest.mark.parametrize("cut", [2, 30])
def test_a_torn_last_line_is_tolerated(path: Path, cut: int) -> None:
    """Power was lost in the middle of a line: it was not synced, so its dot was not sent."""

    async def use(journal: FileJournal) -> None:
        await journal.sending([dot("a/1")])
        await journal.sending([dot("b/1")])

    written(path, use)
    path.write_bytes(path.read_bytes()[:-cut])
    left = found(path)
    assert [entry.id for entry in left.in_doubt] == ["a/1"]
    assert left.torn == 1


def test_a_new_start_forgets_what_was_explained(path: Path) -> None:
    """Each crash is told once; what the ledger could not take is kept for the next start."""

    async def use(journal: FileJournal) -> None:
        await journal.sending([dot("a/1"), dot("b/1")])
        journal.answered(dot("b/1"), "accepted", ["token"])

    left = written(path, use)

    async def restart() -> None:
        journal = FileJournal(path)
        journal.recover()
        journal.begin(left.untold)
        await journal.close()

    asyncio.run(restart())
    again = found(path)
    assert again.in_doubt == ()
    assert again.untold == left.untold


def test_rotation_keeps_what_is_open(path: Path) -> None:
    """The file stays small while the gateway runs, and loses nothing that is not closed."""

    async def main() -> None:
        journal = FileJournal(path, rotate_octets=2000)
        journal.recover()
        journal.begin()
        await journal.sending([dot("open/1")])
        await journal.sending([dot("untold/1")])
        journal.answered(dot("untold/1"), "accepted", ["token"])
        for number in range(50):
            await journal.sending([dot(f"{number}/1")])
            journal.answered(dot(f"{number}/1"), "refused")
        await journal.close()

    asyncio.run(main())
    assert path.stat().st_size < 4000
    left = found(path)
    assert [entry.id for entry in left.in_doubt] == ["open/1"]
    assert [entry.id for entry, _ in left.untold] == ["untold/1"]


def test_a_second_gateway_is_kept_out(path: Path) -> None:
    """Two processes on one state directory would explain each other's dots."""
    first, second = FileJournal(path), FileJournal(path)
    first.recover()
    with pytest.raises(JournalError, match="in use by another gateway"):
        second.recover()
    asyncio.run(first.close())
    second.recover()
    asyncio.run(second.close())


def test_a_full_disk_stops_the_dot_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC: nothing of the line stays, and the next one may fit."""
    write = os.write

    async def main() -> None:
        journal = FileJournal(path)
        journal.begin()
        monkeypatch.setattr(os, "write", lambda fd, octets: write(fd, octets[:10]))
        with pytest.raises(JournalError) as caught:
            await journal.sending([dot("a/1")])
        assert not caught.value.fatal
        await asyncio.sleep(0)
        monkeypatch.setattr(os, "write", write)
        await journal.sending([dot("b/1")])
        await journal.close()

    asyncio.run(main())
    left = found(path)
    assert [entry.id for entry in left.in_doubt] == ["b/1"]
    assert left.torn == 0


def test_a_disk_that_fails_once_is_not_believed_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO from fsync: no further dot on this node, and the process is told to end (C27)."""
    told: list[str] = []
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def main() -> None:
        journal = FileJournal(path)
        journal.begin()
        journal.on_failure = told.append
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(JournalError) as caught:
            await journal.sending([dot("a/1")])
        assert caught.value.fatal
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(JournalError) as caught:
            await journal.sending([dot("b/1")])
        assert caught.value.fatal
        await journal.close()

    asyncio.run(main())
    assert len(told) == 1
    assert "disk is failing" in told[0]
    assert b'"b/1"' not in path.read_bytes()


def test_a_closed_journal_lets_no_dot_go(path: Path) -> None:
    """At the very end of a process nothing waits for ever."""

    async def main() -> None:
        journal = FileJournal(path)
        journal.begin()
        await journal.close()
        with pytest.raises(JournalError):
            await journal.sending([dot("a/1")])

    asyncio.run(main())
