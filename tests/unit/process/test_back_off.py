"""How long the supervisor waits before it starts a worker again that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from smimegw import worker_processes
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.process.child import End
from smimegw.config.load import load

SAMPLE = Path(__file__).resolve().parents[3] / "docs" / "smimegw.toml.sample"
Life = tuple[float, int, bool]  # seconds, exit code, whether it ever let clients in


class _Scripted(worker_processes.WorkerProcesses):
    """They live as a script says, in no time."""

    def __init__(self, lives: Sequence[Life]) -> None:
        configuration = load(SAMPLE, check_files=False)
        super().__init__(configuration, LoggedEvents())
        self.lives = list(lives)
        self.pauses: list[float] = []
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def _run(self, number: int) -> tuple[End, bool]:
        seconds, code, was_ready = self.lives.pop(0)
        self.now += seconds
        return End(reason="exit", text=f"ended with exit code {code}", code=code, pid=1), was_ready

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if not self.lives:
            self.stop("test")


def pauses(monkeypatch: pytest.MonkeyPatch, lives: Sequence[Life]) -> tuple[list[float], bool]:
    """The pauses after each of *lives*, and whether the supervisor gave up."""
    scripted = _Scripted(lives)
    monkeypatch.setattr(worker_processes, "time", scripted)
    asyncio.run(scripted._keep(1))
    return scripted.pauses, scripted.failure is not None


def test_a_worker_that_keeps_crashing_is_waited_for_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Doubled up to a minute, for ever: the others take its mail meanwhile (C01)."""
    found, gave_up = pauses(monkeypatch, [(1.0, 1, True)] * 10)
    assert found == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not gave_up


def test_a_worker_that_ran_for_long_is_started_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not died of its start."""
    found, _ = pauses(monkeypatch, [(1.0, 1, True)] * 3 + [(61.0, 1, True)] * 2)
    assert found == [0.5, 1, 2, 0.5, 0.5]


def test_a_worker_that_was_asked_to_end_is_started_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody sent it SIGTERM after a while."""
    found, _ = pauses(monkeypatch, [(61.0, 0, True)] * 2)
    assert found == [0, 0]


def test_a_worker_that_ends_by_itself_each_time_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In peace and at once: nobody asked for that, and it must not be started without end (C01)."""
    found, _ = pauses(monkeypatch, [(1.0, 0, True)] * 4)
    assert found == [0.5, 1, 2, 4]


def test_workers_that_never_get_ready_end_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `worker_starts` tries (5); systemd says so and tries it in its own time."""
    found, gave_up = pauses(monkeypatch, [(1.0, 1, False)] * 4)
    assert not gave_up
    found, gave_up = pauses(monkeypatch, [(1.0, 1, False)] * 5)
    assert gave_up
    assert len(found) == 5


def test_a_mistake_in_the_configuration_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2 ends the supervisor at once (R-15)."""
    found, gave_up = pauses(monkeypatch, [(1.0, 2, False)])
    assert gave_up
    assert len(found) == 1
