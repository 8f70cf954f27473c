"""Shadow mode: everything is decided, made and recorded, and what came is handed on unchanged.

The usual flow runs as a rehearsal against a next hop that takes everything and keeps nothing.
Whatever it comes to, refusal or fault, the original goes on; only the real next hop refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from smimegw.content import Content
from smimegw.custody import NoJournal, NoLedger
from smimegw.errors import RecordError
from smimegw.mime.headers import HeaderField, HeaderSection
from smimegw.next_hop import RelaySession
from smimegw.pipeline.decision_record import head
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.hand_on import hand_on
from smimegw.pipeline.inbound import handle_inbound
from smimegw.pipeline.outbound import handle_outbound
from smimegw.pipeline.outcome import outcome_of
from smimegw.pipeline.replies import Refusal, reply_for, row_of
from smimegw.pipeline.reply_time import reply_seconds
from smimegw.pipeline.settings import Settings
from smimegw.policy.model import Direction, Policy
from smimegw.ports import Events, Ports, Records
from smimegw.smtp.content import stuffed
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Outcome, Recipient, ReversePath, Transaction

_SHARE = 0.5  # of the time for the reply; the rest is for the original
_DONE = Reply(250, "2.0.0", "rehearsed")
_MARKED = frozenset({"recipient.decided", "message.opened"})
_UNTRUE = ("recipient.delivered", "delivery.", "report.")  # nothing of this happens


async def handle_shadow(
    tx: Transaction,
    policy: Policy,
    ports: Ports,
    settings: Settings,
    probe: RelaySession,
    trace: HeaderField,
) -> Outcome:
    """Rehearse, then deliver what came with nothing but a Received field on top."""
    decided_at = ports.clock.now()
    await _rehearse(tx, policy, ports, settings, probe, trace)
    content = tx.content
    top = HeaderSection((trace,))
    delivery = Delivery(
        reverse_path=tx.envelope.reverse_path,
        recipients=tx.envelope.recipients,
        pieces=Content.joined(
            (top.raw, content.header.raw, content.separator or b"\r\n", content.body)
        ),
    )
    delivered = await hand_on(tx, [delivery], decided_at, probe, ports, settings)
    return outcome_of(tx.id, delivered, tx.envelope.recipients)


async def _rehearse(
    tx: Transaction,
    policy: Policy,
    ports: Ports,
    settings: Settings,
    probe: RelaySession,
    trace: HeaderField,
) -> None:
    """Do everything but deliver; note what the client would have been told."""
    inbound = direction_of(tx.session.role) is Direction.INBOUND
    handle = handle_inbound if inbound else handle_outbound
    seconds = reply_seconds(tx.session.role, settings.limits)
    stage = _Stage(probe.extensions, lmtp=probe.is_lmtp)
    rehearsed = replace(
        ports,
        relay=stage,
        ledger=NoLedger(),
        journal=NoJournal(),
        events=_MarkedEvents(ports.events),
        records=_DecisionsOnly(ports.records),
    )
    row = ""
    try:
        async with asyncio.timeout(_SHARE * seconds):
            session = await stage.open(tx.session.next_hop)
            reply = (await handle(tx, policy, rehearsed, settings, session, trace)).reply
    except Exception as exc:  # noqa: BLE001 – a rehearsal stops nobody's mail
        row = row_of(exc)
        reply = exc.reply if isinstance(exc, Refusal) else reply_for(row, detail=tx.id)
        _tell(tx, exc, row, reply, ports)
    values = {"reply": str(reply), **({"refusal": row} if row else {})}
    ports.records.note({**head("rehearsal", tx, ports.clock.now(), settings), **values})


def _tell(tx: Transaction, error: Exception, row: str, reply: Reply, ports: Ports) -> None:
    if isinstance(error, RecordError):
        ports.events.emit("record.error", txn=tx.id, text=str(error), code=row)
    elif row == "R-17":
        ports.events.emit("internal.error", txn=tx.id, error=error)
    ports.events.emit("shadow.would_refuse", txn=tx.id, reply=str(reply), code=row)


# --- what the rehearsal has instead of the world -------------------------------------------------


@dataclass(frozen=True, slots=True)
class _MarkedEvents:
    """`Events` that says of decisions that they are rehearsed, and nothing of deliveries."""

    events: Events

    def emit(self, event: str, *, txn: str = "", **values: object) -> None:
        if event.startswith(_UNTRUE):
            return
        mark = {"shadow": "yes"} if event in _MARKED else {}
        self.events.emit(event, txn=txn, **values, **mark)


@dataclass(frozen=True, slots=True)
class _DecisionsOnly:
    """`Records` that takes decisions, but no word of deliveries."""

    records: Records

    async def write(self, record: Mapping[str, Any]) -> None:
        await self.records.write(record)

    def note(self, record: Mapping[str, Any]) -> None:
        """Nothing was delivered."""


class _Stage:
    """`Relay` and its sessions: takes everything that could be sent, and keeps nothing."""

    server = "shadow"

    def __init__(self, offers: Extensions, *, lmtp: bool) -> None:
        self.extensions = offers
        self.is_lmtp = lmtp
        self._recipients = 0

    async def open(self, next_hop: str, *, login: tuple[str, str] | None = None) -> _Stage:  # noqa: ARG002
        """A new session."""
        return _Stage(self.extensions, lmtp=self.is_lmtp)

    async def mail(self, reverse_path: ReversePath) -> Reply:  # noqa: ARG002
        """Accepted."""
        return _DONE

    async def recipient(self, recipient: Recipient) -> Reply:  # noqa: ARG002
        """Accepted."""
        self._recipients += 1
        return _DONE

    async def prepare(self, content: Iterable[bytes]) -> Reply | None:
        """Accepted, if it could be sent."""
        for _ in stuffed(content):
            pass
        return None

    async def commit(self) -> tuple[Reply, ...]:
        """Accepted."""
        return self.answered

    @property
    def answered(self) -> tuple[Reply, ...]:
        """What `commit` gives."""
        return (_DONE,) * (self._recipients if self.is_lmtp else 1)

    async def abort(self) -> None:
        """Nothing is there."""

    async def close(self) -> None:
        """Nothing is there."""
