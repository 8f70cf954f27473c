"""Send final dots: a line in the journal before each, what became of it after.

A dot whose answer does not come in time is in doubt, and stays so for the client.  Its answer is
waited for all the same: it is logged, and the ledger learns whom a retry may leave out (D08).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from smimegw.custody import Dot, message_id_of
from smimegw.errors import JournalError, NextHopError
from smimegw.failpoints import reach
from smimegw.next_hop import RelaySession
from smimegw.pipeline.late_news import News, note_late
from smimegw.pipeline.ledger_entry import LedgerEntry
from smimegw.pipeline.replies import mirrored
from smimegw.ports import Ports
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Recipient, Transaction

BROKEN_OFF = Reply(451, "4.4.2", "next hop broke off, try later")
IN_DOUBT = Reply(451, "4.4.2", "outcome unknown, send again")
NO_JOURNAL = Reply(451, "4.3.0", "journal could not be written, try later")
NODE_FAILS = Reply(421, "4.3.2", "this node cannot work, try another")

_LATE: set[asyncio.Task[None]] = set()  # a task that nobody holds may be lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one recipient.

    Attributes:
        recipient: Who.
        delivery: The copy.
        reply: Ours, derived from the next hop's.
        upstream: The next hop's own reply, for the log.
        server: Where it went.
        earlier: The recipient had the copy before this transaction.
        reported: Refused for good, and the sender was told by a report.
    """

    recipient: Recipient
    delivery: Delivery
    reply: Reply
    upstream: Reply
    server: str = ""
    earlier: bool = False
    reported: bool = False


