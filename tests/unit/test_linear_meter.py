"""The meter itself: it sees work that grows too fast, and matches as the library does."""

from __future__ import annotations

import importlib
import pkgutil
import re
from random import Random

import pytest

import smimegw
from tests.meter.growth import growth
from tests.meter.instrument import counted_code
from tests.meter.pattern_steps import Subject, program
from tests.meter.work import hooks

LINEAR = {
    "bytearray": "out = bytearray()\n    for n in range(len(x)): out += x[n:n + 1]",
    "join": "b''.join([x[n:n + 1] for n in range(len(x))])",
    "cursor": "at = 0\n    while (at := x.find(b'a', at) + 1): pass",
    "possessive": "re.fullmatch(rb'(?:a|b)*+c', x)",
    "one pass": "re.sub(rb'[^b]+', b'', x)",
}
QUADRATIC = {
    "bytes": "out = b''\n    for n in range(len(x)): out += x[n:n + 1]",
    "rest": "while x: x = x[1:]",
    "find from the start": "for n in range(len(x)): x.find(b'b')",
    "in": "for n in range(len(x)): b'b' in x",
    "insert": "out = []\n    for n in range(len(x)): out.insert(0, n)",
    "list": "out = []\n    for n in range(len(x)): n in out or out.append(n)",
    "tuple": "out = ()\n    for n in range(len(x)): out = (*out, n)",
    "pattern with two ways": "re.fullmatch(rb'a*a*c', x)",
    "pattern from each place": "re.search(rb'a+c', x)",
    "pattern after a quote": "re.sub(rb'a(?:[^b])*b', b'', x)",
}


def _growth(body: str) -> float:
    names = {**hooks, "re": re}
    exec(counted_code(f"def read(x):\n    {body}\n"), names)
    return growth(names["read"], lambda size: b"a" * size, 64)


@pytest.mark.parametrize("name", LINEAR)
def test_one_pass_is_linear(name: str) -> None:
    """What every reader should do (T-09)."""
    assert _growth(LINEAR[name]) < 2.3


@pytest.mark.parametrize("name", QUADRATIC)
def test_pass_over_pass_is_seen(name: str) -> None:
    """In Python and in C, in loops and in regular expressions (T-09)."""
    assert _growth(QUADRATIC[name]) > 3.5


def _patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    found = {}
    for module in pkgutil.walk_packages(smimegw.__path__, "smimegw."):
        if ".migrations" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            entries = value.items() if isinstance(value, dict) else [("", value)]
            found |= {
                f"{module.name}.{name}{key}": pattern
                for key, pattern in entries
                if isinstance(pattern, re.Pattern)
            }
    return found


PATTERNS = _patterns()
PIECES = [
    *"aZ0-_ \t\r\n\0\"'\\()<>[]{},.:;=?@*%+#~/|&^$!",
    "é",
    "From ",
    "--b",
    "=?u?Q?",
    "?=",
    "\r\n",
]


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_walked_as_the_library_does(name: str) -> None:
    """The same beginning and end for every pattern of the gateway, in any text."""
    pattern, random = PATTERNS[name], Random(name)
    for _ in range(60):
        text = "".join(random.choices(PIECES, k=random.randint(0, 24)))
        given = text.encode() if isinstance(pattern.pattern, bytes) else text
        subject = Subject(given, len(given), lambda _: None)
        ours, theirs = program(pattern), pattern.match(given)
        assert ours.first(subject, 0) == (theirs.end() if theirs else None)
        whole = pattern.fullmatch(given)
        assert ours.whole(subject, 0) == (whole.end() if whole else None)
        spans = [match.span() for match in pattern.finditer(given)]
        assert list(ours.every(subject, 0)) == spans


def test_the_gateway_has_patterns() -> None:
    """Or the test above would test nothing."""
    assert len(PATTERNS) > 40
