"""Puts a cache in front of a directory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from smimegw.adapters.chain.answers import DEFAULT_TIMES, Answer, AnswerCache, CacheTimes
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.ports import AuthorityDirectory, CertificateDirectory, FoundCertificate
from smimegw.sources import IssuerAnswer
from smimegw.x509.certificate import Certificate


class CachingDirectory:
    """Implements `CertificateDirectory`; every answer says how old it is and whether stale."""

    def __init__(
        self,
        directory: CertificateDirectory,
        times: CacheTimes = DEFAULT_TIMES,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._answers: AnswerCache[FoundCertificate] = AnswerCache(times, seconds=seconds)

    @property
    def name(self) -> str:
        """The name of the directory behind."""
        return self._directory.name

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return what the directory says, or said.

        Raises:
            DirectoryError: It could not answer, and no kept answer may stand in.
        """
        answer = await self._answers.answer(mailbox.key, lambda: self._directory.find(mailbox))
        if not (answer.stale or answer.age_seconds):
            return answer.values
        return tuple(
            dataclasses.replace(
                found,
                cached_seconds=found.cached_seconds + int(answer.age_seconds),
                stale=found.stale or answer.stale,
            )
            for found in answer.values
        )

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Ask again here and behind; found answers still stand in when that fails (R-06)."""
        self._answers.expire(mailbox.key if mailbox else None)
        await self._directory.flush(mailbox)


class CachingAuthorities:
    """Implements `AnsweringAuthorities`.

    CRLs are asked for again as often as absent entries: whoever was revoked a moment ago is on the
    next list, and an old list stays acceptable until its own nextUpdate.
    """

    def __init__(
        self,
        directory: AuthorityDirectory,
        times: CacheTimes = DEFAULT_TIMES,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        for_crls = dataclasses.replace(
            times, found_seconds=min(times.found_seconds, times.absent_seconds), entries=100
        )
        self._authorities: AnswerCache[Certificate] = AnswerCache(times, seconds=seconds)
        self._crls: AnswerCache[bytes] = AnswerCache(for_crls, seconds=seconds)

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """CA certificates with that subject.

        Raises:
            DirectoryError: The directory could not answer, and no kept answer may stand in.
        """
        return (await self._ask_authorities(subject_der)).values

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """DER CertificateLists with that issuer.

        Raises:
            DirectoryError: The directory could not answer, and no kept answer may stand in.
        """
        return (await self._ask_crls(issuer_der)).values

    async def ask(self, name_der: bytes) -> IssuerAnswer:
        """Both; a kept answer that stands in for a directory that is down says so."""
        authorities: tuple[Certificate, ...] = ()
        try:
            known = await self._ask_authorities(name_der)
            authorities = known.values
            lists = await self._ask_crls(name_der)
        except DirectoryError as exc:
            return IssuerAnswer(authorities=authorities, trouble=str(exc) or "no answer")
        stale = known.stale or lists.stale
        trouble = "a directory of CAs is down, what it said before is used" if stale else ""
        return IssuerAnswer(authorities=authorities, crls=lists.values, trouble=trouble)

    async def _ask_authorities(self, name_der: bytes) -> Answer[Certificate]:
        return await self._authorities.answer(
            name_der.hex(), lambda: self._directory.authorities(name_der)
        )

    async def _ask_crls(self, name_der: bytes) -> Answer[bytes]:
        return await self._crls.answer(name_der.hex(), lambda: self._directory.crls(name_der))

    async def flush(self) -> None:
        """Ask again for everything; what was found still stands in when that fails."""
        self._authorities.expire()
        self._crls.expire()
