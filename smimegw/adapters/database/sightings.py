"""The register of ciphertexts and signatures in the gateway's database."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.engine import insert_if_absent
from smimegw.adapters.database.schema import sightings
from smimegw.memory import Sighting, SightingKind


class DatabaseSightings:
    """Implements `Sightings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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

        def work(connection: sa.Connection) -> Sighting:
            # One statement decides between two nodes that see the same at once.
            connection.execute(insert_if_absent(connection, sightings, values))
            row = connection.execute(
                sa.select(sightings.c.first_seen, sightings.c.originator).where(
                    sightings.c.kind == kind.value, sightings.c.digest == digest.hex()
                )
            ).one()
            at = datetime.fromtimestamp(row.first_seen, UTC)
            return Sighting(at=at, originator=row.originator)

        return await self._database.write(work)
