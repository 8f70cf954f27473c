"""Hand finished copies to the next hop: hold every one before its final dot, then commit.

One refusal while they are held ends all of them undotted, and the next hop has accepted nothing.
Then one dot goes alone, the canary; after its 250 the others follow together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

from smimegw.errors import AddressError, AuthenticationError, MIMEError, NextHopError
from smimegw.pipeline.replies import mirrored
from smimegw.ports import Ports, RelaySession
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Outcome, Recipient, Transaction

UNREACHABLE = Reply(451, "4.4.1", "next hop not reachable, try later")
BROKEN_OFF = Reply(451, "4.4.2", "next hop broke off, try later")
IN_DOUBT = Reply(451, "4.4.2", "outcome unknown, send again")
LOGIN_REFUSED = Reply(451, "4.7.0", "next hop refused the login, try later")
UNSENDABLE = Reply(451, "4.3.0", "content cannot be sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one recipient.

    Attributes:
        recipient: Who.
        delivery: The copy.
        reply: Ours, derived from the next hop's.
        upstream: The next hop's own reply, for the log.
        server: Where it went.
    """

    recipient: Recipient
    delivery: Delivery
    reply: Reply
    upstream: Reply
    server: str


_Fates = tuple[Delivered, ...]
Report = Callable[[_Fates], None]


async def all_or_nothing(
    tx: Transaction,
    deliveries: Sequence[Delivery],
    probe: RelaySession,
    ports: Ports,
    report: Report,
) -> tuple[Delivered, ...]:
    """Deliver every copy, or none as far as the protocol allows it.

    Cancelled before the first dot (the client is gone), nothing is delivered; cancelled later,
    the commit still runs to its end and is reported.

    Args:
        tx: For its session.
        deliveries: One per group.
        probe: The open transaction in which the recipients were accepted; a single copy with
            exactly this envelope is sent in it.
        ports: To open further connections.
        report: Called with what became of everybody, in every case.
    """
    envelopes = [(delivery.reverse_path, delivery.recipients) for delivery in deliveries]
    own = envelopes == [(tx.envelope.reverse_path, tx.envelope.recipients)]
    if not own:
        await probe.abort()
        await probe.close()
    held: list[RelaySession] = []
    try:
        async with asyncio.TaskGroup() as tasks:  # one unexpected failure ends all of them
            running = [
                tasks.create_task(_prepare(tx, d, probe if own else None, ports, held))
                for d in deliveries
            ]
        prepared = [task.result() for task in running]
        failed = next((entry for entry in prepared if isinstance(entry, Reply)), None)
        if failed is not None:
            fates = tuple(e for d in deliveries for e in _same(d, _own_words(failed), failed))
            report(fates)
            return fates
        sessions = [entry for entry in prepared if not isinstance(entry, Reply)]
        return await _to_the_end(partial(_commit_reported, deliveries, sessions, report))
    finally:
        await asyncio.shield(_close(held))


async def _close(sessions: list[RelaySession]) -> None:
    # close() of a transaction that is still held ends it undotted.
    await asyncio.gather(*(session.close() for session in sessions))


async def _prepare(
    tx: Transaction,
    delivery: Delivery,
    session: RelaySession | None,
    ports: Ports,
    held: list[RelaySession],
) -> RelaySession | Reply:
    """Send everything but the dot; a Reply says why that failed."""
    try:
        if session is not None:
            held.append(session)
        else:
            session = await ports.relay.open(tx.session.next_hop, login=tx.session.login)
            held.append(session)
            reply = await session.mail(delivery.reverse_path)
            if not reply.is_positive:
                return reply
            for recipient in delivery.recipients:
                reply = await session.recipient(recipient)
                if not reply.is_positive:
                    return reply
        return await session.prepare(delivery.pieces) or session
    except AuthenticationError:
        return LOGIN_REFUSED
    except (MIMEError, AddressError):
        return UNSENDABLE
    except NextHopError:
        return UNREACHABLE if session is None else BROKEN_OFF


async def _to_the_end(work: Callable[[], Coroutine[None, None, _Fates]]) -> _Fates:
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


async def _commit_reported(
    deliveries: Sequence[Delivery], sessions: Sequence[RelaySession], report: Report
) -> tuple[Delivered, ...]:
    delivered = await _commit(deliveries, sessions)
    report(delivered)
    return delivered


async def _commit(
    deliveries: Sequence[Delivery], sessions: Sequence[RelaySession]
) -> tuple[Delivered, ...]:
    canary = await _dot(deliveries[0], sessions[0])
    if not any(entry.reply.is_positive for entry in canary):
        others = (
            entry
            for delivery in deliveries[1:]
            for entry in _same(delivery, canary[0].reply, canary[0].upstream)
        )
        return (*canary, *others)
    rest = await asyncio.gather(
        *(_dot(d, s) for d, s in zip(deliveries[1:], sessions[1:], strict=True))
    )
    return (*canary, *(entry for group in rest for entry in group))


async def _dot(delivery: Delivery, session: RelaySession) -> tuple[Delivered, ...]:
    try:
        replies = await session.commit()
    except NextHopError as exc:
        reply = IN_DOUBT if exc.in_doubt else BROKEN_OFF
        return _same(delivery, reply, reply, session.server)
    if len(replies) == 1:
        return _same(delivery, _own_words(replies[0]), replies[0], session.server)
    return tuple(
        Delivered(
            recipient=recipient,
            delivery=delivery,
            reply=_own_words(reply),
            upstream=reply,
            server=session.server,
        )
        for recipient, reply in zip(delivery.recipients, replies, strict=True)
    )


def _own_words(reply: Reply) -> Reply:
    ours = reply in (UNREACHABLE, BROKEN_OFF, LOGIN_REFUSED, UNSENDABLE)
    return reply if reply.is_positive or ours else mirrored(reply)


def _same(
    delivery: Delivery, reply: Reply, upstream: Reply, server: str = ""
) -> tuple[Delivered, ...]:
    return tuple(
        Delivered(
            recipient=recipient, delivery=delivery, reply=reply, upstream=upstream, server=server
        )
        for recipient in delivery.recipients
    )


def outcome_of(txn: str, delivered: Sequence[Delivered], order: Sequence[Recipient]) -> Outcome:
    """The reply for the client: one for all (SMTP) and one for each in *order* (LMTP).

    Some accepted and some not: as long as one may still succeed the client is asked to send
    again (451); when the rest is refused for good it is told so (554).
    """
    accepted = Reply(250, "2.0.0", f"OK {txn}")
    fates = {
        entry.recipient.mailbox.key: accepted if entry.reply.is_positive else entry.reply
        for entry in delivered
    }
    per_recipient = tuple(fates[recipient.mailbox.key] for recipient in order)
    bad = [reply for reply in per_recipient if not reply.is_positive]
    if not bad:
        return Outcome(reply=accepted, per_recipient=per_recipient)
    good = len(per_recipient) - len(bad)
    worst = next((reply for reply in bad if reply.is_transient), bad[0])
    if good:
        count = f"delivered to {good} of {len(per_recipient)}"
        worst = (
            Reply(451, worst.enhanced, f"{count}, send again to finish {txn}")
            if worst.is_transient
            else Reply(554, worst.enhanced, f"{count}, the others were refused {txn}")
        )
    return Outcome(reply=worst, per_recipient=per_recipient)
