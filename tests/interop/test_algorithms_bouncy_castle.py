"""The column of Bouncy Castle in docs/interop.md."""

from __future__ import annotations

import pytest

from tests.interop.exchanges import carry_out
from tests.interop.parties import BouncyCastleParty
from tests.interop.programs import Cell, cells
from tests.peers.bouncy_castle import BouncyCastle


@pytest.fixture(scope="module")
def party(peer: BouncyCastle) -> BouncyCastleParty:
    return BouncyCastleParty(peer)


@pytest.mark.parametrize("cell", cells("bouncy-castle"), ids=str)
def test_algorithm_is_exchanged_with_bouncy_castle(party: BouncyCastleParty, cell: Cell) -> None:
    """Each algorithm, both ways (RFC 8551, 2)."""
    carry_out(cell, party)
