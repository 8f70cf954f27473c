"""Finds decisions of which no outcome is recorded: what a process was at when it ended (C06)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from smimegw.adapters.logs.record_chain import parsed
from smimegw.adapters.logs.record_shape import is_record
from smimegw.errors import RecordError
from smimegw.limits import MIB

OUTCOMES = frozenset({"reply", "delivery", "late", "aborted"})
_WITHIN = timedelta(minutes=10)  # longer than any message is worked on
_MOST_OCTETS = 64 * MIB
_NEVER = datetime.min.replace(tzinfo=UTC)

Record = Mapping[str, Any]


def open_decisions(records: Iterable[Record]) -> tuple[Record, ...]:
    """The decisions in *records*, oldest first, that none of `OUTCOMES` follows."""
    found: dict[str, Record] = {}
    for record in records:
        txn = str(record.get("txn", ""))
        if record.get("kind", "decision") == "decision":
            found[txn] = record
        elif record.get("kind") in OUTCOMES:
            found.pop(txn, None)
    return tuple(found.values())


def newest_records(path: Path) -> tuple[Record, ...]:
    """The records of the last minutes in a file of one process, which may be long.

    Raises:
        RecordError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _newest(file.fileno(), os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}", retryable=False) from error


def _newest(descriptor: int, size: int) -> tuple[Record, ...]:
    length = MIB
    while True:
        start = max(0, size - length)
        lines = os.pread(descriptor, length, start).split(b"\n")
        # The first line may be half of one.
        parts = (record for line in lines[bool(start) :] if (record := parsed(line)))
        found = [record for record in parts if is_record(record)]
        last = recorded_at(found[-1]) if found else _NEVER
        recent = [record for record in found if last - recorded_at(record) <= _WITHIN]
        if not start or length >= _MOST_OCTETS or len(recent) < len(found):
            return tuple(recent)
        length *= 4


def recorded_at(record: Record) -> datetime:
    """When *record* was made; long ago when it does not say."""
    try:
        found = datetime.fromisoformat(str(record.get("at")))
    except ValueError:
        return _NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)
