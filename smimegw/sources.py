"""What several sources say about one mailbox or one issuer, and who serves a domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.ports import AuthorityDirectory, CertificateDirectory, FoundCertificate
from smimegw.x509.certificate import Certificate


class Said(StrEnum):
    """What a source said when it was asked for certificates."""

    FOUND = "found"
    NONE = "none"
    FAILED = "failed"  # it could not answer, which is not "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAnswer:
    """What one source said about a mailbox.

    Attributes:
        source: ``kind:name``.
        said: In one word.
        count: How many certificates.
        age_seconds: Of a kept answer; 0 when fresh.
        text: Why it failed, or what is special about the answer.
    """

    source: str
    said: Said
    count: int = 0
    age_seconds: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """What came of looking a mailbox up in several sources.

    Attributes:
        found: The certificates that count, unvalidated.
        said: What those that were asked said, in that order.
        error: Why the whole is unknown; None when it is known.
    """

    found: tuple[FoundCertificate, ...] = ()
    said: tuple[SourceAnswer, ...] = ()
    error: DirectoryError | None = None

    def found_or_raise(self) -> tuple[FoundCertificate, ...]:
        """The certificates.

        Raises:
            DirectoryError: The whole is unknown.
        """
        if self.error is not None:
            raise self.error
        return self.found


class AnsweringDirectory(CertificateDirectory, Protocol):
    """A `CertificateDirectory` of several sources that tells what each of them said."""

    async def look_up(self, mailbox: Mailbox) -> LookUp:
        """As `find`, but a failure is told in the result."""
        ...


async def look_up(directory: CertificateDirectory, mailbox: Mailbox) -> LookUp:
    """Ask *directory*, and say what each of its sources said; never raises `DirectoryError`."""
    answering: Callable[[Mailbox], Awaitable[LookUp]] | None = getattr(directory, "look_up", None)
    if answering is not None:
        return await answering(mailbox)
    try:
        found = await directory.find(mailbox)
    except DirectoryError as exc:
        failed = SourceAnswer(source=directory.name, said=Said.FAILED, text=str(exc))
        return LookUp(said=(failed,), error=exc)
    answer = SourceAnswer(
        source=directory.name,
        said=Said.FOUND if found else Said.NONE,
        count=len(found),
        age_seconds=max((entry.cached_seconds for entry in found), default=0),
        text="kept answer, the directory is down" if any(e.stale for e in found) else "",
    )
    return LookUp(found=found, said=(answer,))


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAnswer:
    """What is known of one issuer.

    Attributes:
        authorities: CA certificates with its name, unvalidated.
        crls: Lists with its name, unverified.
        trouble: Why there may be more of both; empty when every source has answered just now.
    """

    authorities: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    trouble: str = ""


class AnsweringAuthorities(AuthorityDirectory, Protocol):
    """An `AuthorityDirectory` that tells what it has even when that may not be all."""

    async def ask(self, name_der: bytes) -> IssuerAnswer:
        """As `authorities` and `crls`, but a failure is told in the result."""
        ...


async def ask_issuer(directory: AuthorityDirectory, name_der: bytes) -> IssuerAnswer:
    """Ask *directory* for all it has of an issuer; never raises `DirectoryError`."""
    asking: Callable[[bytes], Awaitable[IssuerAnswer]] | None = getattr(directory, "ask", None)
    if asking is not None:
        return await asking(name_der)
    authorities: tuple[Certificate, ...] = ()
    try:
        authorities = await directory.authorities(name_der)
        crls = await directory.crls(name_der)
    except DirectoryError as exc:
        return IssuerAnswer(authorities=authorities, trouble=str(exc) or "no answer")
    return IssuerAnswer(authorities=authorities, crls=crls)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHost:
    """One server of a service: host name, lower case without a final dot, and TCP port."""

    name: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The servers that a domain names for a service.

    Attributes:
        hosts: In the order to try them; () when the domain names none.
        is_validated: DNSSEC vouches for that.
        seconds: How long it may be kept.
    """

    hosts: tuple[ServiceHost, ...]
    is_validated: bool
    seconds: int


class ServiceLookup(Protocol):
    """Finds the servers of a service (RFC 2782)."""

    async def find(self, service: str, domain: str, *, seconds: float) -> Services:
        """Servers of *service*, such as ``_ldap._tcp``, in *domain*.

        Raises:
            DirectoryError: It cannot be told now.
        """
        ...
