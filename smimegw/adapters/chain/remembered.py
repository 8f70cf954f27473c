"""The configured directories first, and what mail taught only where they have nothing valid."""

from __future__ import annotations

from smimegw.addresses import Mailbox
from smimegw.ports import CertificateDirectory, Clock, FoundCertificate


class RememberedLast:
    """Implements `CertificateDirectory`: published before harvested (T-30).

    Args:
        published: The directories of the configuration.
        remembered: Asked when they have none, or only certificates that have ended.
        clock: Says whether they have ended.
    """

    def __init__(
        self, published: CertificateDirectory, remembered: CertificateDirectory, clock: Clock
    ) -> None:
        self._published = published
        self._remembered = remembered
        self._clock = clock

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self._published.name},{self._remembered.name}"

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Certificates of *mailbox*, never of both kinds.

        One that a directory has and that is not over keeps the others out whatever else is wrong
        with it: a revoked one must not be replaced by what its holder sends.

        Raises:
            DirectoryError: One that had to be asked could not answer.
        """
        published = await self._published.find(mailbox)
        now = self._clock.now()
        if any(entry.certificate.not_after >= now for entry in published):
            return published
        return await self._remembered.find(mailbox) or published

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Forget cached answers in both."""
        await self._published.flush(mailbox)
        await self._remembered.flush(mailbox)
