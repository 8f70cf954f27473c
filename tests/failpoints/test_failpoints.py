"""Faults at named points of a real gateway process: no loss, every duplicate explained, no leak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failpoints.bench import Bench, Case
from tests.failpoints.table import cases_before_postfix, points, some_cases


class _Running:
    def __init__(self, here: Path, *, postfix: bool = False) -> None:
        self.seen: set[str] = set()
        self.runner = asyncio.Runner()
        self.bench = self.runner.run(Bench(here, postfix=postfix).__aenter__())

    def close(self) -> None:
        self.runner.run(self.bench.__aexit__())
        self.runner.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Running]:
    found = _Running(tmp_path_factory.mktemp("failpoints"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def before_postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Running]:
    found = _Running(tmp_path_factory.mktemp("postfix"), postfix=True)
    yield found
    found.close()


def test_there_are_enough_points() -> None:
    """At least forty, from MAIL to the reply."""
    assert len(points()) >= 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", list(some_cases()), ids=str)
def test_every_promise_survives(running: _Running, case: Case) -> None:
    """C01, C03-C19, C27, T-24: told 250 means arrived; twice only where a line says so (P06)."""
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


_BEFORE_POSTFIX = ["relay.after-dot", "relay.content-sent", "deliver.after-canary"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "case", [c for c in cases_before_postfix() if c.point in _BEFORE_POSTFIX], ids=str
)
def test_every_promise_survives_before_postfix(before_postfix: _Running, case: Case) -> None:
    """C08, C11: what a real Postfix was given up to its dot is not in its queue (T-24)."""
    assert before_postfix.runner.run(before_postfix.bench.run(case)).flaws == []
