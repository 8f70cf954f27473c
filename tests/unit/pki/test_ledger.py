"""The ledger only grows, and shows when somebody else wrote in it."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pki.chain import Draft
from pki.errors import LedgerError
from pki.ledger import Ledger

_PROJECT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.create(path) as opened:
        for number in range(1, 5):
            opened.append("reserved", at=NOW, serial=f"0{number}", details={"name": "Zoë"})
        yield opened


def _tamper(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("DROP TRIGGER no_update; DROP TRIGGER no_delete;")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_entries_come_back_as_they_were_written(ledger: Ledger, path: Path) -> None:
    """What was appended is there after opening the file again."""
    ledger.append("issued", at=NOW, serial="01", der=b"\x30\x00")
    with Ledger.open(path) as again:
        first, *_, last = again.entries()
    assert (last.number, last.kind, last.serial, last.der) == (5, "issued", "01", b"\x30\x00")
    assert first.details == {"name": "Zoë"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET serial = '99' WHERE number = 2",
        "UPDATE entries SET at = '2020-01-01' WHERE number = 4",
        "UPDATE entries SET details = '{}' WHERE number = 1",
        "UPDATE entries SET der = x'00' WHERE number = 4",
        "UPDATE entries SET kind = 'abandoned' WHERE number = 4",
        "UPDATE entries SET digest = x'00' WHERE number = 4",
        "DELETE FROM entries WHERE number = 1",
        "DELETE FROM entries WHERE number = 3",
        "UPDATE entries SET number = number + 10 WHERE number = 4",
    ],
)
def test_a_changed_entry_breaks_the_chain(ledger: Ledger, path: Path, statement: str) -> None:
    """Every field of every entry is under the chain."""
    ledger.close()
    _tamper(path, statement)
    with pytest.raises(LedgerError, match="chain breaks"):
        Ledger.open(path)


def test_entries_cut_off_the_end_are_missed_by_a_noted_head(ledger: Ledger, path: Path) -> None:
    """The chain alone cannot show its own missing end, a head noted elsewhere can."""
    _, head = ledger.verify()
    ledger.close()
    _tamper(path, "DELETE FROM entries WHERE number = 4")
    with Ledger.open(path) as shortened, pytest.raises(LedgerError, match="head that you noted"):
        shortened.verify(head)


def test_a_noted_head_stays_in_the_chain(ledger: Ledger) -> None:
    """Growing does not invalidate an older head."""
    _, head = ledger.verify()
    ledger.append("crl", at=NOW)
    assert ledger.verify(head)[0] == 5


@pytest.mark.parametrize("statement", ["UPDATE entries SET at = 'x'", "DELETE FROM entries"])
def test_the_data_base_refuses_to_change_entries(
    ledger: Ledger, path: Path, statement: str
) -> None:
    """Append-only holds for every program that opens the file, not only for ours."""
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("kind", ["reserved", "issued", "revoked"])
def test_a_serial_number_has_each_entry_once(ledger: Ledger, kind: str) -> None:
    """Even a faulty caller cannot issue two certificates with one number (RFC 5280, 4.1.2.2)."""
    ledger.append(kind, at=NOW, serial="77")
    with pytest.raises(LedgerError, match="there already"):
        ledger.append(kind, at=NOW, serial="77")


def test_two_processes_make_one_chain(ledger: Ledger, path: Path) -> None:
    """Entries of another process are taken up before the next one is chained to them."""
    program = (
        "import sys; from datetime import *; from pathlib import Path; from pki.ledger import *\n"
        "with Ledger.open(Path(sys.argv[1])) as l:\n"
        "    l.append('crl', at=datetime.now(timezone.utc))\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd=_PROJECT, timeout=60)
    assert ledger.append("crl", at=NOW).number == 6
    assert ledger.verify()[0] == 6


def test_garbage_in_place_of_the_ledger_is_named(path: Path) -> None:
    """A damaged file is damage, not an empty ledger."""
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(path)


def test_a_missing_ledger_is_not_made_anew(path: Path) -> None:
    """An empty ledger in place of a lost one would forget every revocation."""
    with pytest.raises(LedgerError, match="missing"):
        Ledger.open(path)
    assert not path.exists()


def test_an_empty_file_is_no_ledger(path: Path) -> None:
    """A full disk leaves such a copy; no other release would read it either."""
    path.write_bytes(b"")
    with pytest.raises(LedgerError, match="is empty or no ledger"):
        Ledger.open(path)


def test_a_ledger_without_its_table_is_damaged(ledger: Ledger, path: Path) -> None:
    """Waiting and freeing space, as for a busy one, would not help."""
    ledger.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE entries")
    with pytest.raises(LedgerError, match="is damaged"):
        Ledger.open(path)


def test_a_ledger_of_a_newer_release_is_left_alone(ledger: Ledger, path: Path) -> None:
    """An older program does not write into a format that it does not know."""
    ledger.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(LedgerError, match="format 2"):
        Ledger.open(path)


def test_several_entries_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    """A batch of which one number is taken leaves nothing behind."""
    drafts = [Draft(kind="reserved", serial=serial) for serial in ("81", "82", "01")]
    with pytest.raises(LedgerError, match="there already"):
        ledger.append_all(drafts, at=NOW)
    assert ledger.verify()[0] == 4
    ledger.append_all(drafts[:2], at=NOW)
    assert [entry.serial for entry in ledger.entries()][-2:] == ["81", "82"]
    assert ledger.verify()[0] == 6


def test_reading_goes_on_where_it_ended(ledger: Ledger) -> None:
    """What was checked once is not read again."""
    _, _, third, last = ledger.entries()
    assert [*ledger.read(third.number, third.digest)] == [last]
    assert [*ledger.read(last.number, last.digest)] == []


def test_reading_does_not_go_on_behind_another_entry(ledger: Ledger) -> None:
    """The entry that the reader knows was exchanged meanwhile."""
    first, second, *_ = ledger.entries()
    with pytest.raises(LedgerError, match="chain breaks"):
        list(ledger.read(second.number, first.digest))


def test_a_long_ledger_is_read_in_pieces(ledger: Ledger) -> None:
    """All of it, in order, across the pieces."""
    ledger.append_all([Draft(kind="crl") for _ in range(2100)], at=NOW)
    assert [entry.number for entry in ledger.entries()] == [*range(1, 2105)]
