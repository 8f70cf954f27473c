"""Decision records are a chain in which every change shows."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from smimegw.adapters.logs.record_chain import BEGINNING, ChainReport, link_of, verify
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.errors import RecordError


def _write(path: Path, *numbers: int) -> None:
    """As one run of the gateway does."""

    async def write_all() -> None:
        records = JSONLinesRecords(path)
        for number in numbers:
            await records.write({"n": number})
        records.close()

    asyncio.run(write_all())


def _verify(path: Path) -> ChainReport:
    with path.open("rb") as file:
        return verify(file)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A file with five of them."""
    path = tmp_path / "decisions.jsonl"
    _write(path, 1, 2, 3, 4, 5)
    return path


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_each_record_holds_the_digest_of_the_one_before(records: Path) -> None:
    """SHA-256 of the line without its line end; the first has nothing before it."""
    lines = _lines(records)
    links = [json.loads(line)["prev"] for line in lines]
    assert links == [BEGINNING, *(link_of(line[:-1]) for line in lines[:-1])]
    assert _verify(records) == ChainReport(records=5, begins=BEGINNING, tip=link_of(lines[4][:-1]))


def test_chain_goes_on_after_a_restart(records: Path) -> None:
    """The next run reads the last link from the file."""
    _write(records, 6)
    _write(records, 7)
    report = _verify(records)
    assert (report.records, report.broken_line) == (7, 0)


def test_changed_record_breaks_the_chain_behind_it(records: Path) -> None:
    """Another word in line 2 shows in line 3 (T-32)."""
    lines = _lines(records)
    lines[1] = lines[1].replace(b'"n": 2', b'"n": 8')
    records.write_bytes(b"".join(lines))
    assert _verify(records).broken_line == 3


@pytest.mark.parametrize("number", [1, 2, 3])
def test_removed_record_breaks_the_chain(records: Path, number: int) -> None:
    """What stood behind it follows something else now (T-32)."""
    lines = _lines(records)
    del lines[number]
    records.write_bytes(b"".join(lines))
    assert _verify(records).broken_line == number + 1


def test_inserted_record_breaks_the_chain(records: Path) -> None:
    """Even one that names the line before it rightly."""
    lines = _lines(records)
    forged = f'{{"prev": "{link_of(lines[1][:-1])}", "n": 0}}\n'.encode()
    records.write_bytes(b"".join([*lines[:2], forged, *lines[2:]]))
    assert _verify(records).broken_line == 4


def test_exchanged_records_break_the_chain(records: Path) -> None:
    """The order counts."""
    lines = _lines(records)
    lines[2], lines[3] = lines[3], lines[2]
    records.write_bytes(b"".join(lines))
    assert _verify(records).broken_line == 3


def test_record_without_a_link_breaks_the_chain(records: Path) -> None:
    """Only before the first chained one may there be some, from an older release."""
    records.write_bytes(records.read_bytes() + b'{"n": 6}\n')
    assert _verify(records).broken_line == 6


def test_rubbish_that_no_crash_explains_breaks_the_chain(records: Path) -> None:
    """The record behind half a line says that it was there."""
    lines = _lines(records)
    records.write_bytes(b"".join([*lines[:3], b'{"prev\n', *lines[3:]]))
    assert _verify(records).broken_line == 5


def test_records_from_before_the_chain_are_counted(tmp_path: Path) -> None:
    """The first link is to the last of them."""
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2}\n')
    _write(path, 3)
    report = _verify(path)
    assert (report.records, report.unchained, report.broken_line) == (3, 2, 0)
    assert report.begins == link_of(b'{"n": 2}')


