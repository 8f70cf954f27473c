"""A register that is asked and never written, for commands that must leave no trace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from smimegw.memory import Sighting, SightingKind, Sightings


class UnwrittenSightings:
    """Implements `Sightings` over another: what is seen for the first time is not kept."""

    def __init__(self, inner: Sightings) -> None:
        self._inner = inner

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:
        """As the other answers."""
        return await self._inner.find(kind, digest)

    async def any_seen(self, kind: SightingKind, digests: Sequence[bytes]) -> bool:
        """As the other answers."""
        return await self._inner.any_seen(kind, digests)

    async def first_seen(
        self, kind: SightingKind, digests: Sequence[bytes], originator: str, now: datetime
    ) -> tuple[Sighting, ...]:
        """The first sighting of each; what there is none of counts as seen now."""
        found = [await self._inner.find(kind, digest) for digest in digests]
        return tuple(entry or Sighting(at=now, originator=originator) for entry in found)
