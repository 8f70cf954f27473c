"""Makes docs/cases.md: every case id that a test cites, with the rule in words and the test.

Ids stand in docstrings, as in "(cases A01, A03)", "(R-06)" or "(T-11)"; "A01-A07" and "A01 to A07"
mean every id between the two that some test cites.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GROUPS = {
    "A": "SMTP and smuggling",
    "B": "TLS, AUTH, sessions",
    "C": "custody and crash points",
    "D": "the next hop",
    "E": "storage",
    "F": "directory, choice of certificates, revocation",
    "G": "outbound protection and leaks",
    "H": "CMS, ASN.1 and bad cryptographic input",
    "I": "inbound verification and identity",
    "J": "decryption and EFAIL",
    "K": "results and stripping",
    "L": "content, size, character sets",
    "M": "keys and CA",
    "O": "load and resource limits",
    "P": "loops and reports",
    "N": "rows of the next hop in [failures.md](failures.md#the-next-hop)",
    "R": "rows of [failures.md](failures.md)",
    "T": "threats, listed in [architecture.md](architecture.md#threats)",
}

_ID = r"(?:[A-MOP]\d\d|[NRT]-\d\d)"
_IDS = re.compile(rf"\b({_ID})(?:(?:-|–|…| to )({_ID}))?\b")
_CITATION = re.compile(rf"\s*\([^()]*\b{_ID}\b[^()]*\)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z“\"<])")
_HEAD = """# Cases

Made from the tests' docstrings by `make format`; do not edit.

Tests cite the fault, attack or rule that they are about by an id. Here an id leads to the test and
to its first sentence: the test's name is the rule, the sentence says more or why. Run one with
`.venv/bin/python -m pytest PATH::NAME`. Ids have gaps; one that is missing is cited by no test.
O09 (normal mail beside costly mail is at most twice as slow) has none because tests here measure no
time; work is counted instead (`tests/meter`). O03, O07 and A26 at full size are a tool,
`python -m tests.storm`.

"""


@dataclass(frozen=True, slots=True, order=True)
class Citation:
    """One id in one docstring."""

    identifier: str
    test: str
    rule: str


def cases_page(root: Path) -> str:
    """The page for the tests below *root*."""
    cited = sorted(set(citations(root)))
    lines = []
    for letter, title in GROUPS.items():
        rows = [entry for entry in cited if entry.identifier.startswith(letter)]
        if rows:
            lines += [f"## {letter} – {title}", "", "| Id | Rule | Test |", "|---|---|---|"]
            lines += [f"| {row.identifier} | {row.rule} | `{row.test}` |" for row in rows]
            lines.append("")
    return _HEAD + "\n".join(lines)


def citations(root: Path) -> Iterator[Citation]:
    """Every id in a docstring of a test or of a test module."""
    found = list(_docstrings(root))
    known = {name for _, text in found for match in _IDS.finditer(text) for name in _ends(match)}
    for test, text in found:
        for match in _IDS.finditer(text):
            for identifier in _range(*_ends(match), known):
                yield Citation(identifier, test, _rule(text))


def _docstrings(root: Path) -> Iterator[tuple[str, str]]:
    for file in sorted((root / "tests").rglob("test_*.py")):
        path = file.relative_to(root).as_posix()
        tree = ast.parse(file.read_text("utf-8"))
        yield path, ast.get_docstring(tree) or ""
        for node in ast.walk(tree):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.name.startswith("test_"):
                yield f"{path}::{node.name}", ast.get_docstring(node) or ""


def _ends(match: re.Match[str]) -> tuple[str, str]:
    return match[1], match[2] or match[1]


def _range(first: str, last: str, known: set[str]) -> Iterator[str]:
    yield from sorted(name for name in known if name[0] == first[0] and first <= name <= last)


def _rule(text: str) -> str:
    """The first sentence, without the citation, for a cell of a table."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    sentence = _SENTENCE_END.split(paragraph)[0]
    return _CITATION.sub("", sentence).replace("|", "\\|")
