"""Reads decision records back: of all workers, renamed and packed files, of several nodes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from smimegw.adapters.logs.record_chain import parsed
from smimegw.adapters.logs.record_shape import is_record
from smimegw.errors import RecordError


def record_files(directory: Path) -> tuple[Path, ...]:
    """The files of records in a state directory, oldest first.

    Raises:
        RecordError: The directory cannot be read.
    """
    try:
        found = [
            (path.stat().st_mtime_ns, path.name, path)
            for path in directory.glob("decisions*.jsonl*")
            if path.is_file()
        ]
    except OSError as error:
        raise RecordError(f"{directory}: {error.strerror}", retryable=False) from error
    return tuple(path for _, _, path in sorted(found))


def chain_name(path: Path) -> str:
    """Files with one name hold one chain: a process's file and those it was renamed to."""
    return str(path.parent / path.name.partition(".jsonl")[0])


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of one file, with their ends; gzip is unpacked.

    Raises:
        RecordError: It cannot be read.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecordError(f"{path} cannot be read: {reason}", retryable=False) from error


def records_of(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Every record in *paths*; what is none, such as a crash's half line, is passed over.

    Raises:
        RecordError: A file cannot be read.
    """
    for path in paths:
        for line in lines_of(path):
            record = parsed(line)
            if record is not None and is_record(record):
                yield record
