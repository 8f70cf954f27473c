"""Every fuzz target for a moment: thousands of changed inputs, the same ones in every run."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.catalogue import TARGETS
from tests.fuzz.mutation import mutations
from tests.fuzz.target import printable

# What makes or reads a policy, or asks asyncio, is slower than all others.
_SLOW = dict.fromkeys(("disarm", "http", "layer", "subject"), 300)
_SLOWER = dict.fromkeys(("policy", "protect-header"), 100)
_USUAL = 1000


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_read_or_refused(name: str) -> None:
    """No exception but the promised ones leaves a reader (T-09)."""
    target = TARGETS[name]
    count = (_SLOW | _SLOWER).get(name, _USUAL)
    for octets in mutations(target.seeds, target.words, Random(name), count):
        fault = target.fault_of(octets)
        if fault is not None:
            pytest.fail(f"python -m tests.fuzz {name} --input {printable(octets)}\n{fault.text}")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_good(name: str) -> None:
    """Mutation starts from what is taken, or it would never come far."""
    target = TARGETS[name]
    for seed in target.seeds:
        target.read(seed)
