"""Keystore, name service, disk, memory and clock × what can be wrong with them: the exact reply."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smimegw import failpoints
from smimegw.adapters.host import watch
from smimegw.adapters.keys import key_directory
from smimegw.app import SystemClock
from smimegw.regular_files import read_regular
from tests.faults.proxy import Trouble
from tests.faults.site import ALICE, BOB, Site

PLAIN = "plain@else.example"
_FINE = "250 2.0.0 OK"
_R_14 = "451 4.7.5 key store did not answer, try later (R-14)"
_NO_NEXT_HOP = "451 4.4.1 next hop not reachable, try later"

# --- the keystore --------------------------------------------------------------------------------


@contextlib.contextmanager
def _hanging(keys: Path) -> Iterator[None]:
    """A disk that does not answer when a new file is read."""
    new, released = keys / "ff.key.json", threading.Event()

    def read(path: Path, octets: int) -> bytes:
        if path == new:
            released.wait(60)
        return read_regular(path, octets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_directory, "read_regular", read)
        new.write_bytes(b"")
        try:
            yield
        finally:
            new.unlink()
            released.set()


@contextlib.contextmanager
def _garbage(keys: Path) -> Iterator[None]:
    [file] = keys.glob("*.key.json")
    before = file.read_bytes()
    file.write_bytes(bytes(range(256)))
    try:
        yield
    finally:
        file.write_bytes(before)


@contextlib.contextmanager
def _gone(keys: Path) -> Iterator[None]:
    keys.rename(keys.with_name("elsewhere"))
    try:
        yield
    finally:
        keys.with_name("elsewhere").rename(keys)


@pytest.mark.parametrize("trouble", [_hanging, _garbage, _gone])
def test_the_keystore_in_trouble(here: Site, trouble: Callable[[Path], Any]) -> None:
    """R-14: what needs a key waits, in time and in both directions; other mail flows."""
    with trouble(here.directory / "state" / "keys"):
        assert here.outbound(BOB) == _R_14
        assert here.inbound() == _R_14
        assert here.copies() == []
        assert here.outbound(PLAIN).startswith(_FINE)
        assert here.inbound(clear=True).startswith(_FINE)
    assert here.outbound(BOB).startswith(_FINE)
    assert here.inbound().startswith(_FINE)
    assert here.copies() == [PLAIN, ALICE, BOB, ALICE]
    assert not here.leaked()


# --- the name service ----------------------------------------------------------------------------


class NameService:
    """Stands where the system is asked for a name; *trouble* is what it then does."""

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble
        self.asked = 0
        self.released = threading.Event()
        self._usual = socket.getaddrinfo

    def __call__(self, host: Any, *args: Any, **options: Any) -> Any:
        if host != "localhost":
            return self._usual(host, *args, **options)
        self.asked += 1
        if self.trouble == "no such name":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if self.trouble == "no answer" or (self.trouble == "flapping" and self.asked % 2):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if self.trouble == "hanging":
            self.released.wait(60)
        if self.trouble == "slow":
            time.sleep(0.05)
        if self.trouble == "garbage":
            host = "127.255.255.254"
        return [] if self.trouble == "nothing" else self._usual(host, *args, **options)


@contextlib.contextmanager
def _named(trouble: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    service = NameService(trouble)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", service)
        try:
            yield service
        finally:
            service.released.set()


@pytest.mark.parametrize(
    "trouble",
    ["no such name", "no answer", "nothing", "slow", "hanging", "garbage", "flapping"],
)
def test_the_name_service_in_trouble(
    here: Site, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """451 4.4.1, and the retry passes when names are known (N-04)."""
    with _named(trouble, monkeypatch) as service:
        reply = here.outbound(BOB)
        assert service.asked > 0
        if trouble == "slow":
            assert reply.startswith(_FINE)
        elif trouble == "flapping":
            # EHLO asked first, to know what may be offered; RCPT was the second to ask.
            assert reply.startswith(_FINE) or reply == _NO_NEXT_HOP
        else:
            assert reply == _NO_NEXT_HOP
            assert here.copies() == []
    if not reply.startswith(_FINE):
        assert here.again(BOB).startswith(_FINE)
    assert here.copies() == [BOB]


def test_a_name_that_is_never_resolved_holds_up_nobody_else(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two dozen messages wait for a name; those for another next hop flow meanwhile."""

    async def all_at_once() -> tuple[list[str], str]:
        waiting = [asyncio.create_task(here.sending(PLAIN)) for _ in range(24)]
        while service.asked < 6:
            await asyncio.sleep(0.01)
        came = await here.coming()
        return await asyncio.gather(*waiting), came

    with _named("hanging", monkeypatch) as service:
        waited, came = here.run(all_at_once())
    assert came.startswith(_FINE)
    assert set(waited) == {_NO_NEXT_HOP}
    assert here.copies() == [ALICE]


# --- disk, memory, clock -------------------------------------------------------------------------


@contextlib.contextmanager
def _armed(plan: str) -> Iterator[None]:
    failpoints.arm(plan)
    try:
        yield
    finally:
        failpoints.arm("")


@pytest.mark.parametrize(
    ("plan", "reply"),
    [
        (
            "records.before-write=enospc",
            "451 4.3.0 decision record could not be written, try later (R-20)",
        ),
        (
            "records.before-sync=eio",
            "451 4.3.0 decision record could not be written, try later (R-20)",
        ),
        ("journal.before-write=enospc", "451 4.3.0 journal could not be written, try later"),
        ("session.receiving=nomem", "452 4.3.1 no room for the message, try later"),
        ("protect.before-encrypt=nomem", "451 4.3.0 internal error"),
        ("admit.logged=nomem", "451 4.3.0 internal error"),
    ],
)
def test_disk_and_memory_in_trouble(here: Site, plan: str, reply: str) -> None:
    """R-20, C29, C31: nothing is sent, the next try passes, and nothing is written anywhere."""
    with _armed(plan):
        assert here.outbound(BOB).startswith(reply)
    assert here.copies() == []
    assert here.again(BOB).startswith(_FINE)
    assert here.copies() == [BOB]
    assert not here.leaked()


def test_the_disk_is_nearly_full(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-21, E01: 452 at MAIL; mail is taken again when there is room."""
    monkeypatch.setattr(watch, "_REMEMBERED", watch.timedelta(0))
    found = os.statvfs(here.directory)
    full = os.statvfs_result((*found[:4], 0, *found[5:]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _: full)
        assert here.outbound(BOB) == "452 4.3.1 disk nearly full, try later (R-21)"
    assert here.again(BOB).startswith(_FINE)


def test_the_clock_was_set_back(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-24: the last decision record is from the future; 421 at MAIL until the clock is right."""
    monkeypatch.setattr(watch, "_REMEMBERED", watch.timedelta(0))
    assert here.outbound(BOB).startswith(_FINE)
    with monkeypatch.context() as patch:
        patch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) - timedelta(hours=1))
        assert here.outbound(BOB) == "421 4.3.2 clock is wrong, try later (R-24)"
    assert here.again(BOB).startswith(_FINE)


def test_two_troubles_at_once(here: Site) -> None:
    """The first that is met is told; nothing of it is weaker than one alone (T-23)."""
    here.trouble("database", Trouble.DOWN)
    here.trouble("ldap", Trouble.HANGING)
    assert here.outbound("p-0@partner.example", PLAIN) == (
        "451 4.4.3 <p-0@partner.example>: directory not reachable, try later (R-06)"
    )
    assert here.copies() == []
