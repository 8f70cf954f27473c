"""Hand finished copies to the next hop: hold every one before its final dot, then commit.

One refusal while they are held ends all of them undotted, and the next hop has accepted nothing.
Then one dot goes alone, the canary; after its 250 the ledger learns who has the message, and the
others follow together.  A retry leaves out whom the ledger names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial

from smimegw.content import Content
from smimegw.custody import message_id_of
from smimegw.errors import (
    LedgerBusyError,
    LedgerError,
)
from smimegw.failpoints import reach
from smimegw.pipeline.dots import (
    BROKEN_OFF,
    IN_DOUBT,
    Delivered,
    Dots,
    Fates,
    Held,
    all_alike,
    own_words,
    same,
)
from smimegw.pipeline.hold import (
    LOGIN_REFUSED,
    NO_TLS,
    TOO_SLOW,
    UNREACHABLE,
    UNSENDABLE,
    hold_all,
)
from smimegw.pipeline.ledger_entry import LedgerEntry
from smimegw.pipeline.reports import tell_of
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports, RelaySession
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Delivery, Outcome, Recipient, Transaction

__all__ = [
    "IN_DOUBT",
    "LOGIN_REFUSED",
    "TOO_SLOW",
    "UNREACHABLE",
    "Delivered",
    "all_or_nothing",
    "has_begun",
    "outcome_of",
]

BUSY = Reply(451, "4.3.0", "the same message is being delivered just now, try later")
NO_LEDGER = Reply(451, "4.3.0", "ledger not reachable, try later (R-22)")
UNDOTTED = Reply(451, "4.4.2", "outcome of another copy unknown, send again")
ALREADY = Reply(250, "2.0.0", "already accepted")

_DOTS_SHARE = 0.85  # of the time for the whole reply; the rest is for the ledger and a report
_REPORT_SHARE = 0.95

Report = Callable[[Fates], None]
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
        busy = isinstance(exc, LedgerBusyError)
        name = "ledger.busy" if busy else "ledger.error"
        ports.events.emit(name, txn=tx.id, text=str(exc), code="C35" if busy else "R-22")
        reply = BUSY if busy else NO_LEDGER
        everybody = (*deliveries, *(delivery for delivery, _ in nobodys))
        fates = tuple(fate for delivery in everybody for fate in same(delivery, reply, reply))
        report(fates)
    finally:
        await asyncio.shield(entry.close(complete=complete))
    return fates


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
                until=self._until(_DOTS_SHARE),
            )
            reach("deliver.all-held")
            pairs = [*zip(remaining, prepared, strict=True), *missing]
            refused = [entry for _, entry in pairs if isinstance(entry, Reply)]
            if refused and not self._independent:
                worst = next((reply for reply in refused if reply.is_permanent), refused[0])
                fates = tuple(e for d, _ in pairs for e in same(d, _ours(worst), worst))
                self.report(fates)
                return (*earlier, *fates)
            return await _to_the_end(partial(self._commit, pairs, earlier))
        finally:
            await asyncio.shield(_close(sessions))

    @property
    def _independent(self) -> bool:
        """Each copy has a fate of its own: LMTP has a reply for each recipient (RFC 2033), and
        in a retry the way back is closed already."""
        return self.tx.session.is_lmtp or bool(self.entry.prior)

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

    def _until(self, share: float) -> float:
        """Loop time when *share* of the time for the reply is over: one clock for all of it."""
        limits = self.settings.limits
        inbound = self.tx.session.role is ListenerRole.MX
        seconds = limits.inbound_reply_seconds if inbound else limits.outbound_reply_seconds
        spent = (self.ports.clock.now() - self.tx.received_at).total_seconds()
        spent = max(0.0, spent)  # a clock that was set back meanwhile gives no more time
        return asyncio.get_running_loop().time() + share * seconds - spent

    # --- commit ----------------------------------------------------------------------------------

    async def _commit(
        self,
        pairs: Sequence[tuple[Delivery, RelaySession | Reply]],
        earlier: Fates,
    ) -> Fates:
        held: list[Held] = []
        fates: list[Delivered] = []
        for delivery, entry in pairs:
            if isinstance(entry, Reply):
                fates += same(delivery, _ours(entry), entry)
            else:
                held.append(Held(delivery, entry))
        tried = (*fates, *await self._dots(held))
        self.report(tried)
        return (*earlier, *await self._settled(tried, len(earlier)))

    async def _dots(self, held: Sequence[Held]) -> Fates:
        dots = Dots(self.tx, self.entry, self.ports, self._until(_DOTS_SHARE))
        if len(held) < 2 or self._independent:
            fates = await dots.send(held) if held else ()
            await self.entry.try_to_accept(_accepted(fates))
            return fates
        canary, others = held[0], held[1:]
        first = await dots.send([canary])
        reach("deliver.after-canary")
        if not _accepted(first):
            rest = first[0]
            if rest.reply == IN_DOUBT:  # only the canary is: nobody else's dot went out
                return (*first, *all_alike(others, UNDOTTED))
            return (*first, *all_alike(others, rest.reply, rest.upstream))
        if not await self.entry.try_to_accept(_accepted(first)):
            # A retry would not know whom to leave out: the copies that are held stay undotted.
            return (*first, *all_alike(others, NO_LEDGER))
        reach("deliver.after-entry")
        rest_fates = await dots.send(others)
        reach("deliver.after-dots")
        await self.entry.try_to_accept(_accepted(rest_fates))
        return (*first, *rest_fates)

    async def _settled(self, tried: Fates, earlier: int) -> Fates:
        """Report those who were refused for good, when the others have it and nobody may get it
        yet: the client's 250 then speaks for everybody."""
        refused = [fate for fate in tried if fate.reply.is_permanent]
        accepted = earlier + len(_accepted(tried))
        if self.tx.session.is_lmtp or not (refused and accepted):
            return tried
        if any(fate.reply.is_transient for fate in tried):
            return tried  # the retry will come to this
        told = await tell_of(
            self.tx, refused, accepted, self.ports, self.settings, until=self._until(_REPORT_SHARE)
        )
        reach("deliver.after-report")
        if not told:
            return tried
        await self.entry.try_to_accept(fate.recipient for fate in refused)
        return tuple(replace(f, reported=True) if f.reply.is_permanent else f for f in tried)


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


