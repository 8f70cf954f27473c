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
    adapters = _Adapters(configuration, events or logged_events(configuration, metrics), worker)
    metrics.shadow(configuration.gateway.shadow)
    return Assembled(
        configuration=configuration,
        ports=adapters.ports(),
        settings=read_settings(configuration),
        keystore=adapters.keystore,
        metrics=metrics,
        events=adapters.events,
        database=adapters.database,
        journal=adapters.journal,
        decisions=adapters.decisions,
        _closing=adapters.closing,
    )


class _Adapters:
    """Every adapter of one process: opened in this order, closed in the other."""

    def __init__(self, configuration: Configuration, events: LoggedEvents, worker: int) -> None:
        self._configuration = configuration
        self.events = events
        self._clock: Clock = SystemClock()
        self.closing = closing = contextlib.AsyncExitStack()
        self.database = own_database(configuration)
        closing.push_async_callback(self.database.close)
        self._published, self._authorities = open_directories(
            configuration, self.database, events, closing
        )
        self.keystore = keystores.gateway_keystore(configuration, events)
        if isinstance(self.keystore, AgentKeystore):
            closing.push_async_callback(self.keystore.close)
        self._relay = _relay(configuration)
        closing.push_async_callback(self._relay.aclose)
        self._workers = ThreadWorkers(configuration.gateway.worker_threads)
        closing.push_async_callback(self._workers.close)
        self.decisions = own_file(configuration, "decisions", worker)
        self._records = _records(configuration, self.decisions, events)
        closing.callback(self._records.close)
        self.journal = FileJournal(own_file(configuration, "dots", worker))
        closing.push_async_callback(self.journal.close)
        self._revocation = _revocation(configuration, events, self._clock, closing)
        self._enrolment = open_enrolment(configuration, self.keystore, events, self._clock, closing)

    def ports(self) -> Ports:
        """All of them as the pipeline sees them."""
        configuration, limits = self._configuration, self._configuration.limits
        events, clock = self.events, self._clock
        correspondents = DatabaseCorrespondents(self.database, limits=limits)
        state = configuration.gateway.state_directory
        spool = configuration.gateway.spool or state
        return Ports(
            directory=with_harvest(self._published, correspondents, configuration, clock),
            authorities=self._authorities,
            keystore=self.keystore,
            relay=self._relay,
            workers=self._workers,
            events=events,
            records=self._records,
            clock=clock,
            revocation=self._revocation,
            correspondents=correspondents,
            sightings=DatabaseSightings(self.database),
            ledger=DatabaseLedger(self.database, lease_seconds=limits.claim_seconds),
            journal=self.journal,
            host=HostWatch(
                [state, spool], self.decisions, events=events, clock=clock, limits=limits
            ),
            enrolment=self._enrolment,
            spool=FileStore(spool, memory_octets=limits.memory_octets),
        )


def _relay(configuration: Configuration) -> SMTPRelay:
    return SMTPRelay(
        {name: sessions.next_hop_settings(hop) for name, hop in configuration.next_hop.items()},
        hostname=str(configuration.gateway.hostname),
        limits=configuration.limits,
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
