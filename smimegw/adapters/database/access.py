"""The gateway's own database: opened once per process, asked in threads, never waited for long."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from smimegw.adapters.database.engine import failures, open_database, writing
from smimegw.adapters.database.prepared import Running, Statement, changing, reading
from smimegw.adapters.threads import Threads
from smimegw.errors import ConfigurationError, DatabaseError, DirectoryError

T = TypeVar("T")

_THREADS = 4


class Database:
    """One engine, shared by everything in this process that keeps something.

    It is opened when first needed, so that a command that needs nothing of it makes no file, and
    opened again later when that failed.

    Args:
        location: Path of an SQLite file or ``postgresql://user@host/name``.
        password: Reads the password for PostgreSQL.
        deadline_seconds: For one question or change.
    """

    def __init__(
        self,
        location: str,
        *,
        password: Callable[[], str] | None = None,
        deadline_seconds: float = 2.0,
    ) -> None:
        self._location = location
        self._password = password
        self._deadline_seconds = deadline_seconds
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()
        self._threads = Threads(_THREADS, "memory")
        self.trouble = ""
        """Why the last use failed; empty when it did not (for /ready)."""

    def open(self) -> sa.Engine:
        """The engine; opened, and its tables brought up to date, the first time.

        Raises:
            DirectoryError: Not reachable, damaged, or written by a newer release.
            ConfigurationError: The password cannot be read.
        """
        with self._opening:
            if self._engine is None:
                password = self._password() if self._password else ""
                self._engine = open_database(self._location, password=password)
            return self._engine

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work* with a connection for reading.

        Raises:
            DatabaseError: No answer, or not in time.
        """
        return await self._in_thread(lambda: self._reading(work))

    async def ask(self, question: Statement, values: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The rows of *question* for each of *values*.

        Raises:
            DatabaseError: No answer, or not in time.
        """
        return await self._in_thread(lambda: self._asking(question, values))

    async def change(self, work: Callable[[Running], T]) -> T:
        """As `write`, for statements that are put together already.

        Raises:
            DatabaseError: Not done, or not in time; whether it was done then is not known.
        """
        return await self._in_thread(lambda: self._changing(work))

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work* in a writing transaction, committed when it ends well.

        Raises:
            DatabaseError: Not done, or not in time; whether it was done then is not known.
        """
        return await self._in_thread(lambda: self._writing(work))

    async def probe(self) -> str:
        """Ask for nothing and return the trouble met; empty when there is none."""
        with contextlib.suppress(DatabaseError):
            await self.read(lambda connection: connection.execute(sa.select(sa.literal(1))).all())
        return self.trouble

    async def close(self) -> None:
        """End the threads, waiting a moment for those at work, and close the connections."""
        self._threads.end()
        with contextlib.suppress(TimeoutError):
            ending = asyncio.to_thread(self._threads.join)
            async with asyncio.timeout(self._deadline_seconds):
                await ending
        if self._engine is not None:
            self._engine.dispose()

    def _reading(self, work: Callable[[sa.Connection], T]) -> T:
        engine = self._opened()
        with failures(engine, DatabaseError), engine.connect() as connection:
            return work(connection)

    def _asking(self, question: Statement, values: Sequence[Mapping[str, Any]]) -> list[Any]:
        engine = self._opened()
        with failures(engine, DatabaseError), reading(engine) as running:
            return [row for asked in values for row in running.rows(question, asked)]

    def _changing(self, work: Callable[[Running], T]) -> T:
        engine = self._opened()
        with failures(engine, DatabaseError), changing(engine) as running:
            return work(running)

    def _writing(self, work: Callable[[sa.Connection], T]) -> T:
        with writing(self._opened(), DatabaseError) as connection:
            return work(connection)

    def _opened(self) -> sa.Engine:
        try:
            return self.open()
        except (DirectoryError, ConfigurationError) as error:
            raise DatabaseError(str(error)) from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            result = await self._threads.run_within(self._deadline_seconds, work)
        except TimeoutError:
            self.trouble = (
                f"database {self._location} did not answer within {self._deadline_seconds:g} s; "
                "look at its load and its log"
            )
            raise DatabaseError(self.trouble, server=self._location) from None
        except DatabaseError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        return result