def _accepted(fates: Fates) -> list[Recipient]:
    return [fate.recipient for fate in fates if fate.reply.is_positive]


def _ours(reply: Reply) -> Reply:
    made_here = reply in (
        UNREACHABLE,
        NO_TLS,
        BROKEN_OFF,
        LOGIN_REFUSED,
        UNSENDABLE,
        TOO_SLOW,
    )
    return reply if made_here else own_words(reply)


def outcome_of(txn: str, delivered: Sequence[Delivered], order: Sequence[Recipient]) -> Outcome:
    """The reply for the client: one for all (SMTP) and one for each in *order* (LMTP).

    Some accepted and some not: the client is asked to send again (451), and the ledger leaves out
    whom it reached.  Who was refused for good and reported needs nobody to come again.
    """
    accepted = Reply(250, "2.0.0", f"OK {txn}")
    fates: dict[str, list[Delivered]] = {}
    for entry in reversed(delivered):
        fates.setdefault(entry.recipient.mailbox.key, []).append(entry)
    # Who was named twice at RCPT has two fates, in that order.
    named = [fates[recipient.mailbox.key] for recipient in order]
    entries = [own.pop() if len(own) > 1 else own[0] for own in named]
    if all(entry.earlier for entry in entries):
        accepted = Reply(250, "2.0.0", f"already accepted {txn}")
    per_recipient = tuple(accepted if entry.reply.is_positive else entry.reply for entry in entries)
    bad = [e.reply for e in entries if not (e.reply.is_positive or e.reported)]
    if not bad:
        return Outcome(reply=accepted, per_recipient=per_recipient)
    good = len(entries) - len(bad)
    transient = [reply for reply in bad if reply.is_transient]
    worst = next((reply for reply in transient if reply.code == 421), (*transient, bad[0])[0])
    if good and worst.code != 421:
        enhanced = worst.enhanced if worst.is_transient else "4.4.0"
        text = f"delivered to {good} of {len(entries)}, send again to finish {txn}"
        worst = Reply(451, enhanced, text)
    return Outcome(reply=worst, per_recipient=per_recipient)
