"""Says whether twice the input is twice the work, counted and not timed."""

from __future__ import annotations

from collections.abc import Callable

from tests.meter.instrument import Metered
from tests.meter.work import TooMuchWork, counted

METERED = Metered()

# Linear work doubles, quadratic work grows fourfold; sorting lies a little above two.
_LINEAR = 2.5
_MOST = 20_000_000
_HEADER_OCTETS = 16  # longer values have longer lengths in front of them


def growth(read: Callable[[bytes], object], make: Callable[[int], bytes], first: int) -> float:
    """How the work grows from one doubling of the input to the next: 2 when it is linear."""
    read_quietly(read, make(first))  # what is remembered between inputs is remembered now
    work = []
    for size in (first, 2 * first, 4 * first):
        octets = make(size)
        try:
            work.append(counted(lambda octets=octets: read(octets), _MOST))
        except TooMuchWork:
            return float("inf")
    before, after = work[1] - work[0], work[2] - work[1]
    # A limit that ends reading early makes all three alike, which says nothing.
    assert before > first / 4, f"the work does not depend on the input: {work}"
    return after / before


def is_linear(read: Callable[[bytes], object], make: Callable[[int], bytes], first: int) -> bool:
    """Whether twice the input is about twice the work."""
    return growth(read, make, first) < _LINEAR


def is_constant(read: Callable[[bytes], object], make: Callable[[int], bytes], first: int) -> bool:
    """Whether more input is no more work at all: nothing copies it, nothing looks at it."""
    read_quietly(read, make(first))
    work = [counted(lambda size=size: read(make(size))) for size in (first, 4 * first)]
    return work[1] - work[0] <= _HEADER_OCTETS


def read_quietly(read: Callable[[bytes], object], octets: bytes) -> None:
    """Read, whatever comes of it."""
    counted(lambda: read(octets))
