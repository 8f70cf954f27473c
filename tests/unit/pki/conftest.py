"""A certificate authority on elliptic curves, made once per process and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pki import founding, opening
from pki.home import Home
from pki.settings import Settings
from tests.unit.pki.steps import NOW, PASSPHRASE, Operator


@pytest.fixture
def now() -> datetime:
    """When the test happens."""
    return NOW


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ca"
    plan = founding.Founding(
        name="Corp Mail CA",
        settings=Settings(domains=("corp.example",), organization="Corp", country="DE"),
        key_kind=founding.KeyKind.P_256,
    )
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=NOW - timedelta(days=1))
    return path


@pytest.fixture
def ca_path(_template: Path, tmp_path: Path) -> Path:
    """A CA directory of the test's own; founded yesterday for corp.example."""
    return Path(shutil.copytree(_template, tmp_path / "ca"))


@pytest.fixture
def ca(ca_path: Path, now: datetime) -> Iterator[Home]:
    """The same, open for changes."""
    with opening.changing(ca_path, now=now) as opened:
        yield opened


@pytest.fixture
def operator(ca_path: Path, tmp_path: Path) -> Operator:
    """Rita, who works with that CA on the command line."""
    (tmp_path / "passphrase").write_bytes(PASSPHRASE + b"\n")
    return Operator(ca_path, tmp_path / "passphrase")
