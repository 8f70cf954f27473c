"""What a gateway process tells whoever started it: systemd, our supervisor, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a gateway process is.

    Attributes:
        reasons: Why it takes no mail now; empty when all is well.
        policy: Digest of the policy in use.
        metrics: Makes the text of /metrics; it costs something.
    """

    reasons: tuple[str, ...]
    policy: str
    metrics: Callable[[], bytes]


class Overseer(Protocol):
    """Who started this process and looks after it."""

    @property
    def every_seconds(self) -> float:
        """How often it wants a sign of life from the event loop; 0 for never."""
        ...

    def ready(self, condition: Condition) -> None:
        """Everything is open; clients are let in."""
        ...

    def beat(self, condition: Condition) -> None:
        """The event loop is alive."""
        ...

    def reloading(self) -> None:
        """Policy and trust are being read again."""
        ...

    def reloaded(self, condition: Condition) -> None:
        """They have been, whether the new ones are in use or the old ones stay."""
        ...

    def stopping(self) -> None:
        """Nobody new is let in; what runs is finished."""
        ...


class Nobody:
    """Implements `Overseer` for a process that was started by hand."""

    every_seconds = 0.0

    def ready(self, condition: Condition) -> None:
        """Nobody wants to know."""

    def beat(self, condition: Condition) -> None:
        """Nobody wants to know."""

    def reloading(self) -> None:
        """Nobody wants to know."""

    def reloaded(self, condition: Condition) -> None:
        """Nobody wants to know."""

    def stopping(self) -> None:
        """Nobody wants to know."""
