"""Hands finished copies on, and tells in log and record what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from smimegw.next_hop import RelaySession
from smimegw.pipeline.decision_record import tell_deliveries
from smimegw.pipeline.deliver import Refused, all_or_nothing
from smimegw.pipeline.dots import Fates
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.transaction import Delivery, Transaction


async def hand_on(
    tx: Transaction,
    deliveries: Sequence[Delivery],
    decided_at: datetime,
    probe: RelaySession,
    ports: Ports,
    settings: Settings,
    refused: Refused = (),
) -> Fates:
    """Deliver every copy, or none as far as the protocol allows it.

    Args:
        tx: The message.
        deliveries: Its copies, just made.
        decided_at: When it was decided who gets which.
        probe: The open transaction in which the recipients were accepted.
        ports: For the next hop, ledger, journal, log and records.
        settings: For limits, and for who reports what was refused.
        refused: Who gets no copy in a retry of what `has_begun`, and why.
    """
    sealed_at = ports.clock.now()
    report = partial(tell_deliveries, tx, decided_at, sealed_at, ports=ports, settings=settings)
    return await all_or_nothing(tx, deliveries, probe, ports, settings, report, refused)
