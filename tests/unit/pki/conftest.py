"""A certificate authority on elliptic curves, made once per process and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pki import founding, home
from pki.home import Home
from pki.settings import Settings
from tests.unit.pki.steps import PASSPHRASE


@pytest.fixture
def now() -> datetime:
    """When the test happens."""
    return datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ca"
    plan = founding.Founding(
        name="Corp Mail CA",
        settings=Settings(domains=("corp.example",), organization="Corp", country="DE"),
        key_kind=founding.KeyKind.P_256,
    )
    founded = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=founded)
    return path


@pytest.fixture
def ca_path(_template: Path, tmp_path: Path) -> Path:
    """A CA directory of the test's own; founded three weeks ago for corp.example."""
    return Path(shutil.copytree(_template, tmp_path / "ca"))


@pytest.fixture
def ca(ca_path: Path, now: datetime) -> Iterator[Home]:
    """The same, open for changes."""
    with home.changing(ca_path, now=now) as opened:
        yield opened
