"""A running gateway whose database goes away and comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import smtplib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.care import DatabaseCare
from smimegw.adapters.database.schema import candidates, correspondents, sightings
from smimegw.adapters.database.sightings import DatabaseSightings
from smimegw.adapters.smtp.sink import Sink
from smimegw.config.load import load
from smimegw.limits import DEFAULT_LIMITS
from smimegw.memory import SightingKind
from smimegw.server import Server
from tests.fakes.clock import SetClock
from tests.fakes.company import POLICY, message
from tests.fakes.pki import DAY, NOW, make_ca
from tests.fakes.ports import ListedEvents
from tests.flow.protected import signed
from tests.peers.ports import free_port, wait_until
from tests.peers.postgres import Postgres

ALICE, BOB = "alice@ours.example", "bob@partner.example"

# --- what it says --------------------------------------------------------------------------------


def care_of(database: Database, events: ListedEvents, clock: SetClock) -> DatabaseCare:
    return DatabaseCare(database, 400 * DAY, events=events, clock=clock, limits=DEFAULT_LIMITS)


def test_trouble_and_its_end_are_told_once(postgres: Postgres) -> None:
    """Not a line every ten seconds (R-22)."""
    events, database = ListedEvents(), Database(postgres.create_database(), deadline_seconds=10)
    care = care_of(database, events, SetClock())

    async def look(times: int) -> str:
        for _ in range(times):
            await care.look()
        return care.trouble

    async def work() -> None:
        assert await look(2) == ""
        postgres.stop()
        assert "is the server running" in await look(2)
        postgres.start()
        assert await look(2) == ""
        await database.close()

    asyncio.run(work())
    assert [name for name, _ in events.emitted] == ["memory.error", "memory.recovered"]


def test_old_things_are_forgotten_once_an_hour(tmp_path: Path) -> None:
    """The first look does it, and then not every ten seconds."""
    events, clock = ListedEvents(), SetClock()
    database = Database(str(tmp_path / "smimegw.db"), deadline_seconds=10)
    care, register = care_of(database, events, clock), DatabaseSightings(database)

    async def see(number: int) -> None:
        digest = bytes([number]) * 32
        await register.first_seen(SightingKind.SIGNATURE, [digest], BOB, NOW - 500 * DAY)

    async def work() -> list[int]:
        counts = []
        for number, minutes in enumerate((0, 30, 31)):
            await see(number)
            clock.advance(timedelta(minutes=minutes))
            await care.look()
            counts.append(len(events.named("memory.forgotten")))
        await database.close()
        return counts

    assert asyncio.run(work()) == [1, 1, 2]


# --- what the gateway does -----------------------------------------------------------------------


class Gateway:
    """A real gateway with a PostgreSQL database, and a next hop behind it."""

    def __init__(self, directory: Path, database: str, next_hop: int) -> None:
        self.port, self.status = free_port(), free_port()
        ca = make_ca("Care CA")
        self.bob = ca.issue(BOB, key="p256")
        (directory / "ca.pem").write_bytes(ca.certificate.parsed.public_bytes(Encoding.PEM))
        (directory / "crl.der").write_bytes(ca.crl())
        (directory / "kek").write_bytes(base64.b64encode(bytes(32)))
        (directory / "policies").mkdir()
        (directory / "policies" / "all.toml").write_text(POLICY)
        (directory / "smimegw.toml").write_text(
            f"""\
version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "state"
[listener.mx]
address = "127.0.0.1:{self.port}"
[next_hop.in]
address = "127.0.0.1:{next_hop}"
tls = {{ mode = "none" }}
[trust]
anchors = ["ca.pem"]
crls = ["crl.der"]
[keystore]
key_encryption_key = {{ file = "kek" }}
[database]
url = "{database}"
[[directory]]
kind = "embedded"
path = "own.db"
[metrics]
address = "127.0.0.1:{self.status}"
[policies]
path = "policies"
[limits]
database_probe_seconds = 0.05
disk_free_octets = 1
disk_free_inodes = 1
"""
        )
        (directory / "state").mkdir()
        self.server = Server(load(directory / "smimegw.toml"))

    def ready(self) -> tuple[bool, str]:
        """What the status port says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/ready") as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                answer = json.loads(error.read())
        return answer["ready"], " ".join(answer["reasons"])

    def send(self, content: bytes) -> int:
        """The code of the reply to a mail from Bob."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
            client.ehlo()
            client.mail(BOB)
            client.rcpt(ALICE)
            return client.data(content)[0]

    def signed(self) -> bytes:
        return signed(message(BOB, ALICE), self.bob)


@asynccontextmanager
async def running(tmp_path: Path, database: str) -> AsyncIterator[tuple[Gateway, Sink]]:
    root = logging.getLogger()
    handlers = list(root.handlers)
    sink = Sink()
    await sink.start()
    try:
        gateway = Gateway(tmp_path, database, sink.port)
        task = asyncio.create_task(gateway.server.run())
        try:
            yield gateway, sink
        finally:
            gateway.server.stop("test")
            await task
    finally:
        await sink.stop()
        root.handlers[:] = handlers


async def _until(gateway: Gateway, *, is_ready: bool) -> str:
    found = ""

    def reached() -> bool:
        nonlocal found
        try:
            ready, found = gateway.ready()
        except OSError:
            return False  # it does not listen yet
        return ready is is_ready

    await asyncio.to_thread(wait_until, reached, f"ready: {is_ready}", seconds=60)
    return found


def test_a_gateway_without_its_database_says_so_and_recovers(
    postgres: Postgres, tmp_path: Path
) -> None:
    """/ready names the reason; signed mail waits, other mail flows; then all is well (R-22)."""

    async def work() -> None:
        async with running(tmp_path, postgres.create_database()) as (gateway, sink):
            await _until(gateway, is_ready=True)
            postgres.stop()
            try:
                assert "is the server running" in await _until(gateway, is_ready=False)
                assert await asyncio.to_thread(gateway.send, gateway.signed()) == 451
                assert await asyncio.to_thread(gateway.send, message(BOB, ALICE)) == 250
            finally:
                postgres.start()
            await _until(gateway, is_ready=True)
            assert await asyncio.to_thread(gateway.send, gateway.signed()) == 250
            assert len(await sink.wait_for(2)) == 2

    asyncio.run(work())


def test_a_gateway_starts_without_its_database(postgres: Postgres, tmp_path: Path) -> None:
    """Both may start after the same power cut (R-22)."""
    url = postgres.create_database()

    async def work() -> None:
        async with running(tmp_path, url) as (gateway, _):
            try:
                assert "is the server running" in await _until(gateway, is_ready=False)
            finally:
                postgres.start()
            await _until(gateway, is_ready=True)
            assert await asyncio.to_thread(gateway.send, gateway.signed()) == 250

    postgres.stop()
    asyncio.run(work())


def test_what_a_real_gateway_learned_is_in_its_database(postgres: Postgres, tmp_path: Path) -> None:
    """Capabilities and the certificate, by mail over SMTP."""
    url = postgres.create_database()

    async def work() -> None:
        async with running(tmp_path, url) as (gateway, _):
            await _until(gateway, is_ready=True)
            assert await asyncio.to_thread(gateway.send, gateway.signed()) == 250

    asyncio.run(work())
    engine = Database(url).open()
    with engine.connect() as connection:
        counts = {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for table in (correspondents, candidates, sightings)
        }
    engine.dispose()
    assert counts == {"correspondents": 1, "candidates": 1, "sightings": 1}
