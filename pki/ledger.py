"""An append-only book in SQLite whose entries are chained by SHA-256.

Each entry's digest covers the entry and the digest before it, so a changed, removed or inserted
entry shows.  Entries cut off at the end are found by what stands beside the ledger (`pki.home`)
and by a head that the administrator noted elsewhere (``smimegw-ca ledger verify --head``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from pki.errors import BusyError, LedgerError

_VERSION = 1
_START = hashlib.sha256(b"smimegw-ca ledger 1").digest()
_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE entries (
    number   INTEGER PRIMARY KEY CHECK (number > 0),
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    serial   TEXT NOT NULL,
    details  TEXT NOT NULL,
    der      BLOB NOT NULL,
    previous BLOB NOT NULL UNIQUE,
    digest   BLOB NOT NULL UNIQUE
) STRICT;
CREATE UNIQUE INDEX one_reservation ON entries (serial) WHERE kind = 'reserved';
CREATE UNIQUE INDEX one_certificate ON entries (serial) WHERE kind = 'issued';
CREATE UNIQUE INDEX one_revocation ON entries (serial) WHERE kind = 'revoked';
CREATE TRIGGER no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""

Detail = str | int | bool
Details = Mapping[str, Detail]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the book.

    Attributes:
        serial: The certificate it is about, hexadecimal; empty when about none.
        der: A certificate or CRL, else empty.
    """

    number: int
    at: str
    kind: str
    serial: str
    details: Details
    der: bytes
    previous: bytes
    digest: bytes


class Ledger:
    """The open book.  Use it as a context manager, or `close` it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._checked: list[Entry] = []

    @classmethod
    def create(cls, path: Path) -> Self:
        """Begin a new, empty book.

        Raises:
            BusyError: The disk does not take it.
        """
        path.touch(mode=0o600, exist_ok=False)
        ledger = cls(_connect(path), path)
        ledger._make_durable()
        with ledger._trouble("create"):
            ledger._connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        return ledger

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing book and verify it.

        Raises:
            LedgerError: Missing, damaged, tampered with or made by a newer release.
            BusyError: Locked, or the disk is full.
        """
        if not path.is_file():
            raise LedgerError(f"{path}: the ledger is missing. Restore it from the backup.")
        ledger = cls(_connect(path), path)
        try:
            ledger._make_durable()
            ledger._refuse_other_version()
            ledger.verify()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def append(
        self,
        kind: str,
        *,
        at: datetime,
        serial: str = "",
        details: Details | None = None,
        der: bytes = b"",
    ) -> Entry:
        """Add one entry; when this returns it is on the disk.

        Raises:
            LedgerError: The serial number has such an entry already.
            BusyError: The disk did not take it, or another process holds the book too long.
        """
        with self._trouble("append to"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                row = self._connection.execute(
                    "SELECT number, digest FROM entries ORDER BY number DESC LIMIT 1"
                ).fetchone()
                number, previous = (row[0] + 1, row[1]) if row else (1, _START)
                text = json.dumps(dict(details or {}), sort_keys=True, ensure_ascii=False)
                when = at.isoformat(timespec="seconds")
                digest = _digest(previous, number, when, kind, serial, text, der)
                self._connection.execute(
                    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (number, when, kind, serial, text, der, previous, digest),
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        *_, newest = self.entries()
        return newest

    def entries(self) -> tuple[Entry, ...]:
        """Return every entry, oldest first, each checked against the one before.

        What this process has checked once is not read again; `verify` reads everything.

        Raises:
            LedgerError: The chain does not hold.
        """
        with self._trouble("read"):
            rows = self._connection.execute(
                "SELECT * FROM entries WHERE number > ? ORDER BY number", (len(self._checked),)
            ).fetchall()
        for number, at, kind, serial, text, der, claimed, digest in rows:
            previous = self._checked[-1].digest if self._checked else _START
            held = (
                number == len(self._checked) + 1
                and claimed == previous
                and digest == _digest(previous, number, at, kind, serial, text, der)
            )
            if not held:
                raise LedgerError(
                    f"{self._path}: the chain breaks at entry {number} ({kind} {serial}): it or "
                    "the entry before it was changed after it was written. Stop issuing, keep a "
                    "copy of the file as evidence and restore the ledger from a backup."
                )
            self._checked.append(
                Entry(
                    number=number,
                    at=at,
                    kind=kind,
                    serial=serial,
                    details=json.loads(text),
                    der=der,
                    previous=claimed,
                    digest=digest,
                )
            )
        return tuple(self._checked)

    def verify(self, head: bytes | None = None) -> tuple[int, bytes]:
        """Check every entry; return the number of entries and the head, the last one's digest.

        Args:
            head: A head noted earlier; it has to be part of the chain still.

        Raises:
            LedgerError: The chain does not hold, or *head* is not in it.
        """
        self._checked.clear()
        entries = self.entries()
        if head is not None and head not in {entry.digest for entry in entries}:
            raise LedgerError(
                f"{self._path}: the head that you noted is not in the ledger any more: entries "
                "were cut off or an older copy was put back. Restore the newest backup."
            )
        return len(entries), entries[-1].digest if entries else _START

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_durable(self) -> None:
        # The rollback journal with EXTRA survives a power cut after COMMIT, the directory included.
        with self._trouble("open"):
            self._connection.execute("PRAGMA synchronous = EXTRA")

    def _refuse_other_version(self) -> None:
        with self._trouble("read"):
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise LedgerError(
                f"{self._path}: has format {version}, this release knows {_VERSION}. "
                "Use the release that wrote it."
            )

    @contextlib.contextmanager
    def _trouble(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise LedgerError(
                f"{self._path}: refused an entry, because one like it is there already ({error})."
            ) from error
        except sqlite3.ProgrammingError:
            raise  # ours to mend, not the administrator's
        except sqlite3.OperationalError as error:
            raise BusyError(
                f"{self._path}: could not {verb} the ledger ({error}). Nothing was recorded; free "
                "space or wait for the other process, then do it again.",
                server=str(self._path),
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{self._path}: is damaged ({error}). Restore the ledger from the backup."
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def _digest(
    previous: bytes, number: int, at: str, kind: str, serial: str, details: str, der: bytes
) -> bytes:
    state = hashlib.sha256(previous)
    for part in (
        str(number).encode(),
        at.encode(),
        kind.encode(),
        serial.encode(),
        details.encode(),
        der,
    ):
        state.update(len(part).to_bytes(8, "big"))  # so that no two splits look the same
        state.update(part)
    return state.digest()
