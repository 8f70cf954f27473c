"""Makes the directories of the configuration: who is asked for certificates, in which order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from smimegw.adapters.chain.answers import CacheTimes
from smimegw.adapters.chain.cache import CachingAuthorities, CachingDirectory
from smimegw.adapters.chain.directory import ChainAuthorities, ChainDirectory, Source
from smimegw.adapters.chain.flushing import FlushedAuthorities, FlushedDirectory, FlushNotes
from smimegw.adapters.chain.remembered import RememberedLast
from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.adapters.database.directory import EmbeddedDirectory
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.harvest import HarvestDirectory
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.found import FoundLDAPDirectory
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.addresses import Mailbox
from smimegw.config import directories as config
from smimegw.config.choices import Harvest
from smimegw.config.model import Configuration
from smimegw.errors import ConfigurationError, DirectoryError, Problem
from smimegw.memory import CandidateState
from smimegw.ports import AuthorityDirectory, CertificateDirectory, Clock, Events

if TYPE_CHECKING:
    from smimegw.adapters.dns.resolver import ValidatingResolver
    from smimegw.adapters.dns.smimea import SMIMEADirectory

    AnyDirectory = LDAPDirectory | FoundLDAPDirectory | SMIMEADirectory | EmbeddedDirectory

Ignored = Callable[[Mailbox, str], None]

ACTIVE_STATES = {
    Harvest.OFF: frozenset[CandidateState](),
    Harvest.CANDIDATES: frozenset({CandidateState.ACCEPTED}),
    Harvest.SAME_CA: frozenset({CandidateState.ACCEPTED, CandidateState.SUCCESSOR}),
    Harvest.VERIFIED: frozenset(
        {CandidateState.ACCEPTED, CandidateState.SUCCESSOR, CandidateState.VERIFIED}
    ),
}
"""Which certificates that came with mail are encrypted to, by the configuration."""

# One message asks the database half a dozen times; what the CA publishes counts within seconds.
_EMBEDDED_TIMES = CacheTimes(found_seconds=5.0, absent_seconds=2.0)


def open_directories(
    configuration: Configuration,
    database: Database,
    events: Events,
    closing: contextlib.AsyncExitStack,
) -> tuple[CertificateDirectory, AuthorityDirectory]:
    """All of them, cached and in order; *closing* gets what has to be closed.

    Raises:
        ConfigurationError: An embedded one cannot be opened.
        DirectoryError: The gateway's own database cannot be opened.
    """
    people: list[Source] = []
    issuers: list[CachingAuthorities] = []
    for entry in configuration.directories:
        directory = open_directory(entry, configuration, database, events)
        closing.push_async_callback(directory.close)
        times = _cache_times(entry)
        people.append(_source(entry, CachingDirectory(directory, times)))
        if isinstance(directory, LDAPDirectory | EmbeddedDirectory) and _knows_authorities(entry):
            issuers.append(CachingAuthorities(directory, times))
    authorities = FlushedAuthorities(ChainAuthorities(issuers), [each.flush for each in issuers])
    flushed = FlushedDirectory(
        ChainDirectory(people),
        flush_notes(configuration),
        authorities=authorities,
        told=_flushed(events),
    )
    return flushed, authorities


def flush_notes(configuration: Configuration) -> FlushNotes:
    """Where `smimegw directory flush` tells the processes of this gateway."""
    return FlushNotes(configuration.gateway.state_directory / "flushes.jsonl")


def _flushed(events: Events) -> Callable[[Mailbox | None], None]:
    def told(mailbox: Mailbox | None) -> None:
        events.emit("directory.flushed", rcpt=mailbox.address if mailbox else "")

    return told


def _source(entry: config.Directory, directory: CertificateDirectory) -> Source:
    if isinstance(entry, config.EmbeddedDirectory):
        return Source(directory=directory)
    return Source(directory=directory, domains=entry.domains, may_be_skipped=entry.may_be_skipped)


def _knows_authorities(entry: config.Directory) -> bool:
    # Somebody else's directory is not told of every CA that we meet, nor waited for.
    return not (
        isinstance(entry, config.LDAPDirectory) and entry.domains and not entry.authority_base
    )


def _cache_times(entry: config.Directory) -> CacheTimes:
    if isinstance(entry, config.EmbeddedDirectory):
        return _EMBEDDED_TIMES
    return CacheTimes(
        found_seconds=entry.cache.found.total_seconds(),
        absent_seconds=entry.cache.absent.total_seconds(),
        stale_seconds=entry.cache.stale.total_seconds(),
    )


def with_harvest(
    published: CertificateDirectory,
    correspondents: DatabaseCorrespondents,
    configuration: Configuration,
    clock: Clock,
) -> CertificateDirectory:
    """The directories and, behind them, what mail taught as far as that may be used."""
    harvest = configuration.memory.harvest
    if harvest is Harvest.OFF:
        return published
    learned = HarvestDirectory(correspondents, used=ACTIVE_STATES[harvest])
    return RememberedLast(published, learned, clock)


def open_directory(
    entry: config.Directory,
    configuration: Configuration,
    database: Database,
    events: Events | None = None,
) -> AnyDirectory:
    """One directory as configured, without a cache; connections are made when first needed.

    Raises:
        ConfigurationError: An embedded one cannot be opened.
        DirectoryError: The gateway's own database cannot be opened.
    """
    match entry:
        case config.EmbeddedDirectory():
            return _embedded(entry, configuration, database)
        case config.SMIMEADirectory():
            from smimegw.adapters.dns.smimea import SMIMEADirectory  # noqa: PLC0415 – see below

            return SMIMEADirectory(
                open_resolver(configuration),
                name=entry.name,
                deadline_seconds=entry.deadline.total_seconds(),
                ignored=_ignored(f"smimea:{entry.name}", events),
            )
        case config.FoundLDAPDirectory():
            from smimegw.adapters.dns.services import DNSServices  # noqa: PLC0415 – see below

            return FoundLDAPDirectory(
                ldap_settings(entry),
                DNSServices(open_resolver(configuration)),
                private=entry.private_hosts,
                limits=configuration.limits,
            )
        case config.LDAPDirectory():
            return LDAPDirectory(ldap_settings(entry), limits=configuration.limits)


def _ignored(source: str, events: Events | None) -> Ignored:
    def told(mailbox: Mailbox, text: str) -> None:
        if events is not None:
            events.emit("directory.ignored", source=source, rcpt=mailbox.address, text=text)

    return told


def _embedded(
    entry: config.EmbeddedDirectory, configuration: Configuration, database: Database
) -> EmbeddedDirectory:
    location = str(entry.path or configuration.database_location)
    shared = location == configuration.database_location
    try:
        engine = database.open() if shared else open_database(location)
    except DirectoryError as exc:
        problem = Problem(file=location, line=None, key="directory", message=str(exc))
        raise ConfigurationError((problem,)) from exc
    return EmbeddedDirectory(engine, name=entry.name)


def open_resolver(configuration: Configuration) -> ValidatingResolver:
    """Who is asked about DNS; connections are made when needed."""
    # Only gateways that ask wait for this library at their start.
    from smimegw.adapters.dns.resolver import ValidatingResolver  # noqa: PLC0415

    dns = configuration.dns
    place = dns.resolver
    return ValidatingResolver(place.host, place.port, tls_name=dns.tls_name, ca=dns.ca)


def ldap_settings(entry: config.LDAPDirectory | config.FoundLDAPDirectory) -> LDAPSettings:
    """One LDAP directory in the adapter's words.

    Raises:
        ConfigurationError: A URL is wrong.
    """
    attributes = tuple(name.removesuffix(";binary") for name in entry.attributes)
    seconds = entry.deadline.total_seconds()
    if isinstance(entry, config.FoundLDAPDirectory):
        return LDAPSettings(
            name=entry.name,
            servers=(),
            base=entry.base,
            filter=entry.filter,
            attributes=attributes,
            ca=entry.ca,
            deadline_seconds=seconds,
        )
    return LDAPSettings(
        name=entry.name,
        servers=parse_servers(entry.url, start_tls=entry.start_tls, origin=entry.name),
        base=entry.base,
        filter=entry.filter,
        attributes=attributes,
        bind_dn=entry.bind.dn if entry.bind else "",
        password=entry.bind.password.read_text if entry.bind else None,
        ca=entry.ca,
        deadline_seconds=seconds,
        authority_base=entry.authority_base,
        absence=entry.absence,
    )
