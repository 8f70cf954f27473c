"""What several interop modules start: Bouncy Castle, compiled once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.bouncy_castle import BouncyCastle, bouncy_castle, compile_into


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Where the classes are; workers of pytest-xdist share them."""
    own = tmp_path_factory.getbasetemp()
    directory = (own.parent if hasattr(request.config, "workerinput") else own) / "bouncy-castle"
    directory.mkdir(exist_ok=True)
    compile_into(directory)
    return directory


@pytest.fixture(scope="module")
def peer(compiled: Path) -> Iterator[BouncyCastle]:
    """Bouncy Castle, one JVM for a module."""
    with bouncy_castle(compiled) as peer:
        yield peer
