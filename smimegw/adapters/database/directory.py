"""The embedded directory: certificates, CA certificates and CRLs in our own database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from smimegw.adapters.database.engine import describe, failures
from smimegw.adapters.database.publisher import digest
from smimegw.adapters.database.schema import ACTIVE, IMPORTED, authorities, certificates, crls
from smimegw.adapters.threads import Threads
from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError, DirectoryError
from smimegw.ports import FoundCertificate
from smimegw.x509.certificate import Certificate

_THREADS = 4


class EmbeddedDirectory:
    """Implements `CertificateDirectory` and `AuthorityDirectory`.

    Args:
        engine: From `engine.open_database`.
        name: As in the configuration; appears in logs as ``embedded:name``.
        deadline_seconds: For one question.
    """

    def __init__(
        self, engine: sa.Engine, *, name: str = "local", deadline_seconds: float = 2.0
    ) -> None:
        self._engine = engine
        self._name = name
        self._deadline_seconds = deadline_seconds
        self._threads = Threads(_THREADS, "database")
        self.skipped_values = 0
        """How many stored values did not parse since the start."""

    @property
    def name(self) -> str:
        """``embedded:name``."""
        return f"embedded:{self._name}"

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return every certificate published for *mailbox*, unvalidated.

        Raises:
            DirectoryError: The database could not answer.
        """
        query = (
            sa.select(certificates.c.der, certificates.c.owner)
            .where(certificates.c.mailbox == mailbox.key, certificates.c.state == ACTIVE)
            .order_by(certificates.c.id)
        )
        rows = await self._ask(query)
        return tuple(
            FoundCertificate(certificate=certificate, source=self._source(row), owner=row.owner)
            for row in rows
            for certificate in self._parse(row.der)
        )

    def _source(self, row: sa.Row[Any]) -> str:
        return f"imported:{self._name}" if row.owner == IMPORTED else self.name

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Nothing is cached here."""

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """CA certificates with exactly that subject, unvalidated.

        Raises:
            DirectoryError: The database could not answer.
        """
        query = sa.select(authorities.c.der).where(
            authorities.c.subject_digest == digest(subject_der)
        )
        found = [item for row in await self._ask(query) for item in self._parse(row.der)]
        return tuple(item for item in found if item.subject_der == subject_der)

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """The newest CertificateList with exactly that issuer, unverified.

        Raises:
            DirectoryError: The database could not answer.
        """
        query = sa.select(crls.c.der, crls.c.issuer).where(
            crls.c.issuer_digest == digest(issuer_der)
        )
        return tuple(
            bytes(row.der) for row in await self._ask(query) if bytes(row.issuer) == issuer_der
        )

    async def close(self) -> None:
        """End the threads, waiting a moment for those at work, and close the connections."""
        self._threads.end()
        with contextlib.suppress(TimeoutError):
            ending = asyncio.to_thread(self._threads.join)
            async with asyncio.timeout(self._deadline_seconds):
                await ending
        self._engine.dispose()

    async def _ask(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        return await self._in_thread(lambda: self._rows(query))

    def _rows(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        with failures(self._engine), self._engine.connect() as connection:
            return list(connection.execute(query))

    async def _in_thread(self, work: Callable[[], list[sa.Row[Any]]]) -> list[sa.Row[Any]]:
        try:
            return await self._threads.run_within(self._deadline_seconds, work)
        except TimeoutError:
            server = describe(self._engine)
            text = f"database {server} did not answer within {self._deadline_seconds:g} s"
            raise DirectoryError(text, server=server) from None

    def _parse(self, octets: bytes) -> tuple[Certificate, ...]:
        try:
            return (Certificate.parse(bytes(octets)),)
        except CertificateError:
            self.skipped_values += 1
            return ()
