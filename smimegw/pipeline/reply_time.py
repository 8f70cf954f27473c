"""The time for the reply after the data: one clock for everything that is done until then."""

from __future__ import annotations

import asyncio

from smimegw.limits import Limits
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Transaction


def reply_seconds(role: ListenerRole, limits: Limits) -> float:
    """How long the client of a listener of *role* waits at most."""
    inbound = role is ListenerRole.MX
    return limits.inbound_reply_seconds if inbound else limits.outbound_reply_seconds


def reply_deadline(tx: Transaction, share: float, ports: Ports, settings: Settings) -> float:
    """Loop time when *share* of the time for the reply to *tx* is over."""
    spent = (ports.clock.now() - tx.received_at).total_seconds()
    spent = max(0.0, spent)  # a clock that was set back meanwhile gives no more time
    seconds = reply_seconds(tx.session.role, settings.limits)
    return asyncio.get_running_loop().time() + share * seconds - spent
