"""Joins configuration, adapters, pipeline and listeners: the one file that knows all of them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from smimegw import keystores, sessions
from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.adapters.database.ledger import DatabaseLedger
from smimegw.adapters.database.sightings import DatabaseSightings
from smimegw.adapters.files.settings import read_settings
from smimegw.adapters.host.watch import HostWatch
from smimegw.adapters.http.client import HTTPClient
from smimegw.adapters.http.destination import Gatekeeper
from smimegw.adapters.http.revocation import HTTPRevocation
from smimegw.adapters.journal.file import FileJournal
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.logs.metrics import Metrics
from smimegw.adapters.logs.privacy import AddressMask, address_key
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.adapters.logs.two_places import TwoPlaces
from smimegw.adapters.pool.worker import ThreadWorkers
from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.adapters.spool.file import FileStore
from smimegw.config.choices import LogAddresses, RecordsRequired
from smimegw.config.model import Configuration
from smimegw.directories import open_directories, with_harvest
from smimegw.enrolling import open_enrolment
from smimegw.outside import NoRevocationSource, RevocationSource
from smimegw.pipeline.settings import Settings
from smimegw.ports import Clock, Ports

listener_settings = sessions.listener_settings


class SystemClock:
    """The operating system's time."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)


@dataclass(kw_only=True)
class Assembled:
    """All adapters of one process, open.

    Attributes:
        configuration: What they were made from.
        ports: For the pipeline.
        settings: For the pipeline.
        keystore: For readiness.
        metrics: For the status port.
        events: For whoever logs outside the pipeline.
        database: For readiness.
        journal: To be recovered before mail is taken.
        decisions: Where this process writes its decision records.
    """

    configuration: Configuration
    ports: Ports
    settings: Settings
    keystore: keystores.GatewayKeystore
    metrics: Metrics
    events: LoggedEvents
    database: Database
    journal: FileJournal
    decisions: Path
    _closing: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def close(self) -> None:
        """Close connections, threads and files."""
        await self._closing.aclose()


def assemble(
    configuration: Configuration, *, events: LoggedEvents | None = None, worker: int = 0
) -> Assembled:
    """Open every adapter that *configuration* names; connections are made when first needed.

    Args:
        configuration: What to run.
        events: Where to log; default is as sessions.
        worker: Number of this worker process; the second and later have files of their own.

    Raises:
        ConfigurationError: Files that cannot be used.
        DirectoryError: The embedded database cannot be opened.
    """
    metrics = Metrics()
    closing = contextlib.AsyncExitStack()
    events = events or logged_events(configuration, metrics)
    database = own_database(configuration)
    closing.push_async_callback(database.close)
    clock: Clock = SystemClock()
    correspondents = DatabaseCorrespondents(database, limits=configuration.limits)
    published, authorities = open_directories(configuration, database, events, closing)
    directory = with_harvest(published, correspondents, configuration, clock)
    keystore = keystores.gateway_keystore(configuration, events)
    if isinstance(keystore, AgentKeystore):
        closing.push_async_callback(keystore.close)
    relay = SMTPRelay(
        {name: sessions.next_hop_settings(hop) for name, hop in configuration.next_hop.items()},
        hostname=str(configuration.gateway.hostname),
        limits=configuration.limits,
    )
    closing.push_async_callback(relay.aclose)
    workers = ThreadWorkers(configuration.gateway.worker_threads)
    closing.push_async_callback(workers.close)
    decisions = own_file(configuration, "decisions", worker)
    metrics.shadow(configuration.gateway.shadow)
    records = _records(configuration, decisions, events)
    closing.callback(records.close)
    journal = FileJournal(own_file(configuration, "dots", worker))
    closing.push_async_callback(journal.close)
    state = configuration.gateway.state_directory
    spool = configuration.gateway.spool or state
    ports = Ports(
        directory=directory,
        authorities=authorities,
        keystore=keystore,
        relay=relay,
        workers=workers,
        events=events,
        records=records,
        clock=clock,
        revocation=_revocation(configuration, events, clock, closing),
        correspondents=correspondents,
        sightings=DatabaseSightings(database),
        ledger=DatabaseLedger(database, lease_seconds=configuration.limits.claim_seconds),
        journal=journal,
        host=HostWatch(
            [state, spool],
            decisions,
            events=events,
            clock=clock,
            limits=configuration.limits,
        ),
        enrolment=open_enrolment(configuration, keystore, events, clock, closing),
        spool=FileStore(spool, memory_octets=configuration.limits.memory_octets),
    )
    return Assembled(
        configuration=configuration,
        ports=ports,
        settings=read_settings(configuration),
        keystore=keystore,
        metrics=metrics,
        events=events,
        database=database,
        journal=journal,
        decisions=decisions,
        _closing=closing,
    )


def _records(
    configuration: Configuration, path: Path, events: LoggedEvents
) -> JSONLinesRecords | TwoPlaces:
    def failed(text: str) -> None:
        events.emit("record.error", text=text, code="R-20")

    places = [JSONLinesRecords(path)]
    second = configuration.records.second_directory
    if second is not None:
        places.append(JSONLinesRecords(second / path.name, in_thread=True))
    for place in places:
        place.on_failure = failed
    if second is None:
        return places[0]
    both = configuration.records.required is RecordsRequired.BOTH
    return TwoPlaces(places, events, all_required=both)


def own_file(configuration: Configuration, name: str, worker: int) -> Path:
    """A file that only one process writes: ``name.jsonl``, of later workers ``name-2.jsonl``."""
    number = f"-{worker}" if worker > 1 else ""
    return configuration.gateway.state_directory / f"{name}{number}.jsonl"


def logged_events(configuration: Configuration, metrics: Metrics) -> LoggedEvents:
    """The event log as configured, feeding *metrics*."""
    log = configuration.log
    key = b""
    if log.addresses is LogAddresses.HASH:
        key = address_key(configuration.gateway.state_directory / "address-hash.key")
    return LoggedEvents(
        form=log.format,
        level=log.level,
        mask=AddressMask(log.addresses, key),
        observers=(metrics,),
    )


# --- the database and the directories ------------------------------------------------------------


def own_database(configuration: Configuration) -> Database:
    """The gateway's own database, not opened yet."""
    secret = configuration.database.password
    return Database(
        configuration.database_location,
        password=secret.read_text if secret else None,
        deadline_seconds=configuration.limits.database_seconds,
    )


def _revocation(
    configuration: Configuration,
    events: LoggedEvents,
    clock: Clock,
    closing: contextlib.AsyncExitStack,
) -> RevocationSource:
    settings, limits = configuration.revocation, configuration.limits
    if not (settings.allow_hosts or settings.private_hosts):
        return NoRevocationSource()
    gatekeeper = Gatekeeper(settings.allow_hosts, settings.private_hosts)
    client = HTTPClient(gatekeeper, proxy=settings.proxy)
    source = HTTPRevocation(gatekeeper, client, events=events, clock=clock, limits=limits)
    closing.push_async_callback(source.close)
    return source
