"""Decides where pure work is done: on the event loop when it is brief, else in a worker thread.

Handing a function to a thread and its result back costs what signing a small mail does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from smimegw.cms.keys import DecryptionCredential, SigningCredential, is_quick
from smimegw.ports import Ports

P = ParamSpec("P")
T = TypeVar("T")

BRIEF_OCTETS: Final = 128 * 1024  # what linear work is done with in a millisecond or two
_BRIEF_KEYS = 2  # of one recipient; every one of them may be tried


async def brief(
    ports: Ports, octets: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call *function*, which works on *octets* in linear time; raises what it raises."""
    if octets <= BRIEF_OCTETS:
        return function(*args, **kwargs)
    return await ports.workers.run(function, *args, **kwargs)


async def with_keys(
    credentials: tuple[SigningCredential | DecryptionCredential, ...],
    ports: Ports,
    octets: int,
    function: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """The same where *function* uses the keys of *credentials*; a token's may block."""
    few = len(credentials) <= _BRIEF_KEYS
    if few and octets <= BRIEF_OCTETS and all(is_quick(entry.key) for entry in credentials):
        return function(*args, **kwargs)
    return await ports.workers.run(function, *args, **kwargs)
