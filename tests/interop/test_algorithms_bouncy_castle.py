"""The column of Bouncy Castle in docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.exchanges import carry_out
from tests.interop.parties import BouncyCastleParty
from tests.interop.programs import Cell, cells
from tests.peers.bouncy_castle import bouncy_castle


@pytest.fixture(scope="module")
def party() -> Iterator[BouncyCastleParty]:
    with bouncy_castle() as peer:
        yield BouncyCastleParty(peer)


@pytest.mark.parametrize("cell", cells("bouncy-castle"), ids=str)
def test_algorithm_is_exchanged_with_bouncy_castle(party: BouncyCastleParty, cell: Cell) -> None:
    """Each algorithm, both ways (RFC 8551, 2)."""
    carry_out(cell, party)
