"""Correspondents and the certificates learned from them in the gateway's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.engine import insert_if_absent
from smimegw.adapters.database.prepared import Statement
from smimegw.adapters.database.schema import candidates, correspondents
from smimegw.addresses import Mailbox
from smimegw.cms.asn1 import read_document
from smimegw.cms.capabilities import read_capabilities
from smimegw.errors import CertificateError, MessageError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.memory import Candidate, CandidateState, Correspondent, Lesson
from smimegw.x509.certificate import Certificate

_TOUCHED_AFTER = timedelta(days=1)  # "last seen" need not be truer than that
_CORRESPONDENT = sa.select(
    correspondents.c.mailbox,
    correspondents.c.capabilities,
    correspondents.c.said_at,
    correspondents.c.fingerprint,
)

_MINE = correspondents.c.mailbox == sa.bindparam("mine")
_KNOWN = Statement(lambda _: _CORRESPONDENT.where(_MINE))
_KEEP_DATED = sa.update(correspondents).where(
    _MINE, correspondents.c.said_at < sa.bindparam("newer")
)
_KEEP_UNDATED = _KEEP_DATED.where(~correspondents.c.dated)
_TOUCH = sa.update(correspondents).where(
    _MINE, correspondents.c.last_seen < sa.bindparam("touched")
)


class DatabaseCorrespondents:
    """Implements `Correspondents`, and what the command line needs beside."""

    def __init__(self, database: Database, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._database = database
        self._limits = limits

    async def find(self, mailboxes: Sequence[Mailbox]) -> Mapping[str, Correspondent]:
        """What is known, by `Mailbox.key`.

        Raises:
            DatabaseError: The database could not answer.
        """
        keys = sorted({mailbox.key for mailbox in mailboxes})
        if not keys:
            return {}
        rows = await self._database.ask(_KNOWN, [{"mine": key} for key in keys])
        return {row[0]: _correspondent(row) for row in rows}

    async def learn(self, lesson: Lesson, now: datetime) -> bool:
        """Keep *lesson* unless something newer is known; True when it was kept.

        A signing time is part of what was signed (RFC 8551, 2.5.1), so an old mail sent again
        cannot bring an old list back.  A mail without one changes nothing where a dated one has
        spoken.

        Raises:
            DatabaseError: Nothing was written.
        """
        said_at = min(lesson.signing_time or now, now)
        values = {
            "capabilities": lesson.capabilities.write(),
            "fingerprint": lesson.fingerprint,
            "said_at": int(said_at.timestamp()),
            "dated": lesson.signing_time is not None,
        }
        seen = int(now.timestamp())
        mine = {"mine": lesson.mailbox.key, "last_seen": seen}
        keep = _KEEP_DATED if values["dated"] else _KEEP_UNDATED
        newer = {**values, **mine, "newer": values["said_at"]}
        touched = {**mine, "touched": seen - int(_TOUCHED_AFTER.total_seconds())}
        first = {"mailbox": lesson.mailbox.key, "first_seen": seen, "last_seen": seen, **values}

        def work(connection: sa.Connection) -> bool:
            if insert_if_absent(connection, correspondents, first):
                return True
            if connection.execute(keep, newer).rowcount:
                return True
            connection.execute(_TOUCH, touched)
            return False

        return await self._database.write(work)

    async def candidates(self, mailbox: Mailbox) -> tuple[Candidate, ...]:
        """Every certificate learned for *mailbox*, in the order of first seen.

        Raises:
            DatabaseError: The database could not answer.
        """
        return await self._candidates(candidates.c.mailbox == mailbox.key)

    async def everybody(self) -> tuple[tuple[Correspondent, ...], tuple[Candidate, ...]]:
        """All that is known, by mailbox.

        Raises:
            DatabaseError: The database could not answer.
        """
        question = _CORRESPONDENT.order_by(correspondents.c.mailbox)
        rows = await self._database.read(lambda connection: list(connection.execute(question)))
        return tuple(map(_correspondent, rows)), await self._candidates(sa.true())

    async def propose(self, candidate: Candidate) -> bool:
        """Keep *candidate* if its mailbox does not have that certificate; True when it was new.

        Of a mailbox with very many, the oldest that nobody decided on makes room.

        Raises:
            DatabaseError: Nothing was written.
        """
        certificate = candidate.certificate
        values = {
            "mailbox": candidate.mailbox_key,
            "fingerprint": certificate.fingerprint,
            "der": certificate.der,
            "state": candidate.state.value,
            "was": candidate.was,
            "first_seen": int(candidate.first_seen.timestamp()),
            "not_after": int(certificate.not_after.timestamp()),
        }
        undecided = (
            sa.select(candidates.c.id)
            .where(
                candidates.c.mailbox == candidate.mailbox_key,
                candidates.c.state == CandidateState.CANDIDATE.value,
            )
            .order_by(candidates.c.first_seen.desc(), candidates.c.id.desc())
            .offset(self._limits.candidates)
        )

        def work(connection: sa.Connection) -> bool:
            if not insert_if_absent(connection, candidates, values):
                return False
            surplus = list(connection.execute(undecided).scalars())
            connection.execute(sa.delete(candidates).where(candidates.c.id.in_(surplus)))
            return True

        return await self._database.write(work)

    async def confirm(self, candidate: Candidate) -> bool:
        """Make a candidate a verified one; False when it is no mere candidate any more.

        Raises:
            DatabaseError: Nothing was written.
        """
        change = (
            sa.update(candidates)
            .where(
                candidates.c.mailbox == candidate.mailbox_key,
                candidates.c.fingerprint == candidate.certificate.fingerprint,
                candidates.c.state == CandidateState.CANDIDATE.value,
            )
            .values(state=CandidateState.VERIFIED.value)
        )
        return await self._database.write(
            lambda connection: bool(connection.execute(change).rowcount)
        )

    async def expire(self, mailbox: Mailbox, fingerprint: str) -> bool:
        """Forget a candidate, so that it can be learned anew; False when there is none like that.

        Raises:
            DatabaseError: Nothing was written.
        """
        change = sa.delete(candidates).where(
            candidates.c.mailbox == mailbox.key, candidates.c.fingerprint == fingerprint
        )
        return await self._database.write(
            lambda connection: bool(connection.execute(change).rowcount)
        )

    async def decide(self, mailbox: Mailbox, fingerprint: str, state: CandidateState) -> bool:
        """Put an administrator's word on a candidate; False when there is none like that.

        Raises:
            DatabaseError: Nothing was written.
        """
        change = (
            sa.update(candidates)
            .where(candidates.c.mailbox == mailbox.key, candidates.c.fingerprint == fingerprint)
            .values(state=state.value)
        )
        return await self._database.write(
            lambda connection: bool(connection.execute(change).rowcount)
        )

    async def _candidates(self, which: sa.ColumnElement[bool]) -> tuple[Candidate, ...]:
        question = (
            sa.select(candidates)
            .where(which)
            .order_by(candidates.c.mailbox, candidates.c.first_seen, candidates.c.id)
        )
        rows = await self._database.read(lambda connection: list(connection.execute(question)))
        return tuple(found for row in rows for found in _candidate(row))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _correspondent(row: Sequence[Any]) -> Correspondent:
    mailbox_key, octets, said_at, fingerprint = row
    try:
        capabilities = read_capabilities(read_document(bytes(octets)))
    except MessageError:
        capabilities = None  # written by a release that read more
    return Correspondent(
        mailbox_key=mailbox_key,
        capabilities=capabilities,
        learned_at=_time(said_at),
        fingerprint=fingerprint,
    )


def _candidate(row: sa.Row[Any]) -> tuple[Candidate, ...]:
    try:
        certificate = Certificate.parse(bytes(row.der))
    except CertificateError:
        return ()  # this release is stricter than the one that kept it
    return (
        Candidate(
            mailbox_key=row.mailbox,
            certificate=certificate,
            state=CandidateState(row.state),
            first_seen=_time(row.first_seen),
            was=row.was,
        ),
    )
