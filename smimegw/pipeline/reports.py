"""Tell somebody of recipients who were refused for good after others had been given their copy.

The client gets its 250 then, so the duty to tell is ours: the sender of mail of ours hears by a
delivery status notification (RFC 3464); for mail from outside, whose sender may be forged, the
recipient and the postmaster do (T-26).  A report about a report goes to the postmaster (P06).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from smimegw.addresses import Mailbox
from smimegw.custody import Dot
from smimegw.errors import (
    AddressError,
    AuthenticationError,
    JournalError,
    LimitError,
    MIMEError,
    NextHopError,
)
from smimegw.failpoints import reach
from smimegw.mime.build import boundary
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.next_hop import RelaySession
from smimegw.pipeline.dots import Delivered
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smtp.dsn import (
    FailedMessage,
    FailedRecipient,
    notice_inside,
    notice_to_postmaster,
    report_to_sender,
    wants_report,
)
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Delivery, Recipient, ReversePath, Transaction

_HIDDEN_FIELDS = frozenset({"subject", "comments", "keywords", "thread-topic", "bcc", "resent-bcc"})


async def tell_of(
    tx: Transaction,
    refused: Sequence[Delivered],
    accepted: int,
    ports: Ports,
    settings: Settings,
    *,
    until: float,
) -> bool:
    """Hand a report about *refused* to the next hop; True when it took it, or none is wanted.

    Args:
        tx: The message.
        refused: Every one of them for good.
        accepted: How many others have it.
        ports: For the next hop, journal and log.
        settings: Who we are.
        until: Loop time by which it must be done.
    """
    postmaster = settings.postmaster or Mailbox.parse(f"postmaster@{settings.hostname}")
    outside = tx.session.role is ListenerRole.MX
    if not outside:
        refused = [fate for fate in refused if _is_wanted(fate.recipient)]
    if not refused:
        return True
    message = _failed(tx, refused, accepted, postmaster, ports, settings)
    sender = tx.envelope.reverse_path.mailbox
    if outside or sender is None:
        inside = [fate.recipient.mailbox for fate in refused] if outside else []
        readers = [*inside, postmaster]
        pieces = notice_inside(message, readers) if outside else notice_to_postmaster(message)
    else:
        readers = [sender]
        pieces = report_to_sender(message)
    try:
        async with asyncio.timeout_at(until):
            server, reached = await _hand_over(tx, readers, pieces, ports)
    except (TimeoutError, NextHopError, JournalError, MIMEError, AddressError) as exc:
        text = str(exc) or "not in time"
        ports.events.emit("report.error", txn=tx.id, text=text)
        return False
    except AuthenticationError as exc:
        ports.events.emit("report.error", txn=tx.id, text=str(exc))
        return False
    for address in reached:
        ports.events.emit("report.sent", txn=tx.id, to=address, relay=server)
    return True


def _is_wanted(recipient: Recipient) -> bool:
    # RFC 3461, 5.2.1: who relays honours NOTIFY in the reports that he writes himself
    return wants_report(dict(recipient.parameters).get("NOTIFY"))


def _failed(
    tx: Transaction,
    refused: Sequence[Delivered],
    accepted: int,
    postmaster: Mailbox,
    ports: Ports,
    settings: Settings,
) -> FailedMessage:
    return FailedMessage(
        transaction_id=tx.id,
        hostname=settings.hostname,
        postmaster=postmaster,
        reverse_path=tx.envelope.reverse_path.mailbox,
        envid=tx.envelope.reverse_path.parameter("ENVID") or "",
        header=_shown(refused[0].delivery, settings),
        arrived_at=tx.received_at,
        now=ports.clock.now(),
        accepted=accepted,
        failed=tuple(
            FailedRecipient(
                mailbox=fate.recipient.mailbox,
                orcpt=dict(fate.recipient.parameters).get("ORCPT", ""),
                reply=fate.upstream,
                remote=fate.server.partition("[")[0],
            )
            for fate in refused
        ),
        boundary=boundary(secrets.token_bytes),
    )


def _shown(delivery: Delivery, settings: Settings) -> HeaderSection:
    """The header section of a refused copy as it was sent, without what encryption may hide."""
    try:
        header = Entity.parse(delivery.pieces, settings.limits).header
    except LimitError:
        return HeaderSection(())
    # What was opened for us, too: a report travels unprotected.
    return header.without(lambda entry: entry.lower_name in _HIDDEN_FIELDS)


async def _hand_over(
    tx: Transaction, readers: Sequence[Mailbox], pieces: tuple[bytes, ...], ports: Ports
) -> tuple[str, list[str]]:
    """Deliver *pieces* to *readers*; returns where, and who of them was taken.

    Raises:
        NextHopError: Nobody knows that it arrived.
        AuthenticationError: The next hop refused the login.
        JournalError: The dot could not be written down.
        MIMEError, AddressError: It cannot be sent at all.
    """
    reach("report.before-open")
    session = await ports.relay.open(tx.session.next_hop, login=tx.session.login)
    try:
        return session.server, await _deliver(tx, readers, pieces, session, ports)
    finally:
        await asyncio.shield(session.close())


async def _deliver(
    tx: Transaction,
    readers: Sequence[Mailbox],
    pieces: tuple[bytes, ...],
    session: RelaySession,
    ports: Ports,
) -> list[str]:
    octets = b"".join(pieces)
    wide = not octets.isascii() or any(reader.needs_smtputf8 for reader in readers)
    parameters = (("BODY", "8BITMIME"), ("SMTPUTF8", "")) if wide else ()
    reply = await session.mail(ReversePath(mailbox=None, parameters=parameters))
    taken = []
    for reader in readers if reply.is_positive else ():
        reply = await session.recipient(Recipient(mailbox=reader))
        if reply.is_positive:
            taken.append(reader.address)
    refusal = reply if not taken else await session.prepare([octets])
    if refusal is not None:
        raise NextHopError(f"report refused: {refusal.code} {refusal.enhanced}")
    dot = Dot(
        id=f"{tx.id}/report",
        txn=tx.id,
        message_id=f"<{tx.id}.report>",
        relay=session.server,
        recipients=tuple(taken),
        at=ports.clock.now().isoformat(),
    )
    await ports.journal.sending([dot])
    reach("report.before-dot")
    replies = await session.commit()
    reach("report.after-answer")
    ports.journal.answered(dot, "answered")
    if not any(reply.is_positive for reply in replies):
        raise NextHopError(f"report refused: {replies[0].code} {replies[0].enhanced}")
    if not session.is_lmtp:
        return taken
    return [name for name, reply in zip(taken, replies, strict=False) if reply.is_positive]
