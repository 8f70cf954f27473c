"""Statements of every message, put together once and run past SQLAlchemy.

Its own way through takes ten times as long as the database does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert


class Statement:
    """A statement with named parameters; *make* makes it for the name of a dialect."""

    def __init__(self, make: Callable[[str], sa.Select[Any] | ReturningInsert[Any]]) -> None:
        self._make = make
        self._compiled: dict[str, SQLCompiler] = {}

    def compiled(self, dialect: sa.Dialect) -> SQLCompiler:
        """Its text and parameters."""
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self._make(dialect.name).compile(dialect=dialect)
            assert isinstance(compiled, SQLCompiler)  # what all of these are compiled to
            found = self._compiled[dialect.name] = compiled
        return found


class Running:
    """Runs statements on one connection; made by `reading` and `changing`."""

    def __init__(self, dialect: sa.Dialect, cursor: Any) -> None:
        self._dialect = dialect
        self._cursor = cursor

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> list[Any]:
        """What it gives with *values*, as tuples.

        Raises:
            Exception: What the driver raises; `engine.failures` knows it.
        """
        compiled = statement.compiled(self._dialect)
        bound = {**compiled.params, **values}
        names = compiled.positiontup
        self._cursor.execute(
            compiled.string, bound if names is None else [bound[name] for name in names]
        )
        return list(self._cursor.fetchall())


@contextmanager
def reading(engine: sa.Engine) -> Iterator[Running]:
    """Ask; each statement sees what is committed when it begins."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        yield Running(engine.dialect, cursor)


@contextmanager
def changing(engine: sa.Engine) -> Iterator[Running]:
    """One writing transaction; committed when the block ends well."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        if engine.dialect.name == "sqlite":  # as `engine` begins; PostgreSQL's driver does itself
            cursor.execute("BEGIN IMMEDIATE")
        yield Running(engine.dialect, cursor)
        connection.commit()
