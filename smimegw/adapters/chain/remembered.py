"""The configured directories first, and what mail taught only where they have nothing valid."""

from __future__ import annotations

from smimegw.addresses import Mailbox
from smimegw.ports import CertificateDirectory, Clock, FoundCertificate
from smimegw.sources import LookUp, look_up


class RememberedLast:
    """Implements `AnsweringDirectory`: published before harvested (T-30).

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
        return (await self.look_up(mailbox)).found_or_raise()

    async def look_up(self, mailbox: Mailbox) -> LookUp:
        """As `find`, with what each source said."""
        published = await look_up(self._published, mailbox)
        now = self._clock.now()
        valid = any(entry.certificate.not_after >= now for entry in published.found)
        if published.error is not None or valid:
            return published
        remembered = await look_up(self._remembered, mailbox)
        return LookUp(
            found=remembered.found or published.found,
            said=(*published.said, *remembered.said),
            error=remembered.error,
        )

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Forget cached answers in both."""
        await self._published.flush(mailbox)
        await self._remembered.flush(mailbox)
