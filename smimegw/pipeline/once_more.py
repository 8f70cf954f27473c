"""Asks the keystore a second time when it failed at once: a token lost, a file just replaced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from smimegw.errors import KeystoreError

T = TypeVar("T")


async def once_more(ask: Callable[[], Awaitable[T]]) -> T:
    """What *ask* returns, at the second try if need be (R-14).

    A locked keystore is not opened by asking, and one that kept us waiting would do so again.

    Raises:
        KeystoreError: Of the last try.
    """
    try:
        return await ask()
    except KeystoreError as exc:
        if exc.locked or not exc.retryable:
            raise
    return await ask()
