"""Opens the database – SQLite by default, PostgreSQL for several nodes – ready to be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.sql.dml import ReturningInsert

from smimegw.adapters.database.migrate import migrate
from smimegw.errors import DependencyError, DirectoryError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_BUSY_MILLISECONDS = 1500  # a writer waits so long for another one; readers never wait (WAL)
_CONNECT_SECONDS = 2


def open_database(location: str | Path, *, password: str = "") -> sa.Engine:
    """Open *location* and bring its tables up to date.

    Args:
        location: Path of an SQLite file (made when missing) or ``postgresql://user@host/name``.
        password: For PostgreSQL, when it wants one.

    Raises:
        DirectoryError: Not reachable, damaged, or written by a newer release.
    """
    engine = _make_engine(location, password)
    try:
        with failures(engine):
            migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def failures(engine: sa.Engine, family: type[DependencyError] = DirectoryError) -> Iterator[None]:
    """Turn the library's exceptions into *family*."""
    try:
        yield
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        server = describe(engine)
        reason = _reason(error)
        advice = _advice(engine, reason)
        raise family(f"database {server}: {reason}; {advice}", server=server) from error


def describe(engine: sa.Engine) -> str:
    """Where the database is, without password."""
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return engine.url.render_as_string(hide_password=True)


def _make_engine(location: str | Path, password: str) -> sa.Engine:
    text = str(location)
    if "://" not in text:
        return _sqlite(sa.URL.create("sqlite", database=text))
    try:
        url = sa.make_url(text)
    except ArgumentError as error:
        raise DirectoryError("the database URL cannot be read", retryable=False) from error
    if url.drivername == "sqlite":
        return _sqlite(url)
    if url.get_backend_name() == "postgresql":
        # A host that drops packets must not hold a thread for minutes.
        options = {
            "connect_timeout": _CONNECT_SECONDS,
            "options": "-c statement_timeout=5000",
            "tcp_user_timeout": 5000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg", password=password or url.password),
            connect_args=options,
            pool_pre_ping=True,
            hide_parameters=True,
        )
    text = f"databases of kind {url.drivername!r} are not supported; use a file or postgresql://"
    raise DirectoryError(text, retryable=False)


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver would commit before table changes by itself; we begin and end every
        # transaction, so that a migration is whole or not there at all.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A reader that becomes a writer could find the database changed under it and fail; a
        # writer says so at once and waits its turn.
        writing = connection.get_execution_options().get("writing", False)
        # Past SQLAlchemy, whose own way to say it takes longer than most questions.
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def writing(
    engine: sa.Engine, family: type[DependencyError] = DirectoryError
) -> Iterator[sa.Connection]:
    """One writing transaction; committed when the block ends well.

    Raises:
        DirectoryError: Or what *family* says: the database did not do it; nothing was written.
    """
    with failures(engine, family), engine.connect() as connection:
        connection.execution_options(writing=True)
        with connection.begin():
            yield connection


def insert_if_absent(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with its key, in one step; True when it was inserted."""
    statement = row_if_absent(connection.dialect.name, table)
    return connection.execute(statement, values).first() is not None


@cache
def row_if_absent(dialect: str, table: sa.Table) -> ReturningInsert[Any]:
    """INSERT that does nothing where there is a row with that key, and tells which it was."""
    # The drivers do not agree on what rowcount is here.
    first = next(iter(table.primary_key))
    return insert_into(dialect, table).on_conflict_do_nothing().returning(first)


def insert_into(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT with ON CONFLICT, which both databases write the same way."""
    if dialect != "postgresql":
        return sqlite.insert(table)
    # Takes 80 ms and 2 MB, and most have no such server.
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None) or error
    lines = str(original).strip().splitlines() or [type(original).__name__]
    return lines[0]


def _advice(engine: sa.Engine, reason: str) -> str:
    if "locked" in reason:
        return "another program writes to it; try again"
    if "malformed" in reason or "not a database" in reason:
        return "the file is damaged; restore it from a backup"
    if "unable to open" in reason or "readonly" in reason:
        return "check that the directory exists and its owner, mode and free space"
    if engine.dialect.name == "postgresql":
        return "is the server running and reachable, are user and password right?"
    return "check the file's owner, mode and free space"
