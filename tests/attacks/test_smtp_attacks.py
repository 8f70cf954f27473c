"""Smuggling and fuzz against the real listener: one reply, nothing executed, nothing delivered."""

from __future__ import annotations

import asyncio
import random

import pytest

from smimegw.limits import Limits
from tests.fakes.reception import FakeReception
from tests.protocol.raw_client import Client, place, run
from tests.protocol.test_listener import LOOPBACK

SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@corp.example>\r\nDATA\r\nSubject: y\r\n"
FAKE_ENDS = {
    "A01-LF-dot-LF": b"\n.\n",
    "LF-dot-CRLF": b"\n.\r\n",
    "A03-CRLF-dot-LF": b"\r\n.\n",
    "A05-CRLF-dot-CR": b"\r\n.\r",
    "CR-dot-CR": b"\r.\r",
    "CR-dot-CRLF": b"\r.\r\n",
    "CRLF-dot-CR-CRLF": b"\r\n.\r\r\n",
    "CR-CRLF-dot-CRLF": b"\r\r\n.\r\n",
    "A07-CRLF-NUL-dot-CRLF": b"\r\n\0.\r\n",
    "A07-CRLF-dot-NUL-CRLF": b"\r\n.\0\r\n",
    "CR-NUL-LF-dot-CRLF": b"\r\0\n.\r\n",
}
# After its bare CR this one holds a true CRLF . CRLF: that is where the data ends.
ENDS_TRULY = {"CR-CRLF-dot-CRLF"}


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("name", FAKE_ENDS)
def test_fake_end_of_data_is_refused_once(name: str, step: int) -> None:
    """One 550 5.5.2 at the true end; the smuggled commands are content (cases A01-A07, R-53)."""
    wire = b"Subject: x\r\n\r\nfirst" + FAKE_ENDS[name]
    if name not in ENDS_TRULY:
        wire += SMUGGLED + b"\r\n.\r\n"

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            for start in range(0, len(wire), step):
                await client.send(wire[start : start + step])
            await client.send(b"NOOP\r\n")
            assert await client.reply() == "550 5.5.2 bare CR or LF"
            assert await client.reply() == "250 2.0.0 OK"
            assert len(here.reception.begun) == 1
            assert not here.reception.finished
            assert here.reception.begun[0].abandoned == 1

    run(test())


STATES = {
    "connected": [],
    "greeted": ["EHLO client.example"],
    "mail": ["EHLO client.example", "MAIL FROM:<a@corp.example>"],
    "rcpt": ["EHLO client.example", "MAIL FROM:<a@corp.example>", "RCPT TO:<b@corp.example>"],
    "data": [
        "EHLO client.example",
        "MAIL FROM:<a@corp.example>",
        "RCPT TO:<b@corp.example>",
        "DATA",
    ],
    "auth": ["EHLO client.example", "AUTH LOGIN"],
}
WORDS = [
    b"MAIL FROM:", b"RCPT TO:", b"DATA", b"RSET", b"EHLO ", b"HELO ", b"LHLO ", b"AUTH PLAIN ",
    b"NOOP", b"VRFY ", b"HELP", b"XFORWARD ", b"STARTTLS", b"<a@b.example>", b"<>", b"<", b'"',
    b">", b"\\", b"\r\n", b"\r\n.\r\n", b"\n", b"\r", b"\0", b" SIZE=", b" SMTPUTF8",
    b" BODY=8BITMIME",
    b"99999999999999999999", b"\xff\xfe", "ü@ü.example".encode(), b"A" * 3000, b"=", b"+0A", b" ",
    b" NOTIFY=NEVER", b" ORCPT=rfc822;", b"(", b"@", b"[IPv6:::1]", b"IDENT=x",
    b"XCLIENT ", b"ADDR=", b"127.0.0.1", b"BDAT 5 LAST", b"PROXY TCP4 ",
    b"\r\n\r\n\0\r\nQUIT\n!\x11",
]  # fmt: skip


async def _whatever(client: Client) -> int:
    """Read until the server closes; every line must look like a reply."""
    lines = (await client.rest()).split(b"\r\n")
    assert lines.pop() == b""
    for line in lines:
        assert line[:3].isdigit()
        assert line[3:4] in {b" ", b"-"}
        assert all(32 <= octet < 127 for octet in line)
    return len(lines)


@pytest.mark.parametrize("state", STATES)
def test_random_input_gets_replies_or_a_close(state: str) -> None:
    """Mutated commands in six states of the session: never silence, never a trace (case A26)."""
    chance = random.Random(state)  # a fixed seed: a failure repeats

    async def one(client: Client) -> None:
        await client.reply()
        for line in STATES[state]:
            await client.say(line)
        octets = b"".join(
            chance.choice(WORDS) if chance.random() < 0.9 else chance.randbytes(5)
            for _ in range(chance.randrange(1, 40))
        )
        # What is left open inside data or a line ends here.
        await client.send(octets + b"\r\n.\r\nQUIT\r\nQUIT\r\nQUIT\r\n")
        client.writer.write_eof()
        assert await _whatever(client) >= 1

    async def test() -> None:
        limits = Limits(auth_delay_seconds=0, drain_seconds=5)
        options = {"auth": state == "auth", "xclient_from": LOOPBACK, "xforward_from": LOOPBACK}
        async with place(FakeReception(users={"a": "b"}), limits, **options) as here:
            for _ in range(120):
                client = await here.connect()
                try:
                    await one(client)
                finally:
                    await client.close()
            assert not here.events.named("internal.error")
            assert all(t.abandoned or t in here.reception.finished for t in here.reception.begun)

    run(test())


def test_flood_of_connections_leaves_nothing_behind() -> None:
    """300 clients that come and go; the listener serves the next one (O01, O07, small)."""

    async def test() -> None:
        limits = Limits(sessions=50, sessions_per_peer=50, drain_seconds=5)
        async with place(limits=limits) as here:

            async def visit(number: int) -> str:
                client = await here.connect()
                reply = await client.reply()
                if number % 3 == 0:
                    client.writer.transport.abort()
                else:
                    await client.close()
                return reply[:3]

            codes = await asyncio.gather(*(visit(number) for number in range(300)))
            assert set(codes) <= {"220", "421"}
            client = await here.connect()
            while not (await client.reply()).startswith("220"):
                client = await here.connect()
            assert (await client.say("NOOP")).startswith("250")

    run(test())
