"""Decision records go to two places, and mail goes on while one of them can be written."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.logs.record_chain import verify
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.adapters.logs.two_places import TwoPlaces
from smimegw.errors import RecordError
from tests.fakes.ports import ListedEvents


class Disks:
    """Two directories of which each can be full, or hang until it is let go."""

    def __init__(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = [here / "one" / "decisions.jsonl", here / "two" / "decisions.jsonl"]
        for path in self.paths:
            path.parent.mkdir()
        self.events = ListedEvents()
        self.full: set[Path] = set()
        self.hanging: set[Path] = set()
        self.goes_on = threading.Event()
        sync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: self._sync(descriptor, sync))

    def _sync(self, descriptor: int, sync: Any) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path in self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if path in self.hanging:
            self.goes_on.wait(60)
        sync(descriptor)

    def open(self, *, both: bool = False, patience: float = 60.0) -> TwoPlaces:
        files = [JSONLinesRecords(self.paths[0]), JSONLinesRecords(self.paths[1], in_thread=True)]
        return TwoPlaces(files, self.events, all_required=both, patience_seconds=patience)

    def txns(self, number: int) -> list[object]:
        path = self.paths[number]
        lines = path.read_text().splitlines() if path.exists() else []
        return [(entry := json.loads(line)).get("txn", entry.get("missing")) for line in lines]


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks(tmp_path, monkeypatch)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_both_have_everything_as_chains_of_their_own(disks: Disks) -> None:
    """Records that were waited for, and notes (E23)."""

    async def test() -> None:
        records = disks.open()
        await records.write({"txn": "a"})
        records.note({"txn": "b"})
        await records.write({"txn": "c"})
        records.close()

    run(test())
    assert disks.txns(0) == disks.txns(1) == ["a", "b", "c"]
    for path in disks.paths:
        with path.open("rb") as file:
            assert verify(file).broken_line == 0


@pytest.mark.parametrize("number", [0, 1])
def test_one_that_is_full_does_not_stop_mail(disks: Disks, number: int) -> None:
    """Said once; when it works again it says how many it lacks (E23)."""

    async def test() -> None:
        records = disks.open()
        disks.full.add(disks.paths[number])
        await records.write({"txn": "a"})
        await records.write({"txn": "b"})
        disks.full.clear()
        await records.write({"txn": "c"})
        await records.write({"txn": "d"})
        records.close()

    run(test())
    assert disks.txns(1 - number) == ["a", "b", "c", "d"]
    assert disks.txns(number) == ["c", 2, "d"]
    assert [name for name, _ in disks.events.emitted] == ["record.error", "record.recovered"]
    assert disks.events.named("record.recovered")[0]["count"] == 2


@pytest.mark.parametrize("number", [0, 1])
def test_one_that_hangs_is_left_alone(disks: Disks, number: int) -> None:
    """The first record waits for it, the others do not (E23)."""

    async def test() -> None:
        records = disks.open(patience=0.2)
        disks.hanging.add(disks.paths[number])
        for txn in "ab":
            await records.write({"txn": txn})
        records.note({"txn": "n"})
        async with asyncio.timeout(60):
            while disks.txns(1 - number) != ["a", "b", "n"]:
                await asyncio.sleep(0)
        disks.hanging.clear()
        disks.goes_on.set()
        async with asyncio.timeout(60):
            while records._places[number].is_blocked:
                await asyncio.sleep(0)
        records.patience_seconds = 60.0
        await records.write({"txn": "c"})
        await records.write({"txn": "d"})
        records.close()

    run(test())
    assert disks.txns(number) == ["a", "c", 3, "d"]


def test_both_blocked_take_no_mail(disks: Disks) -> None:
    """Nothing is sent unrecorded (E23, R-20)."""

    async def test() -> None:
        disks.full.update(disks.paths)
        with pytest.raises(RecordError, match=r"one/decisions.*two/decisions"):
            await disks.open().write({"txn": "a"})

    run(test())


@pytest.mark.parametrize("number", [0, 1])
def test_required_place_that_is_full_takes_no_mail(disks: Disks, number: int) -> None:
    """``records.required = "both"`` (E23, R-20)."""

    async def test() -> None:
        disks.full.add(disks.paths[number])
        with pytest.raises(RecordError):
            await disks.open(both=True).write({"txn": "a"})

    run(test())
