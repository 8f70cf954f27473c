"""Makes docs/interop.md: which algorithm is exchanged with which other program, and why no more."""

from __future__ import annotations

from collections.abc import Iterator

from tests.interop.matrix import GROUPS, Algorithm, Way
from tests.interop.programs import LIMITS, PEERS, Cell, cell

_HEAD = """# Algorithms and other programs

Made by `make format` from what the tests run; do not edit. Every sign below is a test with the
program itself: `tests/interop/test_algorithms_*.py` takes its cases from the same table. Where a
program has a way to try and refuses, the test sees it refuse.

| | |
|---|---|
| ⇄ | what we write it reads, what it writes we read |
| → | what we write it reads |
| ← | what it writes we read |
| – | neither |
| (…) | not its CMS: its own primitives, joined by a test |
| *read only* | we never write it |

"""
_TAIL = """
Beyond algorithms – streams and other BER, several recipients, key identifiers, attributes,
countersignatures, whole mails – see the other modules in `tests/interop`.
"""


def interop_page() -> str:
    """The whole page."""
    notes: dict[str, int] = {}
    lines = [
        "| Algorithm | RFC | " + " | ".join(map(_short, PEERS)) + " |",
        "|---|---|" + "---|" * len(PEERS),
    ]
    for group, algorithms in GROUPS.items():
        lines.append(f"| **{group}** | |" + " |" * len(PEERS))
        for algorithm in algorithms:
            title = algorithm.title + ("" if algorithm.written else ", *read only*")
            signs = " | ".join(_sign(peer, algorithm, notes) for peer in PEERS)
            lines.append(f"| {title} | {algorithm.rfc} | {signs} |")
    reasons = ["", *(f"{number}. {reason}" for reason, number in notes.items()), ""]
    programs = f"Measured with {', '.join(PEERS.values())}.\n\n"
    return _HEAD + programs + "\n".join([*lines, *reasons, _summary(), *_fewer(), _TAIL])


def evidence() -> Iterator[str]:
    """Tests that the table relies on and that are not made from it."""
    yield from (limit.test for limit in LIMITS if limit.test)


def unused() -> Iterator[str]:
    """Limits that say nothing about any algorithm, so that they could be wrong unseen."""
    used = {id(each.limit) for peer in PEERS for row in _rows() for each in _cells(peer, row)}
    yield from (f"{limit.peer} {limit.names}" for limit in LIMITS if id(limit) not in used)


def _rows() -> list[Algorithm]:
    return [algorithm for algorithms in GROUPS.values() for algorithm in algorithms]


def _cells(peer: str, algorithm: Algorithm) -> list[Cell]:
    ways = (Way.OURS, Way.THEIRS) if algorithm.written else (Way.THEIRS,)
    return [cell(peer, algorithm, way) for way in ways]


def _sign(peer: str, algorithm: Algorithm, notes: dict[str, int]) -> str:
    both = _cells(peer, algorithm)
    full = "".join(_arrow(each) for each in both if each.limit is None)
    parts = "".join(_arrow(each) for each in both if each.limit is not None and each.limit.parts)
    signs = [_joined(full), f"({_joined(parts)})" if parts else ""]
    why = {f"{_short(peer)}: {each.limit.why}": None for each in both if each.limit is not None}
    numbers = sorted(notes.setdefault(reason, len(notes) + 1) for reason in why)
    noted = f" <sup>{', '.join(map(str, numbers))}</sup>" if numbers else ""
    return (" ".join(filter(None, signs)) or "–") + noted


def _short(peer: str) -> str:
    return PEERS[peer].partition(" (")[0]


def _arrow(each: Cell) -> str:
    return "→" if each.way is Way.OURS else "←"


def _joined(arrows: str) -> str:
    return "⇄" if arrows == "→←" else arrows


def _summary() -> str:
    """How many algorithms OpenSSL and one more program stand for."""
    rows = _rows()
    shared = sum(_is_shared(row) for row in rows)
    return (
        f"{shared} of {len(rows)} algorithms are exchanged with OpenSSL and with at least one\n"
        "other program in every way that we have, primitives included."
    )


def _fewer() -> list[str]:
    few = [row.title for row in _rows() if not _is_shared(row)]
    return [f"With fewer programs: {', '.join(few)}."] if few else []


def _is_shared(algorithm: Algorithm) -> bool:
    able = [
        peer
        for peer in PEERS
        if all(each.limit is None or each.limit.parts for each in _cells(peer, algorithm))
    ]
    return "openssl" in able and len(able) > 1
