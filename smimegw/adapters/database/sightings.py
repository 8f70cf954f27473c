"""The register of ciphertexts and signatures in the gateway's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.engine import insert_if_absent
from smimegw.adapters.database.schema import sightings
from smimegw.memory import Sighting, SightingKind


class DatabaseSightings:
    """Implements `Sightings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:
        """The first sighting of *digest*; None when there was none.

        Raises:
            DatabaseError: The database could not answer.
        """
        question = _question(kind, digest)
        row = await self._database.read(lambda connection: connection.execute(question).first())
        return _sighting(row) if row else None

    async def first_seen(
        self, kind: SightingKind, digest: bytes, originator: str, now: datetime
    ) -> Sighting:
        """The first sighting of *digest*; this one when there was none.

        Raises:
            DatabaseError: The database could not answer.
        """
        values = {
            "kind": kind.value,
            "digest": digest.hex(),
            "originator": originator,
            "first_seen": int(now.timestamp()),
        }
        question = _question(kind, digest)

        def work(connection: sa.Connection) -> Sighting:
            # One statement decides between two nodes that see the same at once.
            insert_if_absent(connection, sightings, values)
            return _sighting(connection.execute(question).one())

        return await self._database.write(work)


def _question(kind: SightingKind, digest: bytes) -> sa.Select[Any]:
    return sa.select(sightings.c.first_seen, sightings.c.originator).where(
        sightings.c.kind == kind.value, sightings.c.digest == digest.hex()
    )


def _sighting(row: sa.Row[Any]) -> Sighting:
    return Sighting(at=datetime.fromtimestamp(row.first_seen, UTC), originator=row.originator)
