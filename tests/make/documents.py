"""Makes the generated documents, and says where written ones no longer tell the truth.

``documents.py`` writes; ``documents.py --check`` writes nothing and ends with 1 naming every
difference.  Everything is read from the tree that this file lies in.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.make.cases import cases_page  # noqa: E402 – found only now
from tests.make.interop import evidence, interop_page, unused  # noqa: E402
from tests.make.man import manual_pages  # noqa: E402
from tests.make.rows import matrix_page, row_problems  # noqa: E402

Check = Callable[[], Iterator[str]]

_COLUMNS = ("RFC", "section", "rule", "status", "where", "test")
_NOT_OURS = frozenset({".git", ".github", ".venv", "dist", "build", "node_modules"})
ADR_PARTS = ("Status: ", "**Drivers.**", "**Options.**", "**Decision.**", "**Price.**")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4}((?:sudo )?smimegw.*)$", re.MULTILINE)
_INLINE = re.compile(r"`(smimegw(?:-ca)? [^`]+)`")
_ROW_ID = re.compile(r"\bR-\d\d\b")


# --- generated documents -------------------------------------------------------------------------


def generated() -> dict[str, str]:
    """Every generated document by its path."""
    from smimegw.config.describe import sample

    return {
        "docs/smimegw.toml.sample": sample(),
        "docs/commands.md": commands_page(),
        "docs/cases.md": cases_page(ROOT),
        "docs/interop.md": interop_page(),
        "docs/failure-matrix.md": matrix_page(),
        **{f"docs/man/{name}": page for name, page in manual_pages(programs()).items()},
    }


@cache
def programs() -> dict[str, click.Command]:
    """The two programs by name."""
    from pki.cli import main as authority
    from smimegw.cli.main import main as gateway

    return {"smimegw": gateway, "smimegw-ca": authority}


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command that does something or holds others, with its full name."""
    for name, program in programs().items():
        yield from _walk(name, program, None)