def test_fault_of_ours_between_writing_and_syncing_breaks_no_chain(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits gets the error, and the line is taken back."""

    def bug(descriptor: int) -> None:
        raise RuntimeError(f"bug at {descriptor}")

    async def write_all() -> None:
        store = JSONLinesRecords(records)
        await store.write({"n": 6})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", bug)
            with pytest.raises(RuntimeError):
                await store.write({"n": 7})
        await store.write({"n": 8})

    asyncio.run(write_all())
    assert [json.loads(line)["n"] for line in _lines(records)] == [1, 2, 3, 4, 5, 6, 8]
    assert _verify(records).broken_line == 0


@pytest.mark.parametrize("torn", [b"{", b'{"prev": "00', b"\x00\x00\x00", b"ab\ncd", b"zeros\n"])
def test_torn_last_line_is_told_by_the_next_record(records: Path, torn: bytes) -> None:
    """A crash leaves half a line; it stays, and the chain goes on around it."""
    records.write_bytes(records.read_bytes() + torn)
    _write(records, 6, 7)
    report = _verify(records)
    assert (report.records, report.torn, report.broken_line) == (7, 1, 0)


def test_record_that_lacks_only_its_line_end_is_whole(records: Path) -> None:
    """The crash came one octet too late to tear it."""
    records.write_bytes(records.read_bytes()[:-1])
    _write(records, 6)
    report = _verify(records)
    assert (report.records, report.torn, report.broken_line) == (6, 0, 0)


def test_torn_line_that_was_changed_later_breaks_the_chain(records: Path) -> None:
    """Its digest is in the chain, too."""
    records.write_bytes(records.read_bytes() + b'{"half')
    _write(records, 6)
    records.write_bytes(records.read_bytes().replace(b'{"half', b'{"HALF'))
    assert _verify(records).broken_line == 7


def test_torn_line_that_was_removed_later_breaks_the_chain(records: Path) -> None:
    """The record behind it names it."""
    records.write_bytes(records.read_bytes() + b'{"half')
    _write(records, 6)
    records.write_bytes(records.read_bytes().replace(b'{"half\n', b""))
    assert _verify(records).broken_line == 6


def test_file_that_is_torn_just_now_is_no_broken_chain(records: Path) -> None:
    """The crash was the last thing that happened."""
    records.write_bytes(records.read_bytes() + b'{"half')
    report = _verify(records)
    assert (report.records, report.torn, report.broken_line) == (5, 1, 0)


def test_file_of_nothing_but_a_torn_line_begins_a_chain(tmp_path: Path) -> None:
    """The first record of all did not get to the disk."""
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(b'{"prev": "0000')
    _write(path, 1)
    report = _verify(path)
    assert (report.records, report.torn, report.begins) == (1, 1, BEGINNING)


@pytest.mark.parametrize("text", [b"From: a\r\n\r\ntext\r\n", b"line", b'{"a\n', b"\x00\n\x00\n"])
def test_file_that_holds_no_record_is_no_chain(tmp_path: Path, text: bytes) -> None:
    """Another file, or one that was overwritten, is not taken for a good one (cases T-32)."""
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(text)
    report = _verify(path)
    assert (report.broken_line, report.reason) == (1, "no line of it is a decision record")


@pytest.mark.parametrize("text", [b"", b'{"prev": "00', b"\x00\x00\x00", b'{"pr\x00\x00\n'])
def test_first_record_may_be_torn_just_now(tmp_path: Path, text: bytes) -> None:
    """A crash at the very first record leaves half of it, or blocks of zeros (cases T-32)."""
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(text)
    report = _verify(path)
    assert (report.records, report.torn, report.broken_line) == (0, int(bool(text)), 0)


def test_long_torn_end_is_read_back_to_the_last_record(records: Path) -> None:
    """Two megabytes of zeros, as some file systems leave them after a power cut."""
    tip = _verify(records).tip
    records.write_bytes(records.read_bytes() + bytes(2 << 20))
    _write(records, 6)
    assert json.loads(_lines(records)[-1])["prev"] == tip
    assert _verify(records).broken_line == 0


def test_chain_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """logrotate renames the file of a running gateway."""
    path = tmp_path / "decisions.jsonl"

    async def write_all() -> None:
        records = JSONLinesRecords(path)
        await records.write({"n": 1})
        path.rename(tmp_path / "decisions.jsonl.1")
        await records.write({"n": 2})
        records.close()

    asyncio.run(write_all())
    assert _verify(path).begins == _verify(tmp_path / "decisions.jsonl.1").tip


def test_chain_goes_on_after_renaming_while_nobody_ran(records: Path, tmp_path: Path) -> None:
    """The newest renamed file has the last link; a packed one is not looked into."""
    (tmp_path / "decisions.jsonl.2.gz").write_bytes(gzip.compress(b"{}\n"))
    records.rename(tmp_path / "decisions.jsonl.1")
    _write(records, 6)
    assert _verify(records).begins == _verify(tmp_path / "decisions.jsonl.1").tip


def test_record_that_failed_is_not_in_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken back is no link, also when only its sync failed (R-20)."""
    path = tmp_path / "decisions.jsonl"

    async def write_all() -> None:
        records = JSONLinesRecords(path)
        await records.write({"n": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _fail)
            with pytest.raises(RecordError):
                await records.write({"n": 2})
        await records.write({"n": 3})

    asyncio.run(write_all())
    assert [json.loads(line)["n"] for line in _lines(path)] == [1, 3]
    assert _verify(path).broken_line == 0


def _fail(descriptor: int) -> None:
    raise OSError(5, "Input/output error")


def test_records_that_wait_are_synced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk syncs the first, twenty come: they need one more sync, not twenty."""
    path = tmp_path / "decisions.jsonl"
    synced: list[int] = []
    entered, go_on = threading.Event(), threading.Event()
    original = os.fsync

    def slow(descriptor: int) -> None:
        synced.append(descriptor)
        entered.set()
        assert go_on.wait(10)
        original(descriptor)

    async def write_all() -> None:
        records = JSONLinesRecords(path)
        await records.write({"n": -1})  # opens the file
        monkeypatch.setattr(os, "fsync", slow)
        first = asyncio.create_task(records.write({"n": 0}))
        await asyncio.to_thread(entered.wait)
        others = [asyncio.create_task(records.write({"n": n})) for n in range(1, 21)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *others)), "nothing is said before its sync"
        go_on.set()
        await asyncio.gather(first, *others)

    asyncio.run(write_all())
    assert len(synced) == 2
    assert [json.loads(line)["n"] for line in _lines(path)] == list(range(-1, 21))
    assert _verify(path).broken_line == 0


def test_note_is_written_at_once_and_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What became of a message costs no second sync; a killed process leaves it all the same."""
    path = tmp_path / "decisions.jsonl"

    async def write_all() -> None:
        records = JSONLinesRecords(path)
        await records.write({"n": 1})
        monkeypatch.setattr(os, "fsync", _fail)
        records.note({"n": 2})

    asyncio.run(write_all())
    assert [json.loads(line)["n"] for line in _lines(path)] == [1, 2]
    assert _verify(path).broken_line == 0


def test_note_while_the_disk_is_busy_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop does not wait for a sync, and the order is kept."""
    path = tmp_path / "decisions.jsonl"
    entered, go_on = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        entered.set()
        assert go_on.wait(10)

    async def write_all() -> None:
        records = JSONLinesRecords(path)
        await records.write({"n": 1})
        monkeypatch.setattr(os, "fsync", slow)
        second = asyncio.create_task(records.write({"n": 2}))
        await asyncio.to_thread(entered.wait)
        records.note({"n": 3})
        go_on.set()
        await second
        await records.write({"n": 4})

    asyncio.run(write_all())
    assert [json.loads(line)["n"] for line in _lines(path)] == [1, 2, 3, 4]


def test_note_that_cannot_be_written_is_told_and_not_raised(tmp_path: Path) -> None:
    """The mail it tells of has left already."""
    told: list[str] = []
    records = JSONLinesRecords(tmp_path / "missing/decisions.jsonl")
    records.on_failure = told.append
    records.note({"n": 1})
    assert ["cannot be written" in text for text in told] == [True]
