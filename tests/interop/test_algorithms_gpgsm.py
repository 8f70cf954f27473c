"""The column of `gpgsm` in docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.exchanges import carry_out, person
from tests.interop.gnupg import gnupg
from tests.interop.parties import GnuPGParty
from tests.interop.programs import Cell, cells

CURVES = ["p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512"]


@pytest.fixture(scope="module")
def party() -> Iterator[GnuPGParty]:
    with gnupg(person("rsa")) as home:
        for key in CURVES:
            home.own(person(key))
        for key in ("ed25519", "ed448", "x25519", "x448"):
            home.meet(person(key))
        yield GnuPGParty(home)


@pytest.mark.parametrize("cell", cells("gpgsm"), ids=str)
def test_algorithm_is_exchanged_with_gpgsm_or_refused_by_it(party: GnuPGParty, cell: Cell) -> None:
    """Each algorithm, both ways (RFC 8551, 2)."""
    carry_out(cell, party)