def _walk(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    context = click.Context(
        command,
        info_name=name.rpartition(" ")[2],
        parent=parent,
        terminal_width=96,
        max_content_width=96,
        color=False,
        help_option_names=["-h", "--help"],
    )
    yield name, command, context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from _walk(f"{name} {each}", inner, context)


def help_of(command: click.Command, context: click.Context) -> str:
    """What ``--help`` prints, at a fixed width."""
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def commands_page() -> str:
    """Every command's ``--help`` on one page."""
    lines = ["# Commands", "", "Made from `--help` by `make format`; do not edit.", ""]
    for name, command, context in commands():
        level = "##" if " " not in name else "###"
        lines += [f"{level} {name}", "", "```text", help_of(command, context), "```", ""]
    return "\n".join(lines)


def stale_documents() -> Iterator[str]:
    """Generated documents that are not what would be made now."""
    for path, text in generated().items():
        file = ROOT / path
        if not file.exists():
            yield f"{path}: missing; run: make format"
            continue
        written = file.read_text("utf-8")
        if written != text:
            pairs = zip(written.splitlines(), text.splitlines(), strict=False)
            line = next((n for n, (old, new) in enumerate(pairs, 1) if old != new), "the end")
            yield f"{path}: differs from line {line} on; run: make format"


# --- the table of RFCs ---------------------------------------------------------------------------


def rfc_problems() -> Iterator[str]:
    """What is wrong in docs/rfc.tsv."""
    path = ROOT / "docs/rfc.tsv"
    header, *rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    if tuple(header) != _COLUMNS:
        yield f"docs/rfc.tsv:1: the columns are {', '.join(_COLUMNS)}"
    places: list[tuple[int, list[object]]] = []
    for number, row in enumerate(rows, 2):
        if len(row) != len(_COLUMNS):
            yield f"docs/rfc.tsv:{number}: {len(row)} columns instead of {len(_COLUMNS)}"
            continue
        for problem in _row_problems(*row):
            yield f"docs/rfc.tsv:{number}: {problem}"
        if row[0].isdigit():
            places.append((int(row[0]), _section_order(row[1])))
    if places != sorted(places, key=repr_key):
        yield "docs/rfc.tsv: rows are not in the order of RFC and section"


def repr_key(place: tuple[int, list[object]]) -> tuple[int, list[tuple[int, str]]]:
    """Numbers in sections compare as numbers, appendices come last."""
    rfc, parts = place
    return rfc, [(p, "") if isinstance(p, int) else (10**6, str(p)) for p in parts]


def _section_order(section: str) -> list[object]:
    return [int(part) if part.isdigit() else part for part in section.split(".") if part != "-"]


def _row_problems(
    rfc: str, section: str, rule: str, status: str, where: str, test: str
) -> Iterator[str]:
    if not re.fullmatch(r"\d{4}", rfc):
        yield f"{rfc!r} is no RFC number"
        return
    if not re.fullmatch(r"-|[0-9A-Z][0-9A-Za-z.]*", section):
        yield f"{section!r} is no section; write - for the whole RFC"
    if not rule:
        yield "no rule"
    if status not in ("yes", "partly", "no"):
        yield f"status {status!r} is not yes, partly or no"
    if status == "no":
        return
    if status == "yes" and not test:
        yield f"RFC {rfc}: yes without a test"
    for name in where.split() or ["(nothing)"]:
        yield from _module_problems(name, rfc)
    for name in test.split():
        yield from _test_problems(name)


def _module_problems(name: str, rfc: str) -> Iterator[str]:
    file = ROOT / name
    if not file.is_file():
        yield f"there is no {name}"
    elif not re.search(rf"RFC {rfc}\b", file.read_text("utf-8")):
        yield f"{name} does not mention RFC {rfc}"


def interop_problems() -> Iterator[str]:
    """What the table of algorithms and programs relies on and that is not there."""
    for name in evidence():
        yield from (f"tests/interop/programs.py: {problem}" for problem in _test_problems(name))
    for limit in unused():
        yield f"tests/interop/programs.py: the limit {limit} is about no algorithm"


def _test_problems(name: str) -> Iterator[str]:
    path, _, function = name.partition("::")
    file = ROOT / path
    if not path.startswith("tests/") or not file.is_file():
        yield f"there is no test file {path}"
    elif not re.search(
        rf"^(async )?def {re.escape(function)}\(", file.read_text("utf-8"), re.MULTILINE
    ):
        yield f"there is no test {name}"


# --- written documents ---------------------------------------------------------------------------


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "policies", "ldap-schema", "docker"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def link_problems() -> Iterator[str]:
    """Relative links that lead nowhere."""
    for page in pages():
        for target in _LINK.findall(page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)}: {target} does not exist"


def record_problems() -> Iterator[str]:
    """Decision records that lack a part, or whose number is used twice."""
    numbers: dict[str, str] = {}
    for page in sorted((ROOT / "docs/adr").glob("*.md")):
        text, name = page.read_text("utf-8"), page.name
        missing = [part for part in ADR_PARTS if f"\n{part}" not in text]
        if missing:
            yield f"docs/adr/{name}: without {', '.join(missing)}"
        if not text.startswith(f"# {int(name[:4])}. "):
            yield f"docs/adr/{name}: the title does not begin with the number"
        if name[:4] in numbers:
            yield f"docs/adr/{name}: {numbers[name[:4]]} has the same number"
        numbers[name[:4]] = name


def tree_problems() -> Iterator[str]:
    """Top-level directories that README's map leaves out, or only the map knows."""
    text = (ROOT / "README.md").read_text("utf-8").partition("## The tree")[2]
    block = _FENCE.search(text)
    named = set(re.findall(r"^(\.?[\w-]+)/", block[1], re.MULTILINE)) if block else set()
    ignored = {
        line.strip().strip("/")
        for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()
        if line.strip().endswith("/")
    }
    there = {path.name for path in ROOT.iterdir() if path.is_dir()} - ignored - _NOT_OURS
    there = {name for name in there if not name.endswith("_cache")}
    for name in sorted(there - named):
        yield f"README.md: the tree leaves out {name}/"
    for name in sorted(named - there):
        yield f"README.md: the tree names {name}/, which does not exist"


def failure_rows() -> dict[str, str]:
    """The rows of docs/failures.md: id to the whole line."""
    text = (ROOT / "docs/failures.md").read_text("utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^\| (R-\d\d) \|.*$", text, re.MULTILINE)}


