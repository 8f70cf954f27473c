"""The servers behind the gateways: keep who got which message, not what it says."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from smimegw.adapters.smtp.sink import SinkMessage
from tests.fakes.scripted_sink import ScriptedSink
from tests.flow.canary import is_readable

_MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]*)>", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One copy that was answered with 250.

    Attributes:
        message: Its Message-ID, without the angle brackets.
        recipients: Whom it is for.
        readable: Anybody on the way can read the canary.
    """

    message: str
    recipients: tuple[str, ...]
    readable: bool


class NextHop(ScriptedSink):
    """A sink that can keep everybody waiting at the final dot.

    Args:
        canary: Stands in every message.
    """

    def __init__(self, canary: str) -> None:
        super().__init__()
        self.arrivals: list[Arrival] = []
        self.waiting = 0
        self._canary = canary.encode()
        self._open = asyncio.Event()
        self._open.set()

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await super().start()

    def hold(self) -> None:
        """Answer no final dot until `release`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        """Answer those who wait."""
        self._loop.call_soon_threadsafe(self._open.set)

    def times(self, message: str, recipient: str) -> int:
        """How often that recipient got that message."""
        return sum(
            arrival.message == message and recipient in arrival.recipients
            for arrival in tuple(self.arrivals)
        )

    async def reply_to(self, step: str, usual: str) -> bytes:
        if step == "DOT":
            self.waiting += 1
            await self._open.wait()
            self.waiting -= 1
        reply = await super().reply_to(step, usual)
        self.steps.clear()  # a soak is long
        return reply

    async def keep(self, message: SinkMessage) -> None:
        found = _MESSAGE_ID.search(message.content)
        self.arrivals.append(
            Arrival(
                message=found[1].decode() if found else "",
                recipients=tuple(text.split()[0].strip("<>") for text in message.recipients),
                readable=is_readable(self._canary, message.content),
            )
        )
