"""Fakes of what the gateway remembers: dictionaries that keep the contract of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from smimegw.addresses import Mailbox
from smimegw.errors import DatabaseError
from smimegw.memory import (
    Candidate,
    CandidateState,
    Correspondent,
    Lesson,
    Sighting,
    SightingKind,
)


@dataclass
class MemoryCorrespondents:
    """Implements `Correspondents`; *broken* answers nothing."""

    known: dict[str, Correspondent] = field(default_factory=dict)
    dated: set[str] = field(default_factory=set)
    learned: list[Candidate] = field(default_factory=list)
    broken: bool = False

    def _answer(self) -> None:
        if self.broken:
            raise DatabaseError("database memory: connection refused")

    async def find(self, mailboxes: Sequence[Mailbox]) -> Mapping[str, Correspondent]:
        self._answer()
        keys = {mailbox.key for mailbox in mailboxes}
        return {key: entry for key, entry in self.known.items() if key in keys}

    async def learn(self, lesson: Lesson, now: datetime) -> bool:
        self._answer()
        key, is_dated = lesson.mailbox.key, lesson.signing_time is not None
        said_at = min(lesson.signing_time or now, now)
        old = self.known.get(key)
        if old and (said_at <= old.learned_at or (key in self.dated and not is_dated)):
            return False
        self.known[key] = Correspondent(
            mailbox_key=key,
            capabilities=lesson.capabilities,
            learned_at=said_at,
            fingerprint=lesson.fingerprint,
        )
        if is_dated:
            self.dated.add(key)
        return True

    async def candidates(self, mailbox: Mailbox) -> tuple[Candidate, ...]:
        self._answer()
        return tuple(entry for entry in self.learned if entry.mailbox_key == mailbox.key)

    async def propose(self, candidate: Candidate) -> bool:
        self._answer()
        same = (candidate.mailbox_key, candidate.certificate)
        if any((entry.mailbox_key, entry.certificate) == same for entry in self.learned):
            return False
        self.learned.append(candidate)
        return True

    async def confirm(self, candidate: Candidate) -> bool:
        self._answer()
        for index, entry in enumerate(self.learned):
            same = (entry.mailbox_key, entry.certificate) == (
                candidate.mailbox_key,
                candidate.certificate,
            )
            if same and entry.state is CandidateState.CANDIDATE:
                self.learned[index] = replace(entry, state=CandidateState.VERIFIED)
                return True
        return False

    async def decide(self, mailbox: Mailbox, fingerprint: str, state: CandidateState) -> bool:
        self._answer()
        for index, entry in enumerate(self.learned):
            if (entry.mailbox_key, entry.certificate.fingerprint) == (mailbox.key, fingerprint):
                self.learned[index] = replace(entry, state=state)
                return True
        return False


@dataclass
class MemorySightings:
    """Implements `Sightings`; *broken* answers nothing."""

    seen: dict[tuple[SightingKind, bytes], Sighting] = field(default_factory=dict)
    broken: bool = False

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:
        if self.broken:
            raise DatabaseError("database memory: connection refused")
        return self.seen.get((kind, digest))

    async def any_seen(self, kind: SightingKind, digests: Sequence[bytes]) -> bool:
        if self.broken:
            raise DatabaseError("database memory: connection refused")
        return any((kind, digest) in self.seen for digest in digests)

    async def first_seen(
        self, kind: SightingKind, digests: Sequence[bytes], originator: str, now: datetime
    ) -> tuple[Sighting, ...]:
        if self.broken:
            raise DatabaseError("database memory: connection refused")
        first = Sighting(at=now.replace(microsecond=0), originator=originator)
        return tuple(self.seen.setdefault((kind, digest), first) for digest in digests)
