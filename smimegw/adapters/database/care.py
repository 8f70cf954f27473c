"""Looks after the gateway's database while it runs: does it answer, and what may be forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.forgetting import forget
from smimegw.errors import ConfigurationError, DatabaseError, DirectoryError
from smimegw.limits import Limits
from smimegw.ports import Clock, Events

_FORGETS_EVERY = timedelta(hours=1)


class DatabaseCare:
    """Asks the database now and then, so that /ready knows when it comes back.

    Args:
        database: The gateway's own.
        keep: How long things are remembered.
        events: Where troubles and their ends are told, once each.
        clock: For what is old.
        limits: How often to ask.
    """

    def __init__(
        self, database: Database, keep: timedelta, *, events: Events, clock: Clock, limits: Limits
    ) -> None:
        self._database = database
        self._keep = keep
        self._events = events
        self._clock = clock
        self._limits = limits
        self._forgot_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._told = ""

    @property
    def trouble(self) -> str:
        """Why what needs the database waits (R-22); empty when nothing does."""
        return self._database.trouble

    async def start(self) -> None:
        """Open it, and go on asking until `stop`.

        Bringing old tables up to date may take longer than a question may.
        """
        with contextlib.suppress(DirectoryError, ConfigurationError):  # look tells it
            await asyncio.to_thread(self._database.open)
        await self.look()
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Ask once; forget what is old when that was not done for a while."""
        trouble = await self._database.probe()
        if bool(trouble) != bool(self._told):
            event = "memory.error" if trouble else "memory.recovered"
            self._events.emit(event, code="R-22", **({"text": trouble} if trouble else {}))
        self._told = trouble
        now = self._clock.now()
        if trouble or (self._forgot_at and now < self._forgot_at + _FORGETS_EVERY):
            return
        try:
            count = await forget(self._database, now, self._keep)
        except DatabaseError as exc:
            self._events.emit("memory.error", text=str(exc))
            return
        self._forgot_at = now
        if count:
            self._events.emit("memory.forgotten", count=count)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._limits.database_probe_seconds)
            try:
                await self.look()
            except Exception as exc:  # noqa: BLE001 – a watch that ends unseen watches nothing
                self._events.emit("internal.error", error=exc)
