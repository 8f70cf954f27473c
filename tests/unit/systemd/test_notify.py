"""What systemd is told, read from the socket as systemd reads it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smimegw.adapters.systemd.notify import SystemdOverseer
from smimegw.oversight import Condition

WELL = Condition(reasons=(), policy="ab" * 32, metrics=bytes)
ILL = Condition(reasons=("keystore is locked", "no disk"), policy="ab" * 32, metrics=bytes)


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def overseer(self, **more: str) -> SystemdOverseer:
        return SystemdOverseer({"NOTIFY_SOCKET": self.address, **more})

    def heard(self) -> list[str]:
        """The lines of the next datagram; none when there is none."""
        try:
            return self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return []


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    name = f"{tmp_path}/notify"
    found = Systemd(name if request.param == "path" else f"@{name}")
    yield found
    found.socket.close()


def test_readiness_comes_with_a_status(systemd: Systemd) -> None:
    """READY=1 ends the start of a unit of Type=notify (sd_notify(3))."""
    systemd.overseer().ready(WELL)
    assert systemd.heard() == ["READY=1", "STATUS=taking mail, policy abababababab"]


def test_the_status_names_what_is_wrong(systemd: Systemd) -> None:
    """`systemctl status` shows the reasons of /ready."""
    systemd.overseer().ready(ILL)
    assert systemd.heard() == ["READY=1", "STATUS=keystore is locked; no disk"]


def test_a_sign_of_life_comes_twice_in_the_time_of_the_watchdog(systemd: Systemd) -> None:
    """WATCHDOG=1 every half of WATCHDOG_USEC (sd_watchdog_enabled(3))."""
    overseer = systemd.overseer(WATCHDOG_USEC="60000000", WATCHDOG_PID=str(os.getpid()))
    assert overseer.every_seconds == 30.0
    overseer.beat(WELL)
    assert systemd.heard() == ["WATCHDOG=1", "STATUS=taking mail, policy abababababab"]
    overseer.beat(WELL)
    assert systemd.heard() == ["WATCHDOG=1"]


def test_the_watchdog_of_another_process_is_not_ours(systemd: Systemd) -> None:
    """WATCHDOG_PID names who has to show life."""
    overseer = systemd.overseer(WATCHDOG_USEC="60000000", WATCHDOG_PID=str(os.getppid()))
    overseer.ready(WELL)
    systemd.heard()
    overseer.beat(WELL)
    assert systemd.heard() == []


def test_a_reload_begins_with_its_time_and_ends_with_readiness(systemd: Systemd) -> None:
    """RELOADING=1 with MONOTONIC_USEC, then READY=1 (sd_notify(3), Type=notify-reload)."""
    overseer = systemd.overseer()
    before = time.monotonic_ns() // 1000
    overseer.reloading()
    first, second = systemd.heard()
    name, _, microseconds = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(microseconds) <= time.monotonic_ns() // 1000
    overseer.reloaded(WELL)
    assert systemd.heard()[0] == "READY=1"


def test_the_end_is_told(systemd: Systemd) -> None:
    """STOPPING=1, so that a slow end is not taken for a crash."""
    systemd.overseer().stopping()
    assert systemd.heard()[0] == "STOPPING=1"


def test_a_reason_cannot_add_a_line(systemd: Systemd) -> None:
    """A line end in a text would be an assignment of its own (T-12)."""
    systemd.overseer().ready(Condition(reasons=("a\nSTOPPING=1",), policy="", metrics=bytes))
    assert systemd.heard() == ["READY=1", "STATUS=a STOPPING=1"]


def test_nobody_listening_stops_nothing(tmp_path: Path) -> None:
    """A socket that is gone, or full, is not the mail's trouble."""
    SystemdOverseer({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready(WELL)


def test_without_systemd_nothing_is_wanted() -> None:
    """A process that was started by hand shows no signs of life."""
    assert SystemdOverseer({}).every_seconds == 0.0