Fates = tuple[Delivered, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """One copy at the next hop that lacks nothing but its final dot."""

    delivery: Delivery
    session: RelaySession


class Dots:
    """The final dots of one message.

    Args:
        tx: The message.
        entry: Its page in the ledger.
        ports: For journal and log.
        until: Loop time at which an answer that has not come makes its dot one in doubt.
    """

    def __init__(self, tx: Transaction, entry: LedgerEntry, ports: Ports, until: float) -> None:
        self._tx = tx
        self._entry = entry
        self._ports = ports
        self._until = until
        self._count = 0

    async def send(self, held: Sequence[Held]) -> Fates:
        """Send the dots of all of *held* together; without their lines in the journal, none."""
        dots = [self._dot(entry) for entry in held]
        reach("dots.before-journal")
        try:
            async with asyncio.timeout_at(self._until):
                await self._ports.journal.sending(dots)
        except TimeoutError:
            text = "journal did not answer in time; is the disk busy?"
            self._ports.events.emit("journal.error", txn=self._tx.id, text=text, code="C27")
            return all_alike(held, NO_JOURNAL)
        except JournalError as exc:
            self._ports.events.emit("journal.error", txn=self._tx.id, text=str(exc), code="C27")
            return all_alike(held, NODE_FAILS if exc.fatal else NO_JOURNAL)
        except Exception as exc:  # noqa: BLE001 – no line, no dot
            self._ports.events.emit("internal.error", txn=self._tx.id, error=exc)
            return all_alike(held, NO_JOURNAL)
        reach("dots.after-journal")
        if len(held) == 1:  # nearly always: not worth a task
            return await self._send(held[0], dots[0])
        pairs = zip(held, dots, strict=True)
        groups = await asyncio.gather(*(self._send(entry, dot) for entry, dot in pairs))
        return tuple(fate for group in groups for fate in group)

    def _dot(self, held: Held) -> Dot:
        self._count += 1
        recipients = held.delivery.recipients
        return Dot(
            id=f"{self._tx.id}/{self._count}",
            txn=self._tx.id,
            message_id=message_id_of(self._tx),
            relay=held.session.server,
            recipients=tuple(recipient.mailbox.address for recipient in recipients),
            fingerprint=self._entry.fingerprint,
            tokens=tuple(self._entry.token(recipient) for recipient in recipients),
            claim=self._entry.claim,
            at=self._ports.clock.now().isoformat(),
        )

    async def _send(self, held: Held, dot: Dot) -> Fates:
        answering = asyncio.create_task(self._answer(held, dot))
        seconds = max(0.0, self._until - asyncio.get_running_loop().time())
        done, _ = await asyncio.wait({answering}, timeout=seconds)
        if done:
            return self._known(answering, held, dot)
        # An LMTP next hop may have answered for the first recipients in time (RFC 2033, 4.2).
        answered = held.session.answered if held.session.is_lmtp else ()
        late = asyncio.create_task(self._late(answering, held, dot, len(answered)))
        _LATE.add(late)
        late.add_done_callback(_LATE.discard)
        return _each(held, answered)

    def _known(self, answering: asyncio.Task[Fates], held: Held, dot: Dot) -> Fates:
        try:
            return answering.result()
        except Exception as exc:  # noqa: BLE001 – the dot is out and we lost its answer
            self._ports.events.emit("internal.error", txn=self._tx.id, error=exc)
            self._ports.journal.answered(dot, "in-doubt")
            return same(held.delivery, IN_DOUBT, IN_DOUBT, held.session.server)

    async def _answer(self, held: Held, dot: Dot) -> Fates:
        fates = await self._fates(held)
        reach("dots.after-answer")
        accepted = [fate.recipient for fate in fates if fate.reply.is_positive]
        doubtful = any(fate.reply == IN_DOUBT for fate in fates)
        outcome = "accepted" if accepted else "in-doubt" if doubtful else "refused"
        self._ports.journal.answered(dot, outcome, map(self._entry.token, accepted))
        reach("dots.answer-noted")
        return fates

    async def _fates(self, held: Held) -> Fates:
        delivery, server = held.delivery, held.session.server
        try:
            replies = await held.session.commit()
        except NextHopError as exc:
            reply = IN_DOUBT if exc.in_doubt else BROKEN_OFF
            return same(delivery, reply, reply, server)
        except Exception as exc:  # noqa: BLE001 – the dot may be out: nobody knows
            self._ports.events.emit("internal.error", txn=self._tx.id, error=exc)
            return same(delivery, IN_DOUBT, IN_DOUBT, server)
        if not held.session.is_lmtp:
            return same(delivery, own_words(replies[0]), replies[0], server)
        # A next hop that breaks off among its replies has answered for the first ones (RFC 2033).
        return _each(held, replies)

    async def _late(
        self, answering: asyncio.Task[Fates], held: Held, dot: Dot, answered: int
    ) -> None:
        """Wait on, when the client has long been told that the outcome is unknown.

        Of the first *answered* recipients it was not.
        """
        fates = (await answering)[answered:]
        for fate in fates:
            self._ports.events.emit(
                "delivery.late",
                txn=self._tx.id,
                to=fate.recipient.mailbox.address,
                relay=dot.relay,
                text=str(fate.upstream),
            )
        said = [(fate.recipient.mailbox.address, str(fate.upstream)) for fate in fates]
        note_late(self._tx.id, dot.relay, said, News.ANSWER, self._ports)
        await self._entry.accept_late(fate.recipient for fate in fates if fate.reply.is_positive)
        await held.session.close()


def _each(held: Held, replies: Sequence[Reply]) -> Fates:
    """One fate for each recipient of an LMTP next hop; who has no reply yet is in doubt."""
    missing = [IN_DOUBT] * (len(held.delivery.recipients) - len(replies))
    return tuple(
        Delivered(
            recipient=recipient,
            delivery=held.delivery,
            reply=IN_DOUBT if reply is IN_DOUBT else own_words(reply),
            upstream=reply,
            server=held.session.server,
        )
        for recipient, reply in zip(held.delivery.recipients, (*replies, *missing), strict=True)
    )


def own_words(reply: Reply) -> Reply:
    """A next hop's reply as ours; what we made ourselves stays."""
    return reply if reply.is_positive else mirrored(reply)


def same(delivery: Delivery, reply: Reply, upstream: Reply, server: str = "") -> Fates:
    """One fate for everybody in *delivery*."""
    return tuple(
        Delivered(
            recipient=recipient, delivery=delivery, reply=reply, upstream=upstream, server=server
        )
        for recipient in delivery.recipients
    )


def all_alike(held: Sequence[Held], reply: Reply, upstream: Reply | None = None) -> Fates:
    """One fate for everybody in all of *held*."""
    return tuple(fate for entry in held for fate in same(entry.delivery, reply, upstream or reply))
