"""The journal's lines as JSON, and what a file of them says about a process that ended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from smimegw.custody import Dot, Unfinished

_DOT = tuple(entry.name for entry in fields(Dot))


def sent_line(dot: Dot) -> bytes:
    """The line before a final dot."""
    return _line({"dot": {name: getattr(dot, name) for name in _DOT}})


def answer_line(dot: Dot, outcome: str, tokens: Iterable[str]) -> bytes:
    """The line after its answer."""
    return _line({"answer": dot.id, "outcome": outcome, "accepted": list(tokens)})


def told_line(txn: str) -> bytes:
    """The line after the reply to the client."""
    return _line({"told": txn})


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=True).encode("ascii") + b"\n"


def unfinished_of(octets: bytes) -> Unfinished:
    """What *octets*, the whole file, leave open; a line that cannot be read is counted."""
    sent: dict[str, Dot] = {}
    untold: dict[str, tuple[Dot, tuple[str, ...]]] = {}
    torn = 0
    for line in octets.splitlines():
        try:
            _apply(json.loads(line), sent, untold)
        except (ValueError, TypeError, KeyError):
            torn += 1
    return Unfinished(in_doubt=tuple(sent.values()), untold=tuple(untold.values()), torn=torn)


def _apply(
    values: dict[str, Any], sent: dict[str, Dot], untold: dict[str, tuple[Dot, tuple[str, ...]]]
) -> None:
    if "dot" in values:
        found = {**values["dot"]}
        for name in ("recipients", "tokens"):
            found[name] = tuple(found[name])
        sent[found["id"]] = Dot(**found)
    elif "answer" in values:
        dot = sent.pop(values["answer"], None)
        if dot is not None and values["accepted"]:
            untold[dot.id] = (dot, tuple(values["accepted"]))
    else:
        for key in [key for key, (dot, _) in untold.items() if dot.txn == values["told"]]:
            del untold[key]
