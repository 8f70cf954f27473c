"""Many clients at once through real sockets: every message arrives once, no task is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import smtplib
from collections import Counter
from dataclasses import replace

import pytest

from smimegw.adapters.pool.worker import ThreadWorkers
from smimegw.adapters.smtp.listener import Listener
from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.adapters.smtp.settings import ListenerSettings, NextHopSettings
from smimegw.adapters.smtp.sink import Sink
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.smtp.roles import ListenerRole
from tests.fakes.company import Company, message

ALICE = "alice@ours.example"
CLIENTS = 20
MESSAGES = 15

# The collector below holds up the event loop on purpose, so that it would take no new mail (O11).
LIMITS = replace(DEFAULT_LIMITS, loop_lag_seconds=60.0)


def _client(port: int, number: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
        for index in range(MESSAGES):
            bob = f"bob{number % 3}@partner.example"
            token = f"token-{number}-{index}"
            client.sendmail(ALICE, [bob], message(ALICE, bob, subject=token))


async def _run(company: Company) -> list[str]:
    sink = Sink("127.0.0.1")
    await sink.start()
    relay = SMTPRelay(
        {"out": NextHopSettings(host="127.0.0.1", port=sink.port)},
        hostname="gw.ours.example",
        limits=DEFAULT_LIMITS,
    )
    workers = ThreadWorkers(2)
    assert company.gateway.policy is not None
    ports = replace(company.world.ports, relay=relay, workers=workers)
    listener = Listener(
        ListenerSettings(name="relay", role=ListenerRole.RELAY, next_hop="out"),
        Gateway(company.gateway.policy, ports, company.settings),
        LIMITS,
        company.world.events,
    )
    await listener.start()
    sending = [asyncio.to_thread(_client, listener.port, number) for number in range(CLIENTS)]
    collecting = asyncio.create_task(_collect())
    try:
        await asyncio.gather(*sending)
    finally:
        collecting.cancel()
        await listener.drain()
        await relay.aclose()
        await workers.close()
        await sink.stop()
    return [
        Entity.parse(arrived.content).header.all("subject")[0].body.decode()
        for arrived in sink.messages
    ]


async def _collect() -> None:
    """Run the collector all the time: it finds tasks that nobody holds."""
    while True:
        gc.collect()
        await asyncio.sleep(0.02)


def test_every_message_arrives_exactly_once(caplog: pytest.LogCaptureFixture) -> None:
    """20 clients with 15 messages each; the event loop itself holds tasks weakly."""
    company = Company()
    company.user(ALICE, key="p256")
    for number in range(3):
        company.partner(f"bob{number}@partner.example", key="p256")
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        arrived = asyncio.run(_run(company))
    assert Counter(arrived) == Counter(
        f"token-{number}-{index}" for number in range(CLIENTS) for index in range(MESSAGES)
    )
    assert [record.message for record in caplog.records] == []
