"""Reads the failure matrix: no holes, no unknown words, nothing weaker than a rule asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from smimegw.errors import ConfigurationError, Problem
from smimegw.policy.choices import Protection
from smimegw.policy.matrix import FailureMatrix, Trouble, Verdict
from smimegw.toml.document import Document
from smimegw.toml.structure import did_you_mean, show

FILE_NAME = "failure-matrix.toml"
"""A file of this name beside the rules replaces the matrix that is shipped."""

_LESS = frozenset({"send", "send-clear", "send-signed", "clear", "allow", "portal", *Protection})
_Cells = dict[Trouble, dict[Protection, Verdict]]


@cache
def shipped() -> FailureMatrix:
    """The matrix that comes with the program."""
    octets = files("smimegw.policy").joinpath(FILE_NAME).read_bytes()
    return FailureMatrix(source="", cells=parse_matrix(FILE_NAME, octets).cells)


def changes(matrix: FailureMatrix) -> tuple[str, ...]:
    """Where *matrix* says something else than the one that is shipped, for people."""
    usual = shipped()
    return tuple(
        f"{trouble}.{protection} = {verdict}  (shipped: {usual.verdict(trouble, protection)})"
        for trouble, row in matrix.cells.items()
        for protection, verdict in row.items()
        if verdict is not usual.verdict(trouble, protection)
    )


def parse_matrix(name: str, octets: bytes) -> FailureMatrix:
    """Read the file *name*.

    Raises:
        ConfigurationError: Every hole, unknown word, and fall-back that no rule could name.
    """
    document = Document.parse(name, octets)
    cells: _Cells = {trouble: {} for trouble in Trouble}
    problems = [*_problems(document, cells), *_holes(document, cells)]
    if problems:
        raise ConfigurationError(tuple(problems))
    return FailureMatrix(source=name, cells=cells)


def _problems(document: Document, cells: _Cells) -> Iterator[Problem]:
    """Read what is there into *cells*; what is wrong with it."""
    groups = list(dict.fromkeys(trouble.partition(".")[0] for trouble in Trouble))
    for group, troubles in document.values.items():
        if group not in groups:
            message = f"unknown.{did_you_mean(group, groups)}  Allowed: {', '.join(groups)}"
            yield document.problem((group,), message)
            continue
        if not isinstance(troubles, dict):
            yield document.problem((group,), f"{show(troubles)} is not a table.  Write [{group}]")
            continue
        words = [t.partition(".")[2] for t in Trouble if t.startswith(f"{group}.")]
        for word, row in troubles.items():
            if word not in words:
                message = f"unknown.{did_you_mean(word, words)}  Allowed: {', '.join(words)}"
                yield document.problem((group, word), message)
            else:
                yield from _row(document, Trouble(f"{group}.{word}"), row, cells)


def _row(document: Document, trouble: Trouble, row: object, cells: _Cells) -> Iterator[Problem]:
    group, _, word = trouble.partition(".")
    touched = [protection.value for protection in Protection if trouble.touches(protection)]
    if not isinstance(row, Mapping):
        cells[trouble] = {Protection(key): Verdict.REFUSE for key in touched}
        example = ", ".join(f'{protection} = "refuse"' for protection in touched)
        yield document.problem((group, word), f"{show(row)} is not a table.  Write {{ {example} }}")
        return
    for key, value in row.items():
        if key not in touched:
            message = f"not touched by it.{did_you_mean(key, touched)}  Allowed: "
            yield document.problem((group, word, key), message + ", ".join(touched))
            continue
        wrong = _wrong(trouble, value)
        if wrong:
            yield document.problem((group, word, key), wrong)
        # What is wrong is not reported as a hole as well.
        cells[trouble][Protection(key)] = Verdict.REFUSE if wrong else Verdict(value)


def _wrong(trouble: Trouble, value: Any) -> str:
    """Why *value* cannot stand in a cell of *trouble*; empty when it can."""
    allowed = "defer, refuse, policy" if trouble.named_by else "defer, refuse"
    if isinstance(value, str) and value in _LESS:
        advice = f'Write "policy", and {trouble.named_by} in the rule that may do it'
        advice = advice if trouble.named_by else f"Allowed: {allowed}"
        return f"{show(value)} is a fall-back that no rule names.  {advice}"
    if value not in list(Verdict):
        return f"{show(value)} is not allowed.  Allowed: {allowed}"
    if value != Verdict.POLICY or trouble.named_by:
        return ""
    if trouble.is_unknown:
        return f"what is not known is no reason to send less.  Allowed: {allowed}"
    return f"no rule can name a fall-back for it.  Allowed: {allowed}"


def _holes(document: Document, cells: _Cells) -> Iterator[Problem]:
    for trouble, row in cells.items():
        group, _, word = trouble.partition(".")
        for protection in Protection:
            if trouble.touches(protection) and protection not in row:
                message = "missing: the matrix may have no hole.  Write defer or refuse"
                yield document.problem((group, word, protection.value), message)
