"""Hand finished copies to the next hop: hold every one before its final dot, then commit.

One refusal while they are held ends all of them undotted, and the next hop has accepted nothing.
Then one dot goes alone, the canary; after its 250 the ledger learns who has the message, and the
others follow together.  A retry leaves out whom the ledger names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

from smimegw.content import Content
from smimegw.custody import message_id_of
from smimegw.errors import LedgerBusyError, LedgerError
from smimegw.failpoints import reach
from smimegw.next_hop import RelaySession
from smimegw.pipeline.commit import DOTS_SHARE, NO_LEDGER, Commit, Report, is_independent
from smimegw.pipeline.dots import Delivered, Fates, same
from smimegw.pipeline.hold import hold_all, ours
from smimegw.pipeline.ledger_entry import LedgerEntry
from smimegw.pipeline.reply_time import reply_deadline
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Recipient, Transaction

BUSY = Reply(451, "4.3.0", "the same message is being delivered just now, try later")
ALREADY = Reply(250, "2.0.0", "already accepted")

Refused = Sequence[tuple[Recipient, Reply]]


async def all_or_nothing(
    tx: Transaction,
    deliveries: Sequence[Delivery],
    probe: RelaySession,
    ports: Ports,
    settings: Settings,
    report: Report,
    refused: Refused = (),
) -> Fates:
    """Deliver every copy, or none as far as the protocol allows it.

    Cancelled before the first dot (the client is gone), nothing is delivered; cancelled later,
    the commit still runs to its end and is reported.

    Args:
        tx: For its session and content.
        deliveries: One per group.
        probe: The open transaction in which the recipients were accepted; a single copy with
            exactly this envelope is sent in it.
        ports: To open further connections, and for ledger, journal and log.
        settings: For limits, and for who reports what was refused.
        report: Called with what became of everybody who was tried, in every case.
        refused: Who gets no copy in a retry of what `has_begun`, and why.
    """
    entry = LedgerEntry(tx, ports)
    complete = False
    several = probe.is_lmtp and any(len(delivery.recipients) > 1 for delivery in deliveries)
    several = several or len(deliveries) > 1 or bool(refused)
    nobodys = [(_unsent(tx, recipient), reply) for recipient, reply in refused]
    try:
        reach("deliver.before-claim")
        await entry.open(several=several)
        reach("deliver.after-claim")
        fates = await _Attempt(tx, entry, probe, ports, settings, report).run(deliveries, nobodys)
        complete = all(fate.reply.is_positive or fate.reported for fate in fates)
    except LedgerError as exc:
        reply = _without_ledger(tx, exc, ports)
        everybody = (*deliveries, *(delivery for delivery, _ in nobodys))
        fates = tuple(fate for delivery in everybody for fate in same(delivery, reply, reply))
        report(fates)
    finally:
        await asyncio.shield(entry.close(complete=complete))
    return fates


def _without_ledger(tx: Transaction, error: LedgerError, ports: Ports) -> Reply:
    busy = isinstance(error, LedgerBusyError)
    name = "ledger.busy" if busy else "ledger.error"
    ports.events.emit(name, txn=tx.id, text=str(error), code="C35" if busy else "R-22")
    return BUSY if busy else NO_LEDGER


@dataclass(slots=True)
class _Attempt:
    """One try to deliver what the ledger does not name yet."""

    tx: Transaction
    entry: LedgerEntry
    probe: RelaySession
    ports: Ports
    settings: Settings
    report: Report

    async def run(
        self, deliveries: Sequence[Delivery], nobodys: Sequence[tuple[Delivery, Reply]]
    ) -> Fates:
        earlier = self._earlier([*deliveries, *(delivery for delivery, _ in nobodys)])
        remaining = self.entry.remaining(deliveries)
        missing = [(d, reply) for d, reply in nobodys if self.entry.remaining([d])]
        if not remaining and not missing:
            return earlier
        sessions: list[RelaySession] = []
        try:
            own = self._is_own(remaining)
            if not own:
                await self.probe.abort()
                await self.probe.close()
            prepared = await hold_all(
                self.tx.session,
                remaining,
                self.probe if own else None,
                self.ports.relay,
                sessions,
                until=reply_deadline(self.tx, DOTS_SHARE, self.ports, self.settings),
            )
            reach("deliver.all-held")
            pairs = [*zip(remaining, prepared, strict=True), *missing]
            refused = [entry for _, entry in pairs if isinstance(entry, Reply)]
            if refused and not is_independent(self.tx, self.entry):
                worst = next((reply for reply in refused if reply.is_permanent), refused[0])
                fates = tuple(e for d, _ in pairs for e in same(d, ours(worst), worst))
                self.report(fates)
                return (*earlier, *fates)
            commit = Commit(self.tx, self.entry, self.ports, self.settings, self.report)
            return await _to_the_end(partial(commit.of, pairs, earlier))
        finally:
            await asyncio.shield(_close(sessions))

    def _is_own(self, deliveries: Sequence[Delivery]) -> bool:
        """The transaction in which the recipients were asked can carry the one copy."""
        envelope = self.tx.envelope
        envelopes = [(delivery.reverse_path, delivery.recipients) for delivery in deliveries]
        return envelopes == [(envelope.reverse_path, envelope.recipients)]

    def _earlier(self, deliveries: Sequence[Delivery]) -> Fates:
        known = []
        for delivery in deliveries:
            for recipient in delivery.recipients:
                if self.entry.token(recipient) in self.entry.prior:
                    fate = Delivered(
                        recipient=recipient,
                        delivery=delivery,
                        reply=ALREADY,
                        upstream=ALREADY,
                        earlier=True,
                    )
                    known.append(fate)
                    self.ports.events.emit(
                        "delivery.already_accepted",
                        txn=self.tx.id,
                        **{"to": recipient.mailbox.address, "message-id": message_id_of(self.tx)},
                    )
        return tuple(known)


async def has_begun(tx: Transaction, ports: Ports) -> bool:
    """Whether somebody has the message already, so that no one reply can refuse all of it."""
    entry = LedgerEntry(tx, ports)
    return bool(await entry.ask())


def _unsent(tx: Transaction, recipient: Recipient) -> Delivery:
    """What a report can show of a message of which this recipient gets no copy."""
    return Delivery(
        reverse_path=tx.envelope.reverse_path,
        recipients=(recipient,),
        pieces=Content(tx.content.header.raw + b"\r\n"),
    )


async def _close(sessions: list[RelaySession]) -> None:
    # close() of a transaction that is still held ends it undotted.
    if len(sessions) == 1:
        await sessions[0].close()
        return
    await asyncio.gather(*(session.close() for session in sessions))


async def _to_the_end(work: Callable[[], Coroutine[None, None, Fates]]) -> Fates:
    """Do *work*; a cancellation meanwhile takes effect only after it."""
    task = asyncio.create_task(work())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
    return task.result()
