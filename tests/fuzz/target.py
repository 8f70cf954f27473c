"""What a fuzz target is: a reader, the errors it promises, good inputs to begin with."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from smimegw.errors import SmimegwError


@dataclass(frozen=True)
class Target:
    """One reader under attack.

    Attributes:
        name: What the command line calls it.
        read: Reads octets; asserts what must hold of whatever it accepts.
        promised: The errors that may leave it; everything else is a finding.
        make_seeds: Good inputs, small, made by our own writers where we have them.
        words: Pieces of which the format is made; noise seldom finds them.
    """

    name: str
    read: Callable[[bytes], object]
    promised: tuple[type[SmimegwError], ...]
    make_seeds: Callable[[], Sequence[bytes]]
    words: tuple[bytes, ...] = ()

    @cached_property
    def seeds(self) -> tuple[bytes, ...]:
        """The inputs to begin with; some cost a signature, so they are made once."""
        return tuple(self.make_seeds())

    def fault_of(self, octets: bytes) -> Fault | None:
        """Read *octets*; None when all is as promised."""
        try:
            self.read(octets)
        except self.promised:
            return None
        except Exception as exc:
            return Fault.of(exc)
        return None


@dataclass(frozen=True)
class Fault:
    """An exception that was not promised; equal when it comes from the same line."""

    kind: str
    place: str
    text: str

    @classmethod
    def of(cls, exc: Exception) -> Fault:
        frames = traceback.extract_tb(exc.__traceback__)
        ours = [f for f in frames if "/smimegw/" in f.filename] or list(frames)
        place = f"{ours[-1].filename}:{ours[-1].lineno}"
        return cls(type(exc).__name__, place, "".join(traceback.format_exception(exc)))


def printable(octets: bytes) -> str:
    """An input as one word that `python -m tests.fuzz NAME --input WORD` reads again."""
    return base64.b64encode(octets).decode()
