"""Several directories that act as one, asked in the order of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.ports import AuthorityDirectory, CertificateDirectory, FoundCertificate
from smimegw.x509.certificate import Certificate

T = TypeVar("T")


class ChainDirectory:
    """Implements `CertificateDirectory`: the first directory that has any certificate decides.

    One that cannot answer ends the search with its error, even when a later one could answer: the
    order is the administrator's word on whom to believe, and "unknown" is never "none".
    """

    def __init__(self, directories: Sequence[CertificateDirectory]) -> None:
        self._directories = tuple(directories)

    @property
    def name(self) -> str:
        """``chain:`` and the names in order."""
        return "chain:" + ",".join(directory.name for directory in self._directories)

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return the certificates of the first directory that has any.

        Raises:
            DirectoryError: One could not answer before any had certificates.
        """
        for directory in self._directories:
            found = await directory.find(mailbox)
            if found:
                return found
        return ()

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Forget cached answers in all of them."""
        for directory in self._directories:
            await directory.flush(mailbox)


class ChainAuthorities:
    """Implements `AuthorityDirectory`: what all directories together have.

    More CA certificates and lists can only complete a path; each is verified before it is used.
    """

    def __init__(self, directories: Sequence[AuthorityDirectory]) -> None:
        self._directories = tuple(directories)

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """CA certificates with that subject, from all.

        Raises:
            DirectoryError: None has any and at least one could not answer.
        """
        return _together(
            await asyncio.gather(
                *(directory.authorities(subject_der) for directory in self._directories),
                return_exceptions=True,
            )
        )

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """DER CertificateLists with that issuer, from all.

        Raises:
            DirectoryError: None has any and at least one could not answer.
        """
        return _together(
            await asyncio.gather(
                *(directory.crls(issuer_der) for directory in self._directories),
                return_exceptions=True,
            )
        )


def _together(answers: Sequence[tuple[T, ...] | BaseException]) -> tuple[T, ...]:
    found: dict[T, None] = {}
    failure: DirectoryError | None = None
    for answer in answers:
        if isinstance(answer, DirectoryError):
            failure = failure or answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found.update(dict.fromkeys(answer))
    if failure and not found:
        raise failure
    return tuple(found)
