"""Which faults there are: every named point in the code × action × copies × protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.failpoints.bench import Case

_POINT = re.compile(r'\breach\("([a-z0-9.-]+)"\)')
_SOURCE = Path(__file__).parents[2] / "smimegw"

ACTIONS = ("kill", "raise", "hang")
# Reached only with several copies, or only where they share one fate.
_SEVERAL = {"ledger.claim", "ledger.accept", "ledger.release", "deliver.opened"}
_SEVERAL |= {"deliver.before-release"}
_CANARY = {"deliver.after-canary", "deliver.after-entry", "deliver.after-dots"}
_REPORT = {"report.before-open", "report.before-dot", "report.after-answer"}
_REPORT |= {"deliver.after-report"}
_INSIDE = {"inbound", "register", "harvest"}  # of mail that comes in
_OUTSIDE = {"outbound", "protect"}
# A recovery that raises is a gateway that does not start; an administrator would look at it.
_AT_START = {"recover.read", "recover.explained"}
_CUSTODY = {"deliver", "dots", "journal", "ledger", "relay", "report", "recover"}
_DISK = [("records.before-write", "enospc"), ("journal.before-write", "enospc")]
_DISK += [("journal.before-sync", "eio"), ("records.before-sync", "eio")]
_DISK += [("session.receiving", "nomem"), ("admit.logged", "nomem")]


def points() -> list[str]:
    """Every point named in the code."""
    found = (_POINT.findall(path.read_text()) for path in sorted(_SOURCE.rglob("*.py")))
    return sorted({name for names in found for name in names})


def every_case() -> Iterator[Case]:
    """All of them."""
    for point in points():
        for action in ACTIONS:
            yield from _cases(point, action)
    for point, action in _DISK:
        yield from _cases(point, action)


def some_cases() -> Iterator[Case]:
    """What fits into the usual suite: most where custody changes hands, a few elsewhere."""
    for number, point in enumerate(points()):
        part = point.partition(".")[0]
        if part not in _CUSTODY and number % 4:
            continue
        action = "raise" if number % 3 == 0 and part != "recover" else "kill"
        cases = list(_cases(point, action))
        yield cases[number % len(cases)]
    yield next(_cases("relay.after-dot", "hang"))
    for point, action in _DISK[1:3]:
        yield next(_cases(point, action))


def cases_before_postfix() -> Iterator[Case]:
    """Where custody changes hands, with one copy and three; what a script would say is left out."""
    for point in points():
        if point.partition(".")[0] in {"deliver", "dots", "relay"} and point not in _REPORT:
            yield from (
                case
                for case in _cases(point, "kill")
                if case.protocol == "smtp" and not case.inbound
            )


def _cases(point: str, action: str) -> Iterator[Case]:
    if point in _REPORT:
        yield Case(point, action, 3, "smtp", refusing=True)
        return
    part = point.partition(".")[0]
    inbound = part in _INSIDE
    if not inbound and part not in _OUTSIDE and action == "kill" and point not in _CANARY:
        yield Case(point, action, 3, "smtp", inbound=True)
    for protocol in ("smtp", "lmtp"):
        for copies in (1, 3):
            if point in _SEVERAL | _CANARY and copies == 1:
                continue
            if point in _CANARY and protocol == "lmtp":
                continue
            yield Case(point, action, copies, protocol, inbound=inbound)
