"""Forgets what was remembered long enough, a little at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.schema import candidates, correspondents, sightings
from smimegw.memory import CandidateState

_AT_ONCE = 1000  # rows in one transaction: nobody waits for a writer for long


async def forget(database: Database, now: datetime, keep: timedelta) -> int:
    """Delete what was last seen more than *keep* ago; how many rows that were.

    Candidates stay until their certificate has ended that long ago, for an administrator's word
    on one holds as long as it can be used; so does what refused it.

    Raises:
        DatabaseError: Some may be deleted, the others are next time.
    """
    before = int((now - keep).timestamp())
    undecided = candidates.c.state == CandidateState.CANDIDATE.value
    old: tuple[tuple[sa.Table, sa.ColumnElement[Any], sa.ColumnElement[bool]], ...] = (
        (sightings, sightings.c.digest, sightings.c.first_seen < before),
        (correspondents, correspondents.c.mailbox, correspondents.c.last_seen < before),
        (candidates, candidates.c.id, candidates.c.not_after < before),
        (candidates, candidates.c.id, undecided & (candidates.c.first_seen < before)),
    )
    return sum([await _delete(database, *each) for each in old])


async def _delete(
    database: Database, table: sa.Table, key: sa.ColumnElement[Any], which: sa.ColumnElement[bool]
) -> int:
    some = sa.select(key).where(which).limit(_AT_ONCE)
    change = sa.delete(table).where(which, key.in_(some))
    total = 0
    while True:
        deleted = await database.write(lambda connection: connection.execute(change).rowcount)
        total += deleted
        if deleted == 0:
            return total
