"""Fakes of the pipeline's ports: they keep everything in memory and remember what happened."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from smimegw.adapters.logs.catalogue import CATALOGUE
from smimegw.addresses import Mailbox
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.content import MEMORY, Store
from smimegw.errors import DirectoryError, KeystoreError, NextHopError, RecordError
from smimegw.outside import NoRevocationSource, RevocationSource
from smimegw.ports import (
    Clock,
    Enrolment,
    FoundCertificate,
    Host,
    NoEnrolment,
    Ports,
    SoundHost,
)
from smimegw.smtp.content import stuffed
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Recipient, ReversePath
from smimegw.x509.certificate import Certificate
from tests.fakes.custody import MemoryJournal, MemoryLedger
from tests.fakes.memory import MemoryCorrespondents, MemorySightings
from tests.fakes.pki import CA, Issued

ALL_EXTENSIONS = Extensions(eightbitmime=True, smtputf8=True, dsn=True, pipelining=True)


@dataclass
class MemoryDirectory:
    """CertificateDirectory and AuthorityDirectory over dictionaries; *broken* answers nothing."""

    name: str = "fake:memory"
    entries: dict[str, list[FoundCertificate]] = field(default_factory=lambda: defaultdict(list))
    cas: list[Certificate] = field(default_factory=list)
    lists: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    broken: bool = False
    asked: list[str] = field(default_factory=list)

    def publish(self, address: str, certificate: Certificate, owner: str = "") -> None:
        found = FoundCertificate(certificate=certificate, source=self.name, owner=owner or address)
        self.entries[Mailbox.parse(address).key].append(found)

    def publish_ca(self, ca: CA, revoked: Sequence[Issued] = ()) -> None:
        self.cas.append(ca.certificate)
        self.lists[ca.certificate.subject_der] = [ca.crl(revoked=revoked)]

    def _answer(self) -> None:
        if self.broken:
            raise DirectoryError("connection refused", server="memory")

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        self.asked.append(mailbox.address)
        self._answer()
        return tuple(self.entries.get(mailbox.key, ()))

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        return None

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        self._answer()
        return tuple(ca for ca in self.cas if ca.subject_der == subject_der)

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        self._answer()
        return tuple(self.lists.get(issuer_der, ()))


@dataclass
class MemoryKeystore:
    """Keystore over a list of issued certificates."""

    held: list[Issued] = field(default_factory=list)
    locked: bool = False

    def add(self, *issued: Issued) -> None:
        self.held.extend(issued)

    def _answer(self) -> None:
        if self.locked:
            raise KeystoreError("no key-encryption key", locked=True)

    def _of(self, mailbox: Mailbox) -> list[Issued]:
        """Newest first."""
        held = [
            item
            for item in self.held
            if any(owned.same_as(mailbox) for owned in item.certificate.mailboxes)
        ]
        return sorted(held, key=lambda item: item.certificate.not_before, reverse=True)

    async def signing_credentials(self, mailbox: Mailbox) -> tuple[SigningCredential, ...]:
        self._answer()
        return tuple(
            SigningCredential(item.certificate, item.chain, SoftwareSigningKey(item.key))
            for item in self._of(mailbox)
        )

    async def decryption_credentials(
        self, identifiers: Sequence[CertificateIdentifier], owners: Sequence[Mailbox]
    ) -> tuple[DecryptionCredential, ...]:
        self._answer()
        return tuple(
            DecryptionCredential(item.certificate, SoftwareDecryptionKey(item.key))
            for owner in owners
            for item in self._of(owner)
            if any(identifier.matches(item.certificate) for identifier in identifiers)
        )


@dataclass
class Arrived:
    """One message the fake next hop accepted (its final dot came)."""

    reverse_path: Mailbox | None
    recipients: list[str]
    content: bytes


@dataclass
class MemoryRelay:
    """A next hop in memory.

    *script* maps a step (``open mail rcpt data dot``) to what happens at its n-th call: a Reply,
    ``"break"`` (the connection breaks) or None (all is well).
    """

    lmtp: bool = False
    offers: Extensions = ALL_EXTENSIONS
    script: dict[str, list[Reply | str | None]] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    open_sessions: int = 0
    pause_before_data: asyncio.Event | None = None
    pause_before_dot: asyncio.Event | None = None
    pause_before_second_reply: asyncio.Event | None = None
    reached_data: asyncio.Event = field(default_factory=asyncio.Event)
    reached_dot: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self, step: str) -> Reply | None:
        self.steps.append(step)
        planned = self.script.get(step)
        answer = planned.pop(0) if planned else None
        if answer == "break":
            raise NextHopError("connection lost", server="memory", in_doubt=step == "dot")
        assert answer is None or isinstance(answer, Reply)
        return answer

    async def open(
        self, next_hop: str, *, login: tuple[str, str] | None = None
    ) -> MemoryRelaySession:
        self.next("open")
        self.open_sessions += 1
        return MemoryRelaySession(self)


@dataclass
class MemoryRelaySession:
    """One transaction at a `MemoryRelay`."""

    relay: MemoryRelay
    reverse_path: Mailbox | None = None
    recipients: list[str] = field(default_factory=list)
    held: bytes | None = None
    replies: list[Reply] = field(default_factory=list)
    closed: bool = False
    committing: bool = False

    @property
    def extensions(self) -> Extensions:
        return self.relay.offers

    @property
    def server(self) -> str:
        return "memory[127.0.0.1]:25"

    @property
    def is_lmtp(self) -> bool:
        return self.relay.lmtp

    async def mail(self, reverse_path: ReversePath) -> Reply:
        self.reverse_path = reverse_path.mailbox
        return self.relay.next("mail") or Reply(250, "2.1.0", "ok")

    async def recipient(self, recipient: Recipient) -> Reply:
        reply = self.relay.next("rcpt") or Reply(250, "2.1.5", "ok")
        if reply.is_positive:
            self.recipients.append(recipient.mailbox.address)
        return reply

    async def prepare(self, content: Iterable[bytes]) -> Reply | None:
        self.relay.reached_data.set()
        if self.relay.pause_before_data is not None:
            await self.relay.pause_before_data.wait()
        reply = self.relay.next("data")
        if reply is None:
            b"".join(stuffed(content))  # refuses bare CR, LF and NUL as the real relay does
            self.held = b"".join(content)
        return reply

    @property
    def answered(self) -> tuple[Reply, ...]:
        return tuple(self.replies)

    async def commit(self) -> tuple[Reply, ...]:
        assert self.held is not None, "a dot without content"
        self.relay.reached_dot.set()
        if self.relay.pause_before_dot is not None:
            self.committing = True
            await self.relay.pause_before_dot.wait()
            self.committing = False
        count = len(self.recipients) if self.relay.lmtp else 1
        replies = self.replies = []
        for index in range(count):
            try:
                if index and self.relay.pause_before_second_reply is not None:
                    self.committing = True
                    await self.relay.pause_before_second_reply.wait()
                    self.committing = False
                reply = self.relay.next("dot") or Reply(250, "2.0.0", "queued")
            except NextHopError:
                if not replies:
                    raise
                break  # what was answered before counts
            replies.append(reply)
            if reply.is_positive:
                who = [self.recipients[index]] if self.relay.lmtp else list(self.recipients)
                self.relay.arrived.append(Arrived(self.reverse_path, who, self.held))
        self.held = None
        self.recipients = []
        return tuple(replies)

    async def abort(self) -> None:
        if not self.committing:
            self.held = None
            self.recipients = []

    async def close(self) -> None:
        if not self.closed and not self.committing:
            self.closed = True
            self.relay.open_sessions -= 1
        await self.abort()


class InlineWorkers:
    """Runs pure functions at once."""

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)


@dataclass
class ListedEvents:
    """Remembers every event."""

    emitted: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def emit(self, event: str, *, txn: str = "", **values: object) -> None:
        unknown = set(values) - set(CATALOGUE[event].keys) - {"error"}
        assert not unknown, f"{event}: {unknown} not in the catalogue"
        self.emitted.append((event, values))

    def named(self, event: str) -> list[dict[str, object]]:
        return [values for name, values in self.emitted if name == event]


@dataclass
class ListedRecords:
    """Remembers every decision record and every note; *broken* refuses them."""

    written: list[Mapping[str, Any]] = field(default_factory=list)
    noted: list[Mapping[str, Any]] = field(default_factory=list)
    broken: bool = False

    async def write(self, record: Mapping[str, Any]) -> None:
        if self.broken:
            raise RecordError("no space left on device")
        self.written.append(record)

    def note(self, record: Mapping[str, Any]) -> None:
        if not self.broken:
            self.noted.append(record)


class SystemClock:
    """The real time, so that OpenSSL in the same test agrees."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class World:
    """All fakes of one test."""

    directory: MemoryDirectory = field(default_factory=MemoryDirectory)
    keystore: MemoryKeystore = field(default_factory=MemoryKeystore)
    relay: MemoryRelay = field(default_factory=MemoryRelay)
    events: ListedEvents = field(default_factory=ListedEvents)
    records: ListedRecords = field(default_factory=ListedRecords)
    revocation: RevocationSource = field(default_factory=NoRevocationSource)
    host: Host = field(default_factory=SoundHost)
    correspondents: MemoryCorrespondents = field(default_factory=MemoryCorrespondents)
    sightings: MemorySightings = field(default_factory=MemorySightings)
    clock: Clock = field(default_factory=SystemClock)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    enrolment: Enrolment = field(default_factory=NoEnrolment)
    spool: Store = MEMORY

    @property
    def ports(self) -> Ports:
        return Ports(
            directory=self.directory,
            authorities=self.directory,
            keystore=self.keystore,
            relay=self.relay,
            workers=InlineWorkers(),
            events=self.events,
            records=self.records,
            clock=self.clock,
            correspondents=self.correspondents,
            sightings=self.sightings,
            revocation=self.revocation,
            host=self.host,
            ledger=self.ledger,
            journal=self.journal,
            enrolment=self.enrolment,
            spool=self.spool,
        )
