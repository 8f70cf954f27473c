"""Which rows of docs/failures.md no test cites, and the page that shows the failure matrix.

A row whose state is *yes* or *partly* stands in the docstring of a test, so that taking the test
away, or promising a row that nothing proves, ends `make check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.make.cases import citations

STATES = ("yes", "partly", "not yet")
_ROW = re.compile(r"^\| ([NR]-\d\d) \|.*$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")
_HEAD = """# The failure matrix

Made from `smimegw/policy/failure-matrix.toml` by `make format`; do not edit.

What happens to a copy when something that its protection needs is not there. *defer* is 4xx: the
client keeps the mail and comes again. *refuse* is 5xx. *policy* is refused as well, unless the rule
names a fall-back in the key that is shown. Of a trouble marked with ? nobody knows now what is the
case: it can never be a reason to send less. Rows are those of [failures.md](failures.md); how to
change a cell stands in [../policies/README.md](../policies/README.md#the-failure-matrix).

"""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its id, its state and how many cells it has."""

    identifier: str
    state: str
    cells: int


def table_rows(text: str) -> list[TableRow]:
    """The numbered rows of *text*."""
    rows = []
    for match in _ROW.finditer(text):
        cells = [cell.strip() for cell in _CELL.split(match[0])[1:-1]]
        rows.append(TableRow(match[1], cells[-1].partition(":")[0], len(cells)))
    return rows


def row_problems(root: Path) -> Iterator[str]:
    """Rows without a state, twice, or promised and proved by no test; tests that cite no row."""
    page = "docs/failures.md"
    rows = table_rows((root / page).read_text("utf-8"))
    cited = {entry.identifier for entry in citations(root) if entry.identifier[0] in "NR"}
    seen: set[str] = set()
    for row in rows:
        if row.identifier in seen:
            yield f"{page}: {row.identifier} is there twice"
        seen.add(row.identifier)
        if row.state not in STATES:
            yield f"{page}: {row.identifier} has no state ({', '.join(STATES)})"
        elif row.state == "not yet":
            if row.identifier in cited:
                yield f"{page}: {row.identifier} is not yet there, and a test cites it"
        elif row.identifier not in cited:
            yield f"{page}: {row.identifier} is promised, and no test cites it"
    for identifier in sorted(cited - seen):
        yield f"{page}: {identifier} is cited by a test and does not exist"


def matrix_page() -> str:
    """The shipped failure matrix as a table."""
    from smimegw.policy.choices import Protection
    from smimegw.policy.matrix import Trouble
    from smimegw.policy.parse_matrix import shipped

    matrix = shipped()
    head = ["Trouble", "Row", *(protection.value for protection in Protection), "`policy` means"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for trouble in Trouble:
        cells = [
            matrix.verdict(trouble, protection).value if trouble.touches(protection) else "–"
            for protection in Protection
        ]
        mark = " ?" if trouble.is_unknown else ""
        key = f"`{trouble.named_by}`" if trouble.named_by else "–"
        lines.append(f"| {trouble}{mark} | {trouble.row} | {' | '.join(cells)} | {key} |")
    return _HEAD + "\n".join(lines) + "\n"
