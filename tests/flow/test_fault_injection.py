"""An exception at every line of the outbound way: the reply is no 250 and nothing leaks (G01)."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from smimegw.pipeline.admit import Gateway
from tests.fakes.company import POLICY, Company, message
from tests.fakes.ports import MemoryRelay
from tests.flow.canary import is_readable

_PACKAGE = str(Path(__file__).parents[2] / "smimegw")
_PARTS = ("pipeline", "policy", "smime", "cms", "mime")
BOB = "bob@partner.example"
_FULL = POLICY.replace(
    'protect = "sign-then-encrypt"',
    'protect = "sign-encrypt-sign", also_encrypt_for = ["archive@ours.example"]',
)

Line = tuple[str, int]


class InjectedError(Exception):
    """Raised by the tracer."""


@contextmanager
def traced(seen: set[Line], fail_at: Line | None = None) -> Iterator[None]:
    """Record the lines of our own packages that run; raise at *fail_at*."""

    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            line = (frame.f_code.co_filename, frame.f_lineno)
            seen.add(line)
            if line == fail_at:
                raise InjectedError
        return on_line

    def on_call(frame: FrameType, _event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        ours = name.startswith(_PACKAGE) and name[len(_PACKAGE) + 1 :].split("/")[0] in _PARTS
        return on_line if ours else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)


def _company(policy: str) -> Company:
    company = Company(policy=policy)
    company.user("alice@ours.example", key="p256")
    company.partner(BOB, key="p256")
    company.partner("archive@ours.example", key="p256")
    return company


@pytest.fixture(scope="module")
def company() -> Company:
    return _company(POLICY)


@pytest.fixture(scope="module")
def lines(company: Company) -> list[Line]:
    """Every line that one protected message runs through."""
    return _lines(company)


def _lines(company: Company) -> list[Line]:
    seen: set[Line] = set()
    with traced(seen):
        company.send("relay", [BOB], message("alice@ours.example", BOB))
    return sorted(seen)


def test_the_way_is_long_enough_to_mean_something(lines: list[Line]) -> None:
    """The tracer really sees signing and encrypting."""
    files = {Path(name).name for name, _ in lines}
    assert {"plan.py", "algorithms.py", "protect.py", "encrypt.py", "sign.py"} <= files
    assert {"evaluate.py", "group.py", "deliver.py"} <= files
    assert len(lines) > 300


@pytest.mark.parametrize("part", range(8))
def test_exception_at_any_line_leaks_nothing(
    company: Company, lines: list[Line], part: int
) -> None:
    """Whatever breaks, the copy that must be encrypted does not leave readable (G01, T-23)."""
    _breaks_at(lines[part::8], company)


def test_exception_around_further_layers_and_readers_leaks_nothing(lines: list[Line]) -> None:
    """Lines that only a triple wrap with an archive runs through (G01, T-23)."""
    company = _company(_FULL)
    further = sorted(
        (name, number)
        for name, number in set(_lines(company)) - set(lines)
        if not {"cms", "mime"} & set(Path(name).parts)  # reading the ciphertext back is theirs
    )
    assert len(further) > 20
    _breaks_at(further, company)


def _breaks_at(lines: list[Line], company: Company) -> None:
    for line in lines:
        relay = company.world.relay = MemoryRelay()
        company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
        canary = secrets.token_hex(16)
        content = message("alice@ours.example", BOB, body=canary + "\r\n")
        with traced(set(), fail_at=line):
            try:
                outcome = company.send("relay", [BOB], content)
            except InjectedError:
                continue  # before the pipeline had the message: the listener answers 451
        arrived = [entry.content for entry in relay.arrived]
        assert not any(is_readable(canary.encode(), entry) for entry in arrived), line
        assert arrived or not outcome.reply.is_positive, line
        assert relay.open_sessions <= 1, line
