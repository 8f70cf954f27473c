"""The wheel alone: both programs and the demonstration work from it, nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.programs import PROJECT

_SECONDS = 200


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel` does."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, PROJECT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel and the dependencies, without the tree."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False)
    [packages] = place.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
    python = place / "bin" / "python"
    run(*pip, python, "install", "--no-deps", "--no-index", "--quiet", wheel)
    # The dependencies of this environment, but not its link to the source tree: packages named
    # by a .pth file do not have their own .pth files read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import smimegw, pki; print(smimegw.__file__, pki.__file__)")
    assert where.split() == [str(packages / name / "__init__.py") for name in ("smimegw", "pki")]
    return place / "bin"


def run(*command: str | Path) -> str:
    """Run outside the source tree, expect success, return standard output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd="/",
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_both_programs_answer(programs: Path) -> None:
    """--version and --help of either."""
    for name in ("smimegw", "smimegw-ca"):
        assert "0.1.0" in run(programs / name, "--version")
        assert f"Usage: {name}" in run(programs / name, "--help")


def test_the_demonstration_works(programs: Path) -> None:
    """CA, gateways, real mail, from what the wheel holds."""
    said = run(programs / "smimegw", "demo")
    assert "4 of 4 messages arrived exactly as they were written" in said
    assert "signature inside verified" in said


def test_nothing_is_missing_or_too_much(wheel: Path) -> None:
    """Packages with type markers, policies, schema, sample, units and manuals; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {name for name in names if ".data/" not in name}
    assert code == files("smimegw") | files("pki")
    assert {"smimegw/py.typed", "pki/py.typed"} <= code
    shared = {name.partition("/data/share/")[2] for name in names - code}
    manuals = {f"man/man{path.suffix[1:]}/{path.name}" for path in (PROJECT / "docs/man").iterdir()}
    assert {name for name in shared if name.startswith("man/")} == manuals
    units = {path.name for path in (PROJECT / "docs").glob("*.service")}
    ours = files("policies") | files("ldap-schema") | units | {"smimegw.toml.sample"}
    assert shared - manuals == {f"smimegw/{name}" for name in ours}


def files(folder: str) -> set[str]:
    """Every file of *folder* of the source tree, relative to the tree."""
    return {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
