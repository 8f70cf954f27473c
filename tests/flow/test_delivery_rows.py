"""The exact replies of delivery, on the wire: a real listener, relay, ledger and journal.

The next hop is a script; each test's docstring names the row of the table in docs/failures.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from smimegw.adapters.database.access import Database
from smimegw.adapters.database.ledger import DatabaseLedger
from smimegw.adapters.journal.file import FileJournal
from smimegw.adapters.smtp.listener import Listener
from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.adapters.smtp.settings import ListenerSettings, NextHopSettings
from smimegw.limits import Limits
from smimegw.pipeline.admit import Gateway
from smimegw.smtp.roles import ListenerRole
from tests.fakes.company import Company, message
from tests.fakes.scripted_sink import CLOSE, HANG, ScriptedSink, scripted_sink
from tests.protocol.raw_client import Client

ALICE, BOB, PLAIN = "alice@ours.example", "bob@partner.example", "plain@else.example"
PATIENT = Limits(next_hop_seconds=20)
_TXN = re.compile(r"\b[0-9A-Za-z]{14}\b")
Test = Callable[[ScriptedSink, Client], Awaitable[None]]


@pytest.fixture(scope="module")
def company() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    company.partner(BOB, key="p256")
    return company


@contextlib.asynccontextmanager
async def node(
    company: Company,
    sink: ScriptedSink,
    here: Path,
    limits: Limits = PATIENT,
    *,
    lmtp: bool = False,
) -> AsyncIterator[Client]:
    """One gateway and a client that was greeted."""
    relay = SMTPRelay(
        {"out": NextHopSettings(host="127.0.0.1", port=sink.port, lmtp=sink.lmtp)},
        hostname="gw.ours.example",
        limits=limits,
    )
    database = Database(str(here / "ledger.db"), deadline_seconds=20)
    journal = FileJournal(here / f"dots-{id(relay)}.jsonl")
    ports = replace(
        company.world.ports, relay=relay, ledger=DatabaseLedger(database), journal=journal
    )
    listener = Listener(
        ListenerSettings(name="relay", role=ListenerRole.RELAY, next_hop="out", lmtp=lmtp),
        Gateway(company.gateway.policy, ports, replace(company.settings, limits=limits)),
        limits,
        company.world.events,
    )
    await listener.start()
    client = await Client.connect(listener.port)
    await client.reply()
    await client.say("LHLO client.example" if lmtp else "EHLO client.example")
    try:
        yield client
    finally:
        client.writer.close()
        await listener.drain()
        await relay.aclose()
        await journal.close()
        await database.close()


async def send(client: Client, *recipients: str, replies: int = 1) -> list[str]:
    """One message; what is said after its dot, transaction ids replaced."""
    assert (await client.say(f"MAIL FROM:<{ALICE}>"))[:3] == "250"
    for recipient in recipients:
        assert (await client.say(f"RCPT TO:<{recipient}>"))[:3] == "250"
    assert (await client.say("DATA"))[:3] == "354"
    await client.send(message(ALICE, ", ".join(recipients)) + b".\r\n")
    return [_TXN.sub("<t>", text) for text in await client.replies(replies)]


def against(
    company: Company,
    here: Path,
    script: dict[str, Sequence[str | bytes | None]],
    test: Test,
    limits: Limits = PATIENT,
) -> None:
    """Run *test* with a node in front of a next hop that plays *script*."""

    async def main() -> None:
        async with scripted_sink(script) as sink, node(company, sink, here, limits) as client:
            await test(sink, client)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("250 2.0.0 queued", "250 2.0.0 OK <t>"),
        ("452 4.3.1 full", "451 4.3.1 deferred by the next hop, try later"),
        ("550 5.7.1 spam", "554 5.7.1 refused by the next hop"),
    ],
)
def test_one_group(company: Company, tmp_path: Path, said: str, told: str) -> None:
    """N-01: the reply is mirrored by class (D17)."""

    async def test(_: ScriptedSink, client: Client) -> None:
        assert await send(client, PLAIN) == [told]

    against(company, tmp_path, {"DOT": [said]}, test)


def test_one_of_several_recipients_refused(company: Company, tmp_path: Path) -> None:
    """N-02: that one at once, the others go on (D01, D03)."""
    script = {"RCPT": ["250 ok", "550 5.1.1 who", "452 4.2.2 full", "250 ok"]}

    async def test(sink: ScriptedSink, client: Client) -> None:
        await client.say(f"MAIL FROM:<{ALICE}>")
        people = ["a@else.example", "b@else.example", "c@else.example", "d@else.example"]
        codes = [(await client.say(f"RCPT TO:<{name}>"))[:9] for name in people]
        assert codes == ["250 2.1.5", "550 5.1.1", "452 4.2.2", "250 2.1.5"]
        await client.say("DATA")
        await client.send(message(ALICE, people[0]) + b".\r\n")
        assert (await client.reply())[:3] == "250"
        [arrived] = await sink.wait_for(1)
        assert len(arrived.recipients) == 2

    against(company, tmp_path, script, test)


def test_all_recipients_refused(company: Company, tmp_path: Path) -> None:
    """N-03: told at DATA."""

    async def test(_: ScriptedSink, client: Client) -> None:
        await client.say(f"MAIL FROM:<{ALICE}>")
        await client.say(f"RCPT TO:<{PLAIN}>")
        assert await client.say("DATA") == "554 5.5.1 no valid recipients"

    against(company, tmp_path, {"RCPT": ["550 5.1.1 who"]}, test)


def test_all_recipients_refused_one_for_now(company: Company, tmp_path: Path) -> None:
    """N-03: whoever only reads the reply to DATA comes again."""

    async def test(_: ScriptedSink, client: Client) -> None:
        await client.say(f"MAIL FROM:<{ALICE}>")
        await client.say(f"RCPT TO:<{PLAIN}>")
        await client.say(f"RCPT TO:<{BOB}>")
        assert await client.say("DATA") == "451 4.5.1 no recipient can be taken now, try later"

    against(company, tmp_path, {"RCPT": ["550 5.1.1 who", "452 4.2.2 full"]}, test)


def test_next_hop_that_cannot_be_asked_bounces_no_international_mail(
    company: Company, tmp_path: Path
) -> None:
    """N-04: what needs SMTPUTF8 is deferred as well; not offered it would be bounced."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        await sink.stop()
        assert "SMTPUTF8" in await client.say("EHLO client.example")
        await client.say("MAIL FROM:<ålice@ours.example> SMTPUTF8")
        reply = await client.say(f"RCPT TO:<{PLAIN}>")
        assert reply == "451 4.4.1 next hop not reachable, try later"

    against(company, tmp_path, {"CONNECT": [CLOSE]}, test)


