"""Makes the listeners of one process, which count sessions together."""

from __future__ import annotations

from dataclasses import replace

from smimegw.adapters.smtp.listener import Listener, Occupancy
from smimegw.adapters.smtp.load import LoopLag
from smimegw.config.model import Configuration
from smimegw.content import Store
from smimegw.limits import Limits
from smimegw.ports import Events
from smimegw.reception import Reception
from smimegw.sessions import listener_settings, worker_limits
from smimegw.smtp.roles import ListenerRole


def made_listeners(
    configuration: Configuration,
    reception: Reception,
    events: Events,
    lag: LoopLag,
    spool: Store,
    *,
    worker: int,
) -> list[Listener]:
    """Every listener of *configuration*, not started yet.

    Args:
        configuration: What to run.
        reception: Gets the transactions.
        events: Where to log.
        lag: Says whether the event loop keeps up.
        spool: Keeps contents.
        worker: Number of this worker from 1, which shares ports and limits with the others; 0 for
            the only process.

    Raises:
        ConfigurationError: Certificate or key of one cannot be used.
    """
    processes = configuration.gateway.processes if worker else 1
    limits = worker_limits(configuration.limits, processes)
    occupancy = Occupancy(limits)  # sessions are counted over all listeners
    return [
        Listener(
            replace(
                listener_settings(name, listener, configuration, processes),
                reuse_port=worker > 0,
            ),
            reception,
            _limits_of(listener.role, limits),
            events,
            occupancy,
            lag,
            spool,
        )
        for name, listener in configuration.listener.items()
    ]


def _limits_of(role: ListenerRole, limits: Limits) -> Limits:
    """Mail from outside has grown by its protection already, and shrinks when it is opened."""
    if role is not ListenerRole.MX:
        return limits
    return replace(limits, message_octets=int(limits.message_octets * limits.growth), growth=1.0)
