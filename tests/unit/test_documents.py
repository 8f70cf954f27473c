"""The documents tell the truth, and the checks that say so notice when they do not."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from smimegw.config.describe import all_keys, sample
from smimegw.config.load import load
from smimegw.config.model import Configuration
from tests.make import documents

COMMANDS = [
    (name, command, context)
    for name, command, context in documents.commands()
    if not isinstance(command, click.Group)
]
GATEWAY = 'version = 1\n[gateway]\nhostname = "gw.a.example"\ninternal_domains = ["a.example"]\n'
TREE = ("README.md", ".gitignore", "docs", "policies", "ldap-schema")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project that the checks look at instead of ours."""
    for folder in ("docs/adr", "smimegw", "tests"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".gitignore").write_text(".venv/\n")
    (tmp_path / "smimegw/module.py").write_text('"""A rule (RFC 1234, 5)."""\n')
    (tmp_path / "tests/test_rule.py").write_text("\ndef test_rule() -> None: ...\n")
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    return tmp_path


# --- ours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", documents.CHECKS, ids=lambda check: check.__name__)
def test_documents_are_true(check: documents.Check) -> None:
    """Generated pages are fresh; tables, links, commands and names exist."""
    assert not list(check())


def test_every_key_is_explained() -> None:
    """A field of the configuration without a text is not finished."""
    assert [entry.key for entry in all_keys() if not entry.text.strip()] == []


def test_every_key_stands_in_the_sample() -> None:
    """The sample is where administrators look first."""
    text = sample()
    names = {entry.key.rpartition(".")[2] for entry in all_keys()}
    names |= {field.name for field in dataclasses.fields(Configuration)}
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", text)) == []


@pytest.mark.parametrize(("name", "command", "context"), COMMANDS, ids=[c[0] for c in COMMANDS])
def test_help_has_two_examples_that_work(
    name: str, command: click.Command, context: click.Context
) -> None:
    """An example says more than ten options, unless it names one that does not exist."""
    text = documents.help_of(command, context).replace("\\\n", " ")
    _, _, after = text.partition("Examples:")
    examples = re.findall(rf"^ +({re.escape(name)}(?: .*)?)$", after, re.MULTILINE)
    assert len(examples) >= 2
    assert [problem for line in examples if (problem := documents.command_problem(line))] == []


def test_check_ends_with_one_and_names_the_difference(tmp_path: Path) -> None:
    """`make check` must fail when a document was forgotten."""
    script = Path(documents.__file__)
    (tmp_path / "tests/make").mkdir(parents=True)
    for name in ("documents.py", "cases.py"):
        (tmp_path / "tests/make" / name).write_bytes(script.with_name(name).read_bytes())
    for name in TREE:
        (tmp_path / name).symlink_to(documents.ROOT / name)
    for name in ("smimegw", "pki"):
        (tmp_path / name).symlink_to(documents.ROOT / name)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "tests/make/documents.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 1
    assert "README.md: the tree names docker/, which does not exist" in done.stderr


@pytest.mark.parametrize("number", [0, 1])
def test_placements_are_configurations_that_load(number: int, tmp_path: Path) -> None:
    """What the guide shows for each placement of the gateway can be pasted."""
    page = (documents.ROOT / "docs/operation.md").read_text("utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    file = tmp_path / "smimegw.toml"
    file.write_text(f"{GATEWAY}\n{blocks[number]}")
    assert set(load(file, check_files=False).next_hop) == {"in", "out"}


def test_no_placement_of_the_guide_is_an_open_relay() -> None:
    """Strangers' mail comes from the gateway's address: Postfix must look at recipients."""
    page = (documents.ROOT / "docs/operation.md").read_text("utf-8")
    place = page.partition("**Users → gateway → Postfix.**")[2].partition("**Postfix → gateway")[0]
    service = place.partition("127.0.0.1:10026 inet")[2].partition("```")[0]
    assert "smtpd_relay_restrictions=reject_unauth_destination\n" in service


# --- the checks notice ---------------------------------------------------------------------------

GOOD = ["1234", "5", "a rule", "yes", "smimegw/module.py", "tests/test_rule.py::test_rule"]


def rfc_table(root: Path, *rows: list[str]) -> list[str]:
    lines = ["RFC\tsection\trule\tstatus\twhere\ttest", *("\t".join(row) for row in rows)]
    (root / "docs/rfc.tsv").write_text("\n".join(lines) + "\n")
    return list(documents.rfc_problems())


def test_good_row_is_fine(copied: Path) -> None:
    """Module and test exist, and the module cites the RFC."""
    assert rfc_table(copied, GOOD) == []


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        (0, "123", "no RFC number"),
        (1, "", "no section"),
        (2, "", "no rule"),
        (3, "mostly", "not yes, partly or no"),
        (4, "smimegw/gone.py", "there is no smimegw/gone.py"),
        (4, "", "there is no (nothing)"),
        (5, "tests/test_gone.py::test_rule", "no test file"),
        (5, "tests/test_rule.py::test_gone", "there is no test tests/test_rule.py::test_gone"),
        (5, "", "yes without a test"),
    ],
)
def test_bad_row_is_named(copied: Path, column: int, value: str, problem: str) -> None:
    """One defect, one line with its number."""
    row = [*GOOD]
    row[column] = value
    found = rfc_table(copied, row)
    assert len(found) == 1
    assert found[0].startswith("docs/rfc.tsv:2: ")
    assert problem in found[0]


