"""What is installed is what was reviewed: locked with hashes, and declared where imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = sorted(PROJECT.glob("requirements*.lock"))
INSTALLERS = [PROJECT / "Makefile", *sorted((PROJECT / "docker").rglob("Dockerfile"))]


def _plain(name: str) -> str:
    """A distribution's name, normalised."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> set[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras for line in extras[name])]
    return {_plain(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", ["pki", "smimegw"])
def test_everything_imported_is_declared(package: str) -> None:
    """A package that only comes along with another may go with it (cases M24)."""
    known = sys.stdlib_module_names | {"pki", "smimegw"}
    distributions = importlib.metadata.packages_distributions()
    imported = {
        name for path in (PROJECT / package).rglob("*.py") for name in _imports(path)
    } - known
    declared = _declared()
    assert [
        name
        for name in sorted(imported)
        if not {_plain(each) for each in distributions.get(name, [])} & declared
    ] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_locked_with_its_hash(lock: Path) -> None:
    """In one version (cases M24)."""
    entries = re.findall(
        r"^([\w.\[\]-]+)(\S*)((?: \\\n\s+--hash=\S+)*)", lock.read_text(), re.MULTILINE
    )
    assert len(entries) > 20
    for name, version, hashes in entries:
        assert re.fullmatch(r"==[\w.+!]+", version), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", hashes), name


def test_every_declared_package_is_locked() -> None:
    """Else its installation would take whatever is newest (cases M24)."""
    text = "\n".join(path.read_text() for path in LOCKS)
    locked = {_plain(name) for name in re.findall(r"^([\w.-]+)(?:\[\S+\])?==", text, re.MULTILINE)}
    assert sorted(_declared() - locked) == []


@pytest.mark.parametrize("installer", INSTALLERS, ids=lambda path: path.parent.name)
def test_whoever_installs_from_a_lock_demands_the_hashes(installer: Path) -> None:
    """A file that changed at the registry stops the installation (cases M24)."""
    text = installer.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if re.search(r"install\b.* -r \S+\.lock", line):
            assert "--require-hashes" in line
