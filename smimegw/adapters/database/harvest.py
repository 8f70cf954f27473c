"""Certificates learned from mail as a directory: those that may be used, and no others."""

from __future__ import annotations

from collections.abc import Collection

from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.addresses import Mailbox
from smimegw.errors import DatabaseError, DirectoryError
from smimegw.memory import CandidateState
from smimegw.ports import FoundCertificate


class HarvestDirectory:
    """Implements `CertificateDirectory`.

    Args:
        correspondents: Where candidates are kept.
        used: Candidates of which states are active, that is, may be encrypted to.
    """

    def __init__(
        self, correspondents: DatabaseCorrespondents, *, used: Collection[CandidateState]
    ) -> None:
        self._correspondents = correspondents
        self._used = frozenset(used)

    @property
    def name(self) -> str:
        """For logs."""
        return "harvest:mail"

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """The usable certificates learned for *mailbox*, unvalidated.

        Raises:
            DirectoryError: The database could not answer.
        """
        try:
            learned = await self._correspondents.candidates(mailbox)
        except DatabaseError as error:
            raise DirectoryError(str(error), server=error.server) from error
        return tuple(
            FoundCertificate(certificate=entry.certificate, source=self.name, owner=mailbox.key)
            for entry in learned
            if entry.state in self._used
        )

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Nothing is cached here."""