def test_next_hop_breaks_off_among_recipients(company: Company, tmp_path: Path) -> None:
    """N-06: whom it took before is neither bounced nor forgotten."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        await client.say(f"MAIL FROM:<{ALICE}>")
        people = ["a@else.example", "b@else.example", "c@else.example"]
        codes = [(await client.say(f"RCPT TO:<{name}>"))[:9] for name in people]
        assert codes == ["250 2.1.5", "451 4.4.1", "451 4.4.2"]
        await client.say("DATA")
        await client.send(message(ALICE, people[0]) + b".\r\n")
        assert await client.reply() == "451 4.4.2 next hop broke off, try later"
        assert sink.messages == []
        assert (await send(client, *people))[0].startswith("250")
        [arrived] = await sink.wait_for(1)
        assert len(arrived.recipients) == 3

    against(company, tmp_path, {"RCPT": ["250 ok", CLOSE]}, test)


def test_next_hop_not_there(company: Company, tmp_path: Path) -> None:
    """N-04: told at the first RCPT."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        await sink.stop()
        await client.say(f"MAIL FROM:<{ALICE}>")
        reply = await client.say(f"RCPT TO:<{PLAIN}>")
        assert reply == "451 4.4.1 next hop not reachable, try later"

    against(company, tmp_path, {}, test)


