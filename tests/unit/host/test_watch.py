"""The machine is looked at before mail is taken."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smimegw import RELEASED
from smimegw.adapters.host.watch import HostWatch
from smimegw.limits import Limits
from tests.fakes.ports import ListedEvents
from tests.peers.ports import wait_until

NOW = RELEASED + timedelta(days=100)


@dataclass
class SetClock:
    """Time that is set by hand."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class Machine:
    """A state directory with a file of decision records."""

    directory: Path
    clock: SetClock
    events: ListedEvents
    others: tuple[Path, ...] = ()

    @property
    def records(self) -> Path:
        return self.directory / "decisions.jsonl"

    def write(self, at: datetime) -> None:
        self.records.write_bytes(b"{}\n")
        os.utime(self.records, (at.timestamp(), at.timestamp()))

    def watch(self, **limits: int) -> HostWatch:
        return HostWatch(
            [self.directory, *self.others],
            self.records,
            events=self.events,
            clock=self.clock,
            limits=Limits(**({"disk_free_octets": 1, "disk_free_inodes": 0} | limits)),
            patience_seconds=60,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, SetClock(), ListedEvents())


def row(watch: HostWatch) -> str:
    trouble = watch.trouble()
    return trouble.row if trouble else ""


def test_sound_machine_takes_mail(machine: Machine) -> None:
    """Nothing is logged either."""
    machine.write(NOW)
    assert row(machine.watch()) == ""
    assert not machine.events.emitted


def test_little_space_is_trouble(machine: Machine) -> None:
    """More than any disk has is never free (R-21, cases E01)."""
    trouble = machine.watch(disk_free_octets=1 << 62).trouble()
    assert trouble is not None
    assert trouble.row == "R-21"
    assert str(machine.directory) in trouble.text


def test_few_inodes_are_trouble(machine: Machine) -> None:
    """Empty files fill a disk, too (R-21)."""
    assert row(machine.watch(disk_free_inodes=1 << 62)) == "R-21"


def test_recovery_is_seen_without_restart(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds after space was freed (cases E01); begin and end are logged once."""
    watch = machine.watch(disk_free_octets=1 << 62)
    assert row(watch) == row(watch) == "R-21"
    monkeypatch.setattr(watch, "_limits", Limits(disk_free_octets=1, disk_free_inodes=0))
    assert row(watch) == "R-21"  # remembered
    machine.clock.at += timedelta(seconds=5)
    assert row(watch) == ""
    assert [name for name, _ in machine.events.emitted] == ["host.trouble", "host.recovered"]


def test_missing_state_directory_is_trouble(machine: Machine) -> None:
    """As when it is unmounted."""
    machine.directory.rmdir()
    assert row(machine.watch()) == "R-21"


def test_the_spool_needs_room_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large mail is kept there, on a file system of its own perhaps (R-21)."""
    spool = machine.directory / "spool"
    found = os.statvfs(machine.directory)
    full = os.statvfs_result((*found[:4], 0, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda path: full if path == spool else found)
    assert row(machine.watch()) == ""
    machine.others = (spool,)
    trouble = machine.watch().trouble()
    assert trouble is not None
    assert trouble.row == "R-21"
    assert str(spool) in trouble.text


def test_file_system_that_hangs_holds_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop goes on, mail is refused, and when it answers all is well (R-21)."""
    hangs, looks = threading.Event(), []
    statvfs = os.statvfs

    def hanging(path: Path) -> os.statvfs_result:
        looks.append(path)
        hangs.wait(60)
        return statvfs(path)

    monkeypatch.setattr(os, "statvfs", hanging)
    watch = HostWatch(
        [machine.directory],
        machine.records,
        events=machine.events,
        clock=machine.clock,
        limits=Limits(disk_free_octets=1, disk_free_inodes=0),
        patience_seconds=0.0,
        answer_seconds=0.0,
    )
    trouble = watch.trouble()
    assert trouble is not None
    assert "does not answer" in trouble.text
    machine.clock.at += timedelta(minutes=1)
    assert row(watch) == "R-21"
    assert len(looks) == 1, "nobody waits behind the first one"
    hangs.set()
    wait_until(lambda: row(watch) == "", "the answer that came after all")
    assert [name for name, _ in machine.events.emitted] == ["host.trouble", "host.recovered"]


def test_clock_before_the_release_is_wrong(machine: Machine) -> None:
    """A machine that lost its clock starts in 1970 (R-24, T-27)."""
    machine.clock.at = RELEASED - timedelta(seconds=1)
    assert row(machine.watch()) == "R-24"
    machine.clock.at = RELEASED + timedelta(days=1)
    assert row(machine.watch()) == ""


@pytest.mark.parametrize(("behind", "expected"), [(300, ""), (301, "R-24")])
def test_clock_behind_the_last_record_is_wrong(
    machine: Machine, behind: int, expected: str
) -> None:
    """Somebody set it back: expired certificates would be valid again (R-24)."""
    machine.write(NOW + timedelta(seconds=behind))
    assert row(machine.watch()) == expected


def test_mail_in_flight_does_not_make_a_wrong_clock_right(machine: Machine) -> None:
    """Its records stamp the file with the wrong time; the one before is remembered (R-24, T-27)."""
    machine.write(NOW)
    watch = machine.watch()
    assert row(watch) == ""
    machine.clock.at = NOW - timedelta(days=1)
    machine.write(machine.clock.at)
    assert row(watch) == "R-24"
    [(_, values)] = machine.events.emitted
    assert "touch that file and restart" in values["text"]
    machine.clock.at = NOW + timedelta(seconds=1)
    assert row(watch) == ""


def test_clock_that_went_back_is_looked_at_at_once(machine: Machine) -> None:
    """Remembered answers are of no use then (R-24)."""
    machine.write(NOW)
    watch = machine.watch()
    assert row(watch) == ""
    machine.clock.at = NOW - timedelta(hours=1)
    assert row(watch) == "R-24"
