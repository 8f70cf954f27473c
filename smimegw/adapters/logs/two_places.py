"""The `Records` port in two places: one that is blocked does not take the other with it (E23)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.errors import RecordError
from smimegw.ports import Events

_LONGEST_SECONDS = 25.0
_PATIENCE_SECONDS = 5.0  # a disk that takes longer is left alone until it answers


@dataclass(slots=True, eq=False)
class _Place:
    """One of them, and how it is.

    Attributes:
        records: Its file.
        waiting: What it was given and has not answered in time.
        missing: How many records it did not get since it failed.
        trouble: Why; empty when all is well.
    """

    records: JSONLinesRecords
    waiting: asyncio.Task[None] | None = None
    missing: int = 0
    trouble: str = ""

    @property
    def is_blocked(self) -> bool:
        """It still works on what it was given."""
        return self.waiting is not None and not self.waiting.done()


@dataclass(slots=True)
class TwoPlaces:
    """Implements `Records` over several files, each a chain of its own.

    Attributes:
        files: On different disks.
        events: Told when a place fails and when it works again.
        all_required: No mail without a record in every place; else one of them is enough.
        patience_seconds: How long one place may keep the other waiting.
        longest_seconds: How much longer both may take.
    """

    files: Sequence[JSONLinesRecords]
    events: Events
    all_required: bool = False
    patience_seconds: float = _PATIENCE_SECONDS
    longest_seconds: float = _LONGEST_SECONDS
    _places: tuple[_Place, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Begin well."""
        self._places = tuple(_Place(file) for file in self.files)

    async def write(self, record: Mapping[str, Any]) -> None:
        """Write one record durably in every place that works.

        Raises:
            RecordError: In none, or in one that is required not.
        """
        given = {
            place: asyncio.create_task(place.records.write(record))
            for place in self._places
            if not place.is_blocked
        }
        if given:
            done, _ = await asyncio.wait(given.values(), timeout=self.patience_seconds)
            if not done:  # none is quick: the first one counts
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait(given.values(), timeout=self.longest_seconds, return_when=first)
        failed = []
        for place in self._places:
            task = given.get(place)
            trouble = _trouble(task, place)
            if trouble:
                self._failed(place, trouble)
                place.waiting = place.waiting if task is None else task
                failed.append(trouble)
            else:
                self._worked(place, record)
        if len(failed) == len(self._places) or (failed and self.all_required):
            raise RecordError("; ".join(failed))

    def note(self, record: Mapping[str, Any]) -> None:
        """Write one record about what has happened already, where that works; never raises."""
        for place in self._places:
            if place.is_blocked:
                place.missing += 1
            else:
                place.records.note(record)

    def close(self) -> None:
        """Close the files of the places that answer."""
        for place in self._places:
            if not place.is_blocked:
                place.records.close()

    def _failed(self, place: _Place, trouble: str) -> None:
        place.missing += 1
        if not place.trouble:
            self.events.emit("record.error", text=trouble, code="E23")
        place.trouble = trouble

    def _worked(self, place: _Place, record: Mapping[str, Any]) -> None:
        place.waiting = None
        if not place.trouble:
            return
        values = {"schema": 1, "kind": "gap", "at": record.get("at", ""), "missing": place.missing}
        place.records.note(values)
        self.events.emit("record.recovered", path=str(place.records.path), count=place.missing)
        place.trouble, place.missing = "", 0


def _trouble(task: asyncio.Task[None] | None, place: _Place) -> str:
    """Why the record is not there; empty when it is."""
    if task is None or not task.done():
        if task is not None:
            task.add_done_callback(_looked_at)
        return f"{place.records.path} does not answer; is its disk gone, or the server that has it?"
    error = task.exception()
    return str(error) if error is not None else ""


def _looked_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # told already; nobody is warned that nobody asked