def test_next_hop_dies_before_any_dot(company: Company, tmp_path: Path) -> None:
    """N-06: 354, then closed; nothing delivered (D05)."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        assert await send(client, PLAIN) == ["451 4.4.2 next hop broke off, try later"]
        assert sink.messages == []

    against(company, tmp_path, {"DATA": [CLOSE]}, test)


def test_dot_without_reply(company: Company, tmp_path: Path) -> None:
    """N-08: in doubt, logged with recipient and Message-ID."""
    company.world.events.emitted.clear()

    async def test(_: ScriptedSink, client: Client) -> None:
        assert await send(client, PLAIN) == ["451 4.4.2 outcome unknown, send again"]
        [doubt] = company.world.events.named("delivery.in_doubt")
        assert (doubt["to"], doubt["message-id"]) == (PLAIN, "<1@test>")

    against(company, tmp_path, {"DOT": [CLOSE]}, test)


def test_a_silent_next_hop_is_in_doubt_in_time(company: Company, tmp_path: Path) -> None:
    """N-08: one clock for the whole reply (D08)."""

    async def test(_: ScriptedSink, client: Client) -> None:
        assert await send(client, PLAIN) == ["451 4.4.2 outcome unknown, send again"]

    limits = replace(PATIENT, outbound_reply_seconds=5.0)
    against(company, tmp_path, {"DOT": [HANG]}, test, limits)


def test_the_canary_is_refused(company: Company, tmp_path: Path) -> None:
    """N-07: nobody else gets his copy, either (D10)."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        assert (await send(client, BOB, PLAIN))[0].startswith("451 4.3.1")
        assert sink.messages == []

    against(company, tmp_path, {"DOT": ["452 4.3.1 full"]}, test)


def test_a_retry_on_another_node_completes(company: Company, tmp_path: Path) -> None:
    """N-10, N-15: two nodes, one database, everybody exactly once."""

    async def main() -> None:
        async with scripted_sink({"DOT": ["250 2.0.0 ok", "452 4.3.1 full"]}) as sink:
            async with node(company, sink, tmp_path) as client:
                first = await send(client, BOB, PLAIN)
            async with node(company, sink, tmp_path) as client:
                second = await send(client, BOB, PLAIN)
                third = await send(client, BOB, PLAIN)
            assert first == ["451 4.3.1 delivered to 1 of 2, send again to finish <t>"]
            assert second == ["250 2.0.0 OK <t>"]
            assert third == ["250 2.0.0 already accepted <t>"]
            got = [entry.recipients for entry in sink.messages]
            # the first was refused with its content, which the sink keeps nothing of
            assert sorted(got) == [(f"<{BOB}>",), (f"<{PLAIN}>",)]

    asyncio.run(main())


