"""A client that sends octets as they are, and a listener with a fake reception, for one test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from smimegw.adapters.smtp.listener import Listener
from smimegw.adapters.smtp.settings import ListenerSettings
from smimegw.content import MEMORY, Store
from smimegw.limits import Limits
from smimegw.smtp.roles import ListenerRole
from tests.fakes.reception import FakeEvents, FakeReception

PATIENCE = 10.0  # no answer at all within this is a failure, never a synchronisation


class Client:
    """One connection; replies come back whole, as text with `\\n` between lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
        )
        return cls(reader, writer)

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> str:
        async with asyncio.timeout(PATIENCE):
            lines = []
            while True:
                line = await self.reader.readline()
                if not line:
                    raise EOFError(lines)
                assert line.endswith(b"\r\n")
                lines.append(line[:-2].decode("ascii"))
                if line[3:4] == b" ":
                    return "\n".join(lines)

    async def replies(self, count: int) -> list[str]:
        return [await self.reply() for _ in range(count)]

    async def say(self, command: str | bytes) -> str:
        octets = command.encode() if isinstance(command, str) else command
        await self.send(octets + b"\r\n")
        return await self.reply()

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def start_tls(self, context: ssl.SSLContext) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.writer.start_tls(context, server_hostname="localhost")
        self.reader._transport = self.writer.transport  # type: ignore[attr-defined]

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@dataclass
class Place:
    """A listener and what stands behind it."""

    listener: Listener
    reception: FakeReception
    events: FakeEvents
    clients: list[Client]

    async def connect(self, **options: Any) -> Client:
        client = await Client.connect(self.listener.port, **options)
        self.clients.append(client)
        return client

    async def greeted(self, hello: str = "EHLO client.example", **options: Any) -> Client:
        client = await self.connect(**options)
        assert (await client.reply()).startswith("220 ")
        assert (await client.say(hello)).startswith("250")
        return client

    async def in_data(self) -> Client:
        client = await self.greeted()
        assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
        assert (await client.say("RCPT TO:<b@partner.example>")).startswith("250")
        assert (await client.say("DATA")).startswith("354")
        return client


@contextlib.asynccontextmanager
async def place(
    reception: FakeReception | None = None,
    limits: Limits | None = None,
    store: Store = MEMORY,
    **settings: Any,
) -> AsyncIterator[Place]:
    """Start a listener; after the test everything it made must be gone."""
    reception, events = reception or FakeReception(), FakeEvents()
    settings = {"name": "test", "role": ListenerRole.MX, "hostname": "gw.corp.example"} | settings
    listener = Listener(
        ListenerSettings(**settings),
        reception,
        limits or Limits(drain_seconds=5),
        events,
        store=store,
    )
    await listener.start()
    here = Place(listener, reception, events, [])
    try:
        yield here
    finally:
        for client in here.clients:
            await client.close()
        await listener.drain()
    assert listener.sessions == 0


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run one test to its end; nothing may be left on the loop."""

    async def whole() -> None:
        await test
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, "tasks leaked"

    asyncio.run(whole())
