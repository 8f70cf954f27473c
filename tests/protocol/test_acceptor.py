"""Closing the door does not catch anybody's foot in it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import cast

import pytest

from smimegw.adapters.smtp.acceptor import Acceptor
from smimegw.adapters.smtp.settings import ListenerSettings
from smimegw.limits import DEFAULT_LIMITS
from smimegw.smtp.roles import ListenerRole
from tests.fakes.reception import FakeEvents

LOOPS = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": importlib.import_module("uvloop").new_event_loop,
}


class Caught(asyncio.Protocol):
    """A session that begins in the moment in which the listener is closed."""

    def __init__(self) -> None:
        self.acceptor: Acceptor | None = None
        self.closing: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        assert self.acceptor
        self.closing = asyncio.get_running_loop().create_task(self.acceptor.close())

    def data_received(self, data: bytes) -> None:
        cast("asyncio.WriteTransport", self.transport).write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_session_that_begins_while_the_listener_closes_is_whole(loop: str) -> None:
    """It still has its socket, so that it can be told 421 and noticed when it ends (C39)."""

    async def scenario() -> bytes:
        session = Caught()
        settings = ListenerSettings(
            name="relay", role=ListenerRole.RELAY, host="127.0.0.1", port=0, hostname="gw.example"
        )
        acceptor = Acceptor(settings, DEFAULT_LIMITS, FakeEvents(), lambda _: session)
        session.acceptor = acceptor
        await acceptor.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
        writer.write(b"alive")
        async with asyncio.timeout(20):
            answer = await reader.readexactly(5)
            writer.close()
            await session.lost.wait()
            assert session.closing
            await session.closing
        return answer

    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(scenario()) == b"ALIVE"
