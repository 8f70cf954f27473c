"""Bring every copy to the next hop up to its final dot, each on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from smimegw.errors import (
    AddressError,
    AuthenticationError,
    MIMEError,
    NextHopError,
    NextHopTLSError,
)
from smimegw.failpoints import reach
from smimegw.next_hop import Relay, RelaySession
from smimegw.pipeline.dots import BROKEN_OFF, own_words
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, SessionInfo

UNREACHABLE = Reply(451, "4.4.1", "next hop not reachable, try later")
NO_TLS = Reply(451, "4.7.0", "TLS with next hop not as required, try later")
LOGIN_REFUSED = Reply(451, "4.7.0", "next hop refused the login, try later")
UNSENDABLE = Reply(451, "4.3.0", "content cannot be sent")
TOO_SLOW = Reply(451, "4.4.7", "next hop too slow, try later")


async def hold_all(
    client: SessionInfo,
    deliveries: Sequence[Delivery],
    own: RelaySession | None,
    relay: Relay,
    sessions: list[RelaySession],
    *,
    until: float,
) -> list[RelaySession | Reply]:
    """For each of *deliveries* the session that holds it, or the reply that says why none does.

    Args:
        client: Whose login and next hop are used.
        deliveries: The copies.
        own: An open transaction whose recipients are asked already, for the only copy.
        relay: Opens connections.
        sessions: Gets every session that was opened, also when this fails; the caller closes.
        until: Loop time by which all must be held.
    """
    try:
        async with (
            asyncio.timeout_at(until),
            asyncio.TaskGroup() as tasks,  # one unexpected failure ends all of them
        ):
            running = [
                tasks.create_task(_hold(client, delivery, own, relay, sessions))
                for delivery in deliveries
            ]
    except TimeoutError:
        return [TOO_SLOW] * len(deliveries)
    return [task.result() for task in running]


async def _hold(
    client: SessionInfo,
    delivery: Delivery,
    session: RelaySession | None,
    relay: Relay,
    sessions: list[RelaySession],
) -> RelaySession | Reply:
    """Send everything but the dot; a Reply says why that failed."""
    try:
        if session is not None:
            sessions.append(session)
        else:
            session = await relay.open(client.next_hop, login=client.login)
            sessions.append(session)
            reach("deliver.opened")
            reply = await session.mail(delivery.reverse_path)
            if not reply.is_positive:
                return reply
            for recipient in delivery.recipients:
                reply = await session.recipient(recipient)
                if not reply.is_positive:
                    return reply
        refusal = await session.prepare(delivery.pieces)
        reach("deliver.one-held")
    except AuthenticationError:
        return LOGIN_REFUSED
    except (MIMEError, AddressError):
        return UNSENDABLE
    except NextHopTLSError:
        return NO_TLS
    except NextHopError:
        return UNREACHABLE if session is None else BROKEN_OFF
    return refusal or session


def ours(reply: Reply) -> Reply:
    """A reply that stands where no session holds a copy, as the client gets it."""
    made_here = reply in (
        UNREACHABLE,
        NO_TLS,
        BROKEN_OFF,
        LOGIN_REFUSED,
        UNSENDABLE,
        TOO_SLOW,
    )
    return reply if made_here else own_words(reply)
