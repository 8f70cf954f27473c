"""Faults at named points of a real gateway process: no loss, every duplicate explained, no leak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failpoints.bench import Bench, Case
from tests.failpoints.table import points, some_cases


class _Running:
    def __init__(self, here: Path) -> None:
        self.seen: set[str] = set()
        self.runner = asyncio.Runner()
        self.bench = self.runner.run(Bench(here).__aenter__())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Running]:
    found = _Running(tmp_path_factory.mktemp("failpoints"))
    yield found
    found.runner.run(found.bench.__aexit__())
    found.runner.close()


def test_there_are_enough_points() -> None:
    """At least forty, from MAIL to the reply."""
    assert len(points()) >= 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", list(some_cases()), ids=str)
def test_every_promise_survives(running: _Running, case: Case) -> None:
    """C01-C19, C27, T-24: told 250 means arrived; twice only where a line says in doubt (P06)."""
    result = running.runner.run(running.bench.run(case))
    running.seen |= result.seen
    assert result.flaws == []


def test_no_point_is_dead(running: _Running) -> None:
    """A point that nothing reaches would prove nothing; the faults above pass all of them."""
    one_of_each = Case("relay.before-dot", "raise", 3, "smtp", refusing=True)
    running.seen |= running.runner.run(running.bench.run(one_of_each)).seen
    inside = Case("inbound.opened", "raise", 3, "smtp", inbound=True)
    running.seen |= running.runner.run(running.bench.run(inside)).seen
    left = sorted(set(points()) - running.seen)
    assert left == []