def failure_problems() -> Iterator[str]:
    """Rows that the program can answer with and docs/failures.md does not explain."""
    from smimegw.pipeline.replies import ROWS, OpenRow
    from smimegw.policy.matrix import Verdict
    from smimegw.policy.parse_matrix import shipped

    deferred = {
        trouble.row: set(cells.values()) == {Verdict.DEFER}
        for trouble, cells in shipped().cells.items()
    }
    rows = failure_rows()
    for identifier, entry in ROWS.items():
        row = entry
        if isinstance(row, OpenRow):
            row = row.decided(deferred=deferred[identifier])
        known = rows.get(identifier[:4], "") if identifier.startswith("R-") else ""
        if not known:
            text = (ROOT / "docs/failures.md").read_text("utf-8")
            known = text if not identifier.startswith("R-") else ""
        if f"`{row.code} {row.enhanced}" not in known:
            yield f"docs/failures.md: {identifier} without its reply {row.code} {row.enhanced}"
    used = {
        identifier
        for file in (ROOT / "smimegw").rglob("*.py")
        for identifier in _ROW_ID.findall(file.read_text("utf-8"))
    }
    for identifier in sorted(used - rows.keys()):
        yield f"docs/failures.md: {identifier} stands in the code and is not explained"


def unproved_rows() -> Iterator[str]:
    """Rows of docs/failures.md that no test cites."""
    yield from row_problems(ROOT)


def metric_problems() -> Iterator[str]:
    """Metrics that docs/operation.md leaves out, or only it knows."""
    from smimegw.adapters.logs.metrics import Metrics
    from smimegw.adapters.logs.supervision import SupervisionMetrics

    exposition = Metrics().exposition().decode()
    exposition += SupervisionMetrics(2).exposition(ready=True, running=2)
    there = set(re.findall(r"^# TYPE (smimegw_\w+) ", exposition, re.MULTILINE))
    there = {name for name in there if not name.endswith("_created")}
    named = set(re.findall(r"`(smimegw_\w+)`", (ROOT / "docs/operation.md").read_text("utf-8")))
    for name in sorted(there ^ named):
        yield f"docs/operation.md: {name} {'is left out' if name in there else 'does not exist'}"


def example_problems() -> Iterator[str]:
    """Commands on pages that the programs do not know."""
    for page in pages():
        for line in examples_in(page.read_text("utf-8")):
            problem = command_problem(line)
            if problem:
                yield f"{page.relative_to(ROOT)}: {line}: {problem}"


def examples_in(text: str) -> Iterator[str]:
    """Lines that call one of the programs, in blocks and in running text."""
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            stripped = re.sub(r"^\s*(\$ |# )?(sudo (-u \S+ )?)?", "", line)
            if re.match(r"smimegw(-ca)? \S", stripped):
                yield stripped
    text = _FENCE.sub("", text).replace("\\\n", " ")
    yield from (line.removeprefix("sudo ") for line in _INDENTED.findall(text))
    yield from _INLINE.findall(text)


def command_problem(line: str) -> str:
    """Why *line* cannot be a command; empty when it can."""
    try:
        words = shlex.split(line.partition(" > ")[0].partition("   ")[0], comments=True)
    except ValueError as error:
        return f"no shell would take it: {error}"
    command = programs().get(words[0])
    known: set[str] = {"-h", "--help"}
    for position, word in enumerate(words[1:], 1):
        assert command is not None
        known |= {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        command = command.get_command(click.Context(command), word)
        if command is None:
            return f"there is no command {' '.join(words[: position + 1])}"
    assert command is not None
    known |= {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    options = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
    unknown = sorted(options - known)
    return f"there is no option {', '.join(unknown)}" if unknown else ""


CHECKS: tuple[Check, ...] = (
    stale_documents,
    rfc_problems,
    interop_problems,
    link_problems,
    record_problems,
    tree_problems,
    failure_problems,
    unproved_rows,
    metric_problems,
    example_problems,
)


def main(arguments: list[str]) -> int:
    """Write, or check; return the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: documents.py [--check]", file=sys.stderr)
        return 2
    if not arguments:
        for path, text in generated().items():
            (ROOT / path).write_text(text, "utf-8")
    problems = [problem for check in CHECKS for problem in check()]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("documents: fine")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
