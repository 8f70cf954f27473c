"""Decision records are whole lines on the disk, or an error."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.addresses import Mailbox
from smimegw.errors import RecordError


def _write(records: JSONLinesRecords, *entries: dict[str, Any]) -> None:
    async def write_all() -> None:
        await asyncio.gather(*(records.write(entry) for entry in entries))

    asyncio.run(write_all())


def _read(path: Path) -> list[dict[str, Any]]:
    """The records of a file without their links."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: entry[key] for key in entry if key != "prev"} for entry in entries]


def test_records_are_json_lines(tmp_path: Path) -> None:
    """One object per line, whatever is in it."""
    records = JSONLinesRecords(tmp_path / "records")
    _write(records, {"txn": "a", "why": "line\nend", "to": Mailbox.parse("b@p.example")})
    expected = {"txn": "a", "why": "line\nend", "to": "b@p.example"}
    assert _read(tmp_path / "records") == [expected]


def test_concurrent_records_stay_whole(tmp_path: Path) -> None:
    """Fifty at once."""
    records = JSONLinesRecords(tmp_path / "records")
    _write(records, *({"n": number, "pad": "x" * 5000} for number in range(50)))
    lines = (tmp_path / "records").read_text().splitlines()
    assert sorted(json.loads(line)["n"] for line in lines) == list(range(50))


def test_record_is_synced_before_write_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that only stands in memory is no record (R-20)."""
    synced: list[int] = []
    original = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), original(fd))[1])
    _write(JSONLinesRecords(tmp_path / "records"), {"a": 1})
    assert len(synced) == 2, "the directory entry and the line"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_failed_sync_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Full or broken disk: the message must not leave (R-20)."""

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RecordError, match="cannot be written"):
        _write(JSONLinesRecords(tmp_path / "records"), {"a": 1})


def test_full_disk_is_an_error() -> None:
    """/dev/full refuses every octet (R-20)."""
    with pytest.raises(RecordError, match="No space left"):
        _write(JSONLinesRecords(Path("/dev/full")), {"a": 1})


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle of a line leaves no broken line behind."""
    records = JSONLinesRecords(tmp_path / "records")
    _write(records, {"a": 1})
    original = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, octets: original(fd, octets[:5]))
        with pytest.raises(RecordError, match="No space left"):
            _write(records, {"a": 2})
    _write(records, {"a": 3})
    assert _read(tmp_path / "records") == [{"a": 1}, {"a": 3}]


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    """The text names the file."""
    with pytest.raises(RecordError, match="no/records"):
        _write(JSONLinesRecords(tmp_path / "no/records"), {"a": 1})


def test_renamed_file_is_made_anew(tmp_path: Path) -> None:
    """logrotate renames; the next record goes into a new file."""
    records = JSONLinesRecords(tmp_path / "records")
    _write(records, {"a": 1})
    (tmp_path / "records").rename(tmp_path / "records.1")
    _write(records, {"a": 2})
    assert _read(tmp_path / "records") == [{"a": 2}]


def test_file_is_private(tmp_path: Path) -> None:
    """Who wrote to whom is nobody else's business."""
    _write(JSONLinesRecords(tmp_path / "records"), {"a": 1})
    assert (tmp_path / "records").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", ["subject", "Subject", "content", "body", "password"])
def test_content_is_refused(tmp_path: Path, key: str) -> None:
    """By name, before anything is written."""
    with pytest.raises(RecordError, match="never holds"):
        _write(JSONLinesRecords(tmp_path / "records"), {key: "x"})
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("value", [object(), b"x", float("nan")])
def test_value_without_a_json_form_is_an_error(tmp_path: Path, value: object) -> None:
    """A record that could not be read again is no record."""
    with pytest.raises(RecordError, match="cannot be written"):
        _write(JSONLinesRecords(tmp_path / "records"), {"a": value})


def test_notes_that_wait_are_written_at_the_end(tmp_path: Path) -> None:
    """An orderly stop loses none of them, also where they are written in a thread."""

    async def main() -> None:
        records = JSONLinesRecords(tmp_path / "records", in_thread=True)
        await records.write({"n": 1})
        records.note({"n": 2})
        records.close()

    asyncio.run(main())
    assert _read(tmp_path / "records") == [{"n": 1}, {"n": 2}]