def test_somebody_is_refused_after_the_canary(company: Company, tmp_path: Path) -> None:
    """N-11: 250, and the report is in the sender's mail (D12)."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        assert await send(client, BOB, PLAIN) == ["250 2.0.0 OK <t>"]
        report = sink.messages[-1]
        assert report.reverse_path.startswith("<>")
        assert report.recipients == (f"<{ALICE}>",)
        assert f"Final-Recipient: rfc822; {PLAIN}".encode() in report.content

    against(company, tmp_path, {"DOT": ["250 2.0.0 ok", "550 5.7.1 no", "250 ok"]}, test)


def test_lmtp_on_both_sides(company: Company, tmp_path: Path) -> None:
    """N-12: each recipient exactly its own outcome (D19)."""
    people = [PLAIN, "p2@else.example", "p3@else.example"]

    async def main() -> None:
        script = {"DOT": ["250 2.0.0 ok", "452 4.3.1 full", "550 5.7.1 no"]}
        async with (
            scripted_sink(script, lmtp=True) as sink,
            node(company, sink, tmp_path, lmtp=True) as client,
        ):
            replies = await send(client, *people, replies=3)
            assert [reply[:9] for reply in replies] == ["250 2.0.0", "451 4.3.1", "554 5.7.1"]

    asyncio.run(main())


def test_client_that_never_read_its_250_is_known(company: Company, tmp_path: Path) -> None:
    """N-15: its machine took the reply and it died; the retry gets no second copy (RFC 1047)."""

    async def main() -> None:
        company.world.events.emitted.clear()
        async with scripted_sink({}) as sink:
            async with node(company, sink, tmp_path) as client:
                await client.say(f"MAIL FROM:<{ALICE}>")
                await client.say(f"RCPT TO:<{PLAIN}>")
                await client.say("DATA")
                wire = client.writer.get_extra_info("socket")
                client.writer.transport.pause_reading()
                await client.send(message(ALICE, PLAIN) + b".\r\n")
                with socket.socket(fileno=os.dup(wire.fileno())) as same:
                    while not select.select([same], [], [], 0)[0]:
                        await asyncio.sleep(0)  # the reply is on its way to this very process
                client.writer.transport.abort()  # with the reply unread
                async with asyncio.timeout(20):
                    while not company.world.events.named("delivery.untold"):
                        await asyncio.sleep(0)
            async with node(company, sink, tmp_path) as again:
                assert await send(again, PLAIN) == ["250 2.0.0 already accepted <t>"]
            assert len(sink.messages) == 1

    asyncio.run(main())


def test_client_that_vanished_without_a_word_is_known(company: Company, tmp_path: Path) -> None:
    """N-15: its connection stands until the idle time is over; the retry comes before."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        assert await send(client, PLAIN) == ["250 2.0.0 OK <t>"]
        again = await Client.connect(client.writer.get_extra_info("peername")[1])
        await again.reply()
        await again.say("EHLO client.example")
        assert await send(again, PLAIN) == ["250 2.0.0 already accepted <t>"]
        await again.close()
        assert len(sink.messages) == 1

    against(company, tmp_path, {}, test)


@pytest.mark.parametrize("farewell", [b"QUIT\r\n", b"NOOP\r\n", b""])
def test_client_that_read_its_250_is_not_in_the_ledger(
    company: Company, tmp_path: Path, farewell: bytes
) -> None:
    """N-15: with and without a good-bye; nothing is told to nobody."""

    async def test(sink: ScriptedSink, client: Client) -> None:
        company.world.events.emitted.clear()
        assert await send(client, PLAIN) == ["250 2.0.0 OK <t>"]
        await client.send(farewell)
        client.writer.write_eof()
        await client.rest()
        assert company.world.events.named("delivery.untold") == []
        assert len(sink.messages) == 1

    against(company, tmp_path, {}, test)


def test_client_gone_after_the_canary(company: Company, tmp_path: Path) -> None:
    """N-23: the commit runs to its end, and the retry is answered from the ledger."""

    async def main() -> None:
        async with scripted_sink() as sink:
            async with node(company, sink, tmp_path) as client:
                await client.say(f"MAIL FROM:<{ALICE}>")
                for name in (BOB, PLAIN):
                    await client.say(f"RCPT TO:<{name}>")
                await client.say("DATA")
                sink.script["DOT"] = ["250 2.0.0 ok", "250 2.0.0 ok"]
                await client.send(message(ALICE, f"{BOB}, {PLAIN}") + b".\r\n")
                await sink.wait_for(1)
                client.writer.transport.abort()
                await sink.wait_for(2)
            async with node(company, sink, tmp_path) as client:
                assert await send(client, BOB, PLAIN) == ["250 2.0.0 already accepted <t>"]
            assert len(sink.messages) == 2

    asyncio.run(main())
