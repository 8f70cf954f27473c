"""The column of `openssl` in docs/interop.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.exchanges import carry_out
from tests.interop.parties import OpenSSLParty
from tests.interop.programs import Cell, cells


@pytest.mark.parametrize("cell", cells("openssl"), ids=str)
def test_algorithm_is_exchanged_with_openssl_or_refused_by_it(tmp_path: Path, cell: Cell) -> None:
    """Each algorithm, both ways (RFC 8551, 2)."""
    carry_out(cell, OpenSSLParty(tmp_path))