def test_module_that_does_not_cite_the_rfc_is_named(copied: Path) -> None:
    """RFC 123 is not cited by a text about RFC 1234, nor the reverse."""
    (copied / "smimegw/module.py").write_text('"""A rule (RFC 12345, 5)."""\n')
    assert "does not mention RFC 1234" in rfc_table(copied, GOOD)[0]


def test_rows_out_of_order_are_noticed(copied: Path) -> None:
    """Sections compare as numbers: 5.10 comes after 5.9."""
    rows = [[*GOOD[:1], section, *GOOD[2:]] for section in ("5.9", "5.10")]
    assert rfc_table(copied, *rows) == []
    assert "not in the order" in rfc_table(copied, *rows[::-1])[0]


def test_tree_names_exactly_what_is_there(copied: Path) -> None:
    """A directory that the map leaves out, and one that only the map knows."""
    (copied / "README.md").write_text("## The tree\n\n```\nsmimegw/  x\ntests/\nweb/\n```\n")
    assert sorted(documents.tree_problems()) == [
        "README.md: the tree leaves out docs/",
        "README.md: the tree names web/, which does not exist",
    ]


def test_record_without_a_price_is_named(copied: Path) -> None:
    """A decision without its price is advertising."""
    parts = "\n".join(["# 1. Title", *documents.ADR_PARTS[:-1]])
    (copied / "docs/adr/0001-title.md").write_text(parts)
    assert list(documents.record_problems()) == ["docs/adr/0001-title.md: without **Price.**"]


def test_dead_link_is_named(copied: Path) -> None:
    """Links between pages lead somewhere."""
    (copied / "README.md").write_text("[a](docs/gone.md) [b](docs/adr) [c](https://x.example/)")
    assert list(documents.link_problems()) == ["README.md: docs/gone.md does not exist"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("smimegw config check --json", ""),
        ("smimegw key import FILE --password-file -", ""),
        ("smimegw seal unseal", "there is no command smimegw seal"),
        ("smimegw config chekc", "there is no command smimegw config chekc"),
        ("smimegw config check --verbose", "there is no option --verbose"),
        ("smimegw-ca issue a@b.example --profle pair", "there is no option --profle"),
        ("smimegw explain 'x", "no shell would take it"),
    ],
)
def test_commands_on_pages_are_checked(line: str, problem: str) -> None:
    """A page that shows a command that does not exist wastes somebody's evening."""
    found = documents.command_problem(line)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_commands_are_found_on_pages() -> None:
    """In blocks, with prompt, sudo and continuation, indented, and in running text."""
    text = (
        "run `smimegw config check` first\n\n    smimegw demo\n\n"
        "```\n$ smimegw run \\\n    --check\nsudo -u smimegw smimegw key list\n"
        "smimegw/relay[71]: a log line\n```\n"
    )
    assert [" ".join(line.split()) for line in documents.examples_in(text)] == [
        "smimegw run --check",
        "smimegw key list",
        "smimegw demo",
        "smimegw config check",
    ]


def test_failure_without_explanation_is_named(copied: Path) -> None:
    """A reply that the program can give stands in the table, with its code."""
    real = (Path(documents.__file__).parents[2] / "docs/failures.md").read_text("utf-8")
    (copied / "docs/failures.md").write_text(real.replace("| R-06 |", "| R-96 |"))
    found = list(documents.failure_problems())
    assert found == ["docs/failures.md: R-06 without its reply 451 4.4.3"]


@pytest.mark.parametrize(
    ("row", "docstring", "problem"),
    [
        ("| R-01 | a | b | yes |", "Good (R-01).", ""),
        ("| N-01 | a | b | partly: no c |", "Good (N-01).", ""),
        ("| R-01 | a | b | yes |", "Not at all.", "R-01 is promised, and no test cites it"),
        ("| N-01 | a | b | yes |", "Another (R-01).", "N-01 is promised, and no test cites it"),
        ("| R-01 | a | b | not yet |", "Not at all.", ""),
        (
            "| R-01 | a | b | not yet |",
            "Good (R-01).",
            "R-01 is not yet there, and a test cites it",
        ),
        ("| R-01 | a | b |", "Good (R-01).", "R-01 has no state (yes, partly, not yet)"),
        ("| R-01 | a | b | yes |\n| R-01 | a | b | yes |", "(R-01).", "R-01 is there twice"),
        ("| R-01 | a | b | yes |", "R-01, R-02.", "R-02 is cited by a test and does not exist"),
    ],
)
def test_row_without_a_test_is_named(copied: Path, row: str, docstring: str, problem: str) -> None:
    """What docs/failures.md promises stands in the docstring of a test, or the check fails."""
    (copied / "docs/failures.md").write_text(f"| Row | When | Reply | State |\n|---|---|\n{row}\n")
    test = f'def test_rule() -> None:\n    """{docstring}"""\n'
    (copied / "tests/test_rule.py").write_text(test)
    found = list(documents.unproved_rows())
    if problem:
        assert f"docs/failures.md: {problem}" in found
    else:
        assert found == []


def test_page_of_the_failure_matrix_shows_every_cell() -> None:
    """One line per trouble; what a trouble does not touch is a dash."""
    lines = documents.generated()["docs/failure-matrix.md"].splitlines()
    [none] = [line for line in lines if line.startswith("| certificate.none |")]
    cells = [cell.strip() for cell in none.strip("|").split("|")]
    assert cells[1:] == ["R-01", "–", "–", *["policy"] * 3, "`without_certificate`"]
    [down] = [line for line in lines if line.startswith("| certificate.unavailable ? |")]
    assert down.count("defer") == 3
