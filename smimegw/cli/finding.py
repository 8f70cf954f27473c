"""What the doctor says of one thing: how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from smimegw.app import Assembled


class Health(IntEnum):
    """How one thing is; the largest of several counts."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor.

    Attributes:
        area: Part of the gateway, such as ``directory``.
        what: What was looked at.
        health: How it is.
        detail: What was seen.
        remedy: What to do; empty when nothing is to be done.
    """

    area: str
    what: str
    health: Health = Health.OK
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One examination of one area; it neither sends mail nor changes anything.

    Attributes:
        area: For the choice on the command line.
        examine: Returns what it found.
    """

    area: str
    examine: Callable[[Assembled], Awaitable[Iterable[Finding]]]
