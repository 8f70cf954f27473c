"""The ledger of accepted recipients in the shared database; implements `custody.Ledger`.

Times are the database's own, so that nodes whose clocks differ agree about a claim (T-25, T-27).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.engine import insert_if_absent, insert_into
from smimegw.adapters.database.prepared import Statement
from smimegw.adapters.database.schema import ledger_accepted, ledger_claims
from smimegw.custody import KEPT_SECONDS, LEASE_SECONDS
from smimegw.errors import DatabaseError, LedgerBusyError, LedgerError
from smimegw.failpoints import reach

T = TypeVar("T")

_SWEEP_SECONDS = 600  # how often what is too old is removed


class DatabaseLedger:
    """Implements `custody.Ledger`.

    Args:
        database: Shared by all nodes.
        lease_seconds: How long a claim holds.
        kept_seconds: How long what was accepted is remembered.
    """

    def __init__(
        self,
        database: Database,
        *,
        lease_seconds: int = LEASE_SECONDS,
        kept_seconds: int = KEPT_SECONDS,
    ) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._kept_seconds = kept_seconds
        self._swept_at = 0

    async def accepted(self, fingerprint: str) -> frozenset[str]:
        """Tokens of the recipients whom the next hop has accepted before.

        Raises:
            LedgerError: The database could not answer.
        """
        try:
            rows = await self._database.ask(_ACCEPTED, [self._asked(fingerprint)])
        except DatabaseError as error:
            raise LedgerError(str(error), server=error.server) from error
        return frozenset(token for (token,) in rows)

    async def claim(self, fingerprint: str, holder: str, *, key: str = "") -> frozenset[str]:
        """Let nobody else deliver this message for a while; returns what `accepted` does.

        Raises:
            LedgerBusyError: Another holder delivers it now.
            LedgerError: The database did not do it.
        """

        def write(connection: sa.Connection) -> frozenset[str]:
            self._claim(connection, key or fingerprint, holder)
            return self._of(connection, fingerprint)

        return await self._write(write)

    async def accept(
        self, fingerprint: str, tokens: Collection[str], *, holder: str = "", key: str = ""
    ) -> None:
        """Write durably that the recipients of *tokens* have their copy; may be repeated.

        Raises:
            LedgerBusyError: *holder* has lost its claim; nothing was written.
            LedgerError: The database did not do it.
        """

        def write(connection: sa.Connection) -> None:
            now = _now(connection)
            reach("ledger.accept")
            if holder:
                self._still_held(connection, key or fingerprint, holder, now)
            for token in sorted(tokens):  # one order for everybody: no deadlock
                values = {"fingerprint": fingerprint, "token": token, "accepted_at": now}
                insert_if_absent(connection, ledger_accepted, values)

        await self._write(write)

    async def release(
        self, fingerprint: str, holder: str, *, key: str = "", forget: bool = False
    ) -> None:
        """Give the claim back; with *forget* what was accepted is forgotten, too.

        Raises:
            LedgerError: The database did not do it; the claim ends by itself.
        """

        def write(connection: sa.Connection) -> None:
            reach("ledger.release")
            table = ledger_claims
            ours = (table.c.claim == (key or fingerprint), table.c.holder == holder)
            held = connection.execute(sa.delete(table).where(*ours)).rowcount
            if held and forget:
                all_of_it = ledger_accepted.c.fingerprint == fingerprint
                connection.execute(sa.delete(ledger_accepted).where(all_of_it))

        await self._write(write)

    def _of(self, connection: sa.Connection, fingerprint: str) -> frozenset[str]:
        query = _accepted_query(connection.dialect.name)
        return frozenset(connection.execute(query, self._asked(fingerprint)).scalars())

    def _asked(self, fingerprint: str) -> dict[str, Any]:
        return {"fingerprint": fingerprint, "kept": self._kept_seconds}

    async def release_all(self, holders: Collection[str]) -> None:
        """Give back every claim of *holders*, who ended.

        Raises:
            LedgerError: The database did not do it; the claims end by themselves.
        """
        theirs = sa.delete(ledger_claims).where(ledger_claims.c.holder.in_(sorted(holders)))
        await self._write(lambda connection: connection.execute(theirs))

    def _claim(self, connection: sa.Connection, key: str, holder: str) -> None:
        now = _now(connection)
        reach("ledger.claim")
        self._sweep(connection, now)
        table = ledger_claims
        values = {"holder": holder, "until": now + self._lease_seconds}
        statement = (
            insert_into(connection.dialect.name, table)
            .values(claim=key, **values)
            .on_conflict_do_update(
                index_elements=[table.c.claim],
                set_=values,
                where=sa.or_(table.c.until <= now, table.c.holder == holder),
            )
            .returning(table.c.holder)
        )
        if connection.execute(statement).scalar_one_or_none() is None:
            raise LedgerBusyError("the same message is being delivered by another transaction")

    def _still_held(self, connection: sa.Connection, key: str, holder: str, now: int) -> None:
        table = ledger_claims
        ours = (table.c.claim == key, table.c.holder == holder)
        statement = sa.update(table).where(*ours).values(until=now + self._lease_seconds)
        if not connection.execute(statement).rowcount:
            raise LedgerBusyError("another transaction has taken the message over")

    def _sweep(self, connection: sa.Connection, now: int) -> None:
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        old = ledger_accepted.c.accepted_at <= now - self._kept_seconds
        connection.execute(sa.delete(ledger_accepted).where(old))
        connection.execute(sa.delete(ledger_claims).where(ledger_claims.c.until <= now))
        self._swept_at = now

    async def _write(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return await self._database.write(work)
        except DatabaseError as error:
            raise LedgerError(str(error), server=error.server) from error


@cache
def _accepted_query(dialect: str) -> sa.Select[Any]:
    """Asked for every message, so it is put together once."""
    table = ledger_accepted
    return sa.select(table.c.token).where(
        table.c.fingerprint == sa.bindparam("fingerprint"),
        table.c.accepted_at > _clock(dialect) - sa.bindparam("kept", type_=sa.BigInteger),
    )


_ACCEPTED = Statement(_accepted_query)


def _clock(dialect: str) -> sa.ColumnElement[int]:
    """Seconds since 1970 by the database's clock, in the middle of a transaction too."""
    if dialect == "postgresql":
        return sa.cast(sa.func.date_part("epoch", sa.func.clock_timestamp()), sa.BigInteger)
    return sa.cast(sa.func.strftime("%s", "now"), sa.BigInteger)


def _now(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(_clock(connection.dialect.name))).scalar_one())
