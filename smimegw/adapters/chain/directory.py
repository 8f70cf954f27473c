"""Several directories that act as one, asked in the order of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from smimegw.addresses import Mailbox
from smimegw.config.hosts import DomainRule
from smimegw.errors import DirectoryError
from smimegw.ports import AuthorityDirectory, CertificateDirectory, FoundCertificate
from smimegw.sources import IssuerAnswer, LookUp, SourceAnswer, ask_issuer, look_up
from smimegw.x509.certificate import Certificate

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One directory of a chain.

    Attributes:
        directory: Who is asked.
        domains: About recipients of which domains; empty is all.
        may_be_skipped: When it cannot answer, the next are asked all the same.
    """

    directory: CertificateDirectory
    domains: tuple[DomainRule, ...] = ()
    may_be_skipped: bool = False

    def covers(self, mailbox: Mailbox) -> bool:
        """Whether it is asked about *mailbox*."""
        return not self.domains or any(rule.matches(mailbox.domain) for rule in self.domains)


class ChainDirectory:
    """Implements `AnsweringDirectory`: the first directory that has any certificate decides.

    One that cannot answer ends the search with its error, even when a later one could answer: the
    order is the administrator's word on whom to believe, and "unknown" is never "none".  One that
    may be skipped gives only the first of the two up: when nobody behind it has a certificate, its
    error is the answer.
    """

    def __init__(self, directories: Sequence[CertificateDirectory | Source]) -> None:
        self._sources = tuple(
            entry if isinstance(entry, Source) else Source(directory=entry) for entry in directories
        )

    @property
    def name(self) -> str:
        """``chain:`` and the names in order."""
        return "chain:" + ",".join(source.directory.name for source in self._sources)

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return the certificates of the first directory that has any.

        Raises:
            DirectoryError: One could not answer before any had certificates.
        """
        return (await self.look_up(mailbox)).found_or_raise()

    async def look_up(self, mailbox: Mailbox) -> LookUp:
        """As `find`, with what each directory said; those that were not asked are not named."""
        said: list[SourceAnswer] = []
        error: DirectoryError | None = None
        for source in self._sources:
            if not source.covers(mailbox):
                continue
            answer = await look_up(source.directory, mailbox)
            said.extend(answer.said)
            if answer.found:
                return LookUp(found=answer.found, said=tuple(said))
            error = error or answer.error
            if answer.error is not None and not source.may_be_skipped:
                break
        return LookUp(said=tuple(said), error=error)

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Forget cached answers in all of them."""
        for source in self._sources:
            await source.directory.flush(mailbox)


class ChainAuthorities:
    """Implements `AnsweringAuthorities`: what all directories together have.

    More CA certificates and lists can only complete a path; each is verified before it is used.
    What is missing may be with the one that does not answer, so its trouble is told even when
    others have something: then "no path" is not the last word (R-05, not R-08).
    """

    def __init__(self, directories: Sequence[AuthorityDirectory]) -> None:
        self._directories = tuple(directories)

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """CA certificates with that subject, from all.

        Raises:
            DirectoryError: None has any and at least one could not answer.
        """
        answer = await self.ask(subject_der)
        return _found_or_raise(answer.authorities, answer.trouble)

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """DER CertificateLists with that issuer, from all.

        Raises:
            DirectoryError: None has any and at least one could not answer.
        """
        answer = await self.ask(issuer_der)
        return _found_or_raise(answer.crls, answer.trouble)

    async def ask(self, name_der: bytes) -> IssuerAnswer:
        """Both from all, and the troubles of those that could not answer."""
        if len(self._directories) == 1:  # a task of its own costs more than a kept answer
            return await ask_issuer(self._directories[0], name_der)
        answers = await asyncio.gather(*(ask_issuer(one, name_der) for one in self._directories))
        return IssuerAnswer(
            authorities=tuple(dict.fromkeys(c for a in answers for c in a.authorities)),
            crls=tuple(dict.fromkeys(crl for answer in answers for crl in answer.crls)),
            trouble="; ".join(dict.fromkeys(a.trouble for a in answers if a.trouble)),
        )


def _found_or_raise(found: tuple[T, ...], trouble: str) -> tuple[T, ...]:
    if trouble and not found:
        raise DirectoryError(trouble)
    return found
