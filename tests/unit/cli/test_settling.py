"""What a gateway is made of is not looked through again by the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from smimegw.cli.run import settling


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_what_was_made_is_permanent() -> None:
    """Looking through it would keep everybody waiting."""
    with settling():
        made = [[number] for number in range(1000)]
    assert gc.isenabled()
    looked_at = {id(entry) for entry in gc.get_objects()}
    assert not looked_at & {id(entry) for entry in made}


def test_the_collector_works_after_a_mistake() -> None:
    """A command may go on after a configuration that cannot be used."""
    with pytest.raises(ValueError, match="mistake"), settling():
        raise ValueError("mistake")
    assert gc.isenabled()
