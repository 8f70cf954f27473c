"""An append-only book in SQLite whose entries are chained by SHA-256.

A changed, removed or inserted entry shows (`pki.chain`).  Entries cut off at the end are found by
what stands beside the ledger (`pki.opening`) and by a head that the administrator noted elsewhere
(``smimegw-ca ledger verify --head``).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pki.chain import START, Details, Draft, Entry, chained, linked
from pki.errors import BusyError, LedgerError

_VERSION = 1
_BUSY_SECONDS = 10.0
_ROWS_AT_ONCE = 1000

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
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Ledger:
    """The open book.  Use it as a context manager, or `close` it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

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
    def open(cls, path: Path, *, verify: bool = True) -> Self:
        """Open an existing book.

        Args:
            path: The file.
            verify: Check every entry now, not when it is read.

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
            if verify:
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
        draft = Draft(kind=kind, serial=serial, details=dict(details or {}), der=der)
        (entry,) = self.append_all([draft], at=at)
        return entry

    def append_all(self, drafts: Sequence[Draft], *, at: datetime) -> tuple[Entry, ...]:
        """Add entries, all of them or none; when this returns they are on the disk.

        Raises:
            LedgerError: A serial number has such an entry already.
            BusyError: The disk did not take them, or another process holds the book too long.
        """
        written = []
        with self._trouble("append to"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                row = self._connection.execute(
                    "SELECT number, digest FROM entries ORDER BY number DESC LIMIT 1"
                ).fetchone()
                number, previous = row or (0, START)
                for draft in drafts:
                    entry = chained(draft, number + 1, previous, at)
                    self._connection.execute(_INSERT, entry.row)
                    number, previous = entry.number, entry.digest
                    written.append(entry)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return tuple(written)

    def read(self, after: int = 0, head: bytes = START) -> Iterator[Entry]:
        """Yield the entries behind number *after*, each checked against the one before.

        Args:
            after: The last entry that the caller knows.
            head: Its digest.

        Raises:
            LedgerError: The chain does not hold.
        """
        while True:
            with self._trouble("read"):
                rows = self._connection.execute(
                    "SELECT * FROM entries WHERE number > ? ORDER BY number LIMIT ?",
                    (after, _ROWS_AT_ONCE),
                ).fetchall()
            for row in rows:
                entry = self._checked(row, after, head)
                after, head = entry.number, entry.digest
                yield entry
            if len(rows) < _ROWS_AT_ONCE:
                return

    def entries(self) -> tuple[Entry, ...]:
        """Return every entry, oldest first, each checked against the one before.

        Raises:
            LedgerError: The chain does not hold.
        """
        return tuple(self.read())

    def verify(self, head: bytes | None = None) -> tuple[int, bytes]:
        """Check every entry; return the number of entries and the head, the last one's digest.

        Args:
            head: A head noted earlier; it has to be part of the chain still.

        Raises:
            LedgerError: The chain does not hold, or *head* is not in it.
        """
        number, newest, seen = 0, START, head is None
        for entry in self.read():
            number, newest = entry.number, entry.digest
            seen = seen or entry.digest == head
        if not seen:
            raise LedgerError(
                f"{self._path}: the head that you noted is not in the ledger any more: entries "
                "were cut off or an older copy was put back. Restore the newest backup."
            )
        return number, newest

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, row: tuple[Any, ...], after: int, head: bytes) -> Entry:
        entry = linked(row, after, head)
        if entry is None:
            number, _, kind, serial = row[:4]
            raise LedgerError(
                f"{self._path}: the chain breaks at entry {number} ({kind} {serial}): it or "
                "the entry before it was changed after it was written. Stop issuing, keep a "
                "copy of the file as evidence and restore the ledger from a backup."
            )
        return entry

    def _make_durable(self) -> None:
        # The rollback journal with EXTRA survives a power cut after COMMIT, the directory included.
        with self._trouble("open"):
            self._connection.execute("PRAGMA synchronous = EXTRA")

    def _refuse_other_version(self) -> None:
        with self._trouble("read"):
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:  # what every new file has
            raise LedgerError(
                f"{self._path}: is empty or no ledger. Restore it from the newest backup of the "
                "whole directory."
            )
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
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # tables are missing or other ones
                raise self._damaged(error) from error
            raise BusyError(
                f"{self._path}: could not {verb} the ledger ({error}). Nothing was recorded; free "
                "space or wait for the other process, then do it again.",
                server=str(self._path),
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(
            f"{self._path}: is damaged ({error}). Restore the ledger from the backup."
        )


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
