"""The column of NSS in docs/interop.md."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop.exchanges import carry_out
from tests.interop.parties import NSSParty
from tests.interop.programs import Cell, cells


@pytest.fixture(scope="module")
def party() -> Iterator[NSSParty]:
    with contextlib.ExitStack() as stack:
        yield NSSParty(stack)


@pytest.mark.parametrize("cell", cells("nss"), ids=str)
def test_algorithm_is_exchanged_with_nss_or_refused_by_it(party: NSSParty, cell: Cell) -> None:
    """Each algorithm, both ways (RFC 8551, 2)."""
    carry_out(cell, party)
