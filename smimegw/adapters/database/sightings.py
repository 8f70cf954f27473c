"""The register of ciphertexts and signatures in the gateway's database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.engine import insert_if_absent
from smimegw.adapters.database.schema import sightings
from smimegw.memory import Sighting, SightingKind

_QUESTION: sa.Select[Any] = sa.select(sightings.c.first_seen, sightings.c.originator).where(
    sightings.c.kind == sa.bindparam("which"), sightings.c.digest == sa.bindparam("what")
)


class DatabaseSightings:
    """Implements `Sightings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:
        """The first sighting of *digest*; None when there was none.

        Raises:
            DatabaseError: The database could not answer.
        """
        asked = {"which": kind.value, "what": digest.hex()}
        row = await self._database.read(
            lambda connection: connection.execute(_QUESTION, asked).first()
        )
        return _sighting(row) if row else None

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

        def work(connection: sa.Connection) -> tuple[Sighting, ...]:
            # One statement decides between two nodes that see the same at once, and all nodes
            # keep one order, so that none waits for another that waits for it.
            new = {
                digest
                for digest in sorted(set(digests))
                if insert_if_absent(connection, sightings, {**seen, "digest": digest.hex()})
            }
            return tuple(
                first if digest in new else self._known(connection, kind, digest)
                for digest in digests
            )

        return await self._database.write(work)

    def _known(self, connection: sa.Connection, kind: SightingKind, digest: bytes) -> Sighting:
        asked = {"which": kind.value, "what": digest.hex()}
        return _sighting(connection.execute(_QUESTION, asked).one())


def _sighting(row: sa.Row[Any]) -> Sighting:
    return Sighting(at=datetime.fromtimestamp(row.first_seen, UTC), originator=row.originator)
