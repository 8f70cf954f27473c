"""The register of ciphertexts and signatures in the gateway's database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.engine import row_if_absent
from smimegw.adapters.database.prepared import Running, Statement
from smimegw.adapters.database.schema import sightings
from smimegw.memory import Sighting, SightingKind

_KNOWN = Statement(
    lambda _: sa.select(sightings.c.first_seen, sightings.c.originator).where(
        sightings.c.kind == sa.bindparam("which"), sightings.c.digest == sa.bindparam("what")
    )
)
_NEW = Statement(lambda dialect: row_if_absent(dialect, sightings))


class DatabaseSightings:
    """Implements `Sightings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:
        """The first sighting of *digest*; None when there was none.

        Raises:
            DatabaseError: The database could not answer.
        """
        rows = await self._database.ask(_KNOWN, [_named(kind, digest)])
        return _sighting(rows[0]) if rows else None

    async def any_seen(self, kind: SightingKind, digests: Sequence[bytes]) -> bool:
        """Whether one of *digests* was seen.

        Raises:
            DatabaseError: The database could not answer.
        """
        question = sa.select(sightings.c.digest).where(
            sightings.c.kind == kind.value,
            sightings.c.digest.in_([digest.hex() for digest in digests]),
        )
        row = await self._database.read(lambda connection: connection.execute(question).first())
        return row is not None

    async def first_seen(
        self, kind: SightingKind, digests: Sequence[bytes], originator: str, now: datetime
    ) -> tuple[Sighting, ...]:
        """The first sighting of each of *digests*; this one where there was none.

        Raises:
            DatabaseError: The database could not answer.
        """
        at = int(now.timestamp())
        seen = {"kind": kind.value, "originator": originator, "first_seen": at}
        first = Sighting(at=datetime.fromtimestamp(at, UTC), originator=originator)

        def work(running: Running) -> tuple[Sighting, ...]:
            # One statement decides between two nodes that see the same at once, and all nodes
            # keep one order, so that none waits for another that waits for it.
            new = {
                digest
                for digest in sorted(set(digests))
                if running.rows(_NEW, {**seen, "digest": digest.hex()})
            }
            return tuple(
                first if digest in new else _sighting(*running.rows(_KNOWN, _named(kind, digest)))
                for digest in digests
            )

        return await self._database.change(work)


def _named(kind: SightingKind, digest: bytes) -> dict[str, str]:
    return {"which": kind.value, "what": digest.hex()}


def _sighting(row: Sequence[Any]) -> Sighting:
    at, originator = row
    return Sighting(at=datetime.fromtimestamp(at, UTC), originator=originator)
