"""XCLIENT: only who is named may speak in the name of others, and then it is theirs in full."""

from __future__ import annotations

import ipaddress

import pytest

from smimegw.limits import Limits
from tests.protocol.raw_client import place, run

EDGE = (ipaddress.ip_network("127.0.0.0/8"),)
OTHERS = (ipaddress.ip_network("192.0.2.0/24"),)


def test_offer_and_effect() -> None:
    """A new greeting is the answer; then the client's address and name count."""

    async def test() -> None:
        async with place(xclient_from=EDGE) as here:
            client = await here.greeted()
            assert "XCLIENT NAME ADDR PORT PROTO HELO" in await client.say("EHLO edge.example")
            command = "XCLIENT ADDR=198.51.100.7 NAME=[UNAVAILABLE] HELO=far.example PROTO=ESMTP"
            assert (await client.say(command)).startswith("220 ")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("503")
            assert (await client.say("EHLO edge.example")).startswith("250")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            session = here.reception.begun[0].session
            assert (session.peer, session.helo) == ("198.51.100.7", "far.example")
            connected = here.events.named("session.connected")
            assert [said["client"] for said in connected] == ["127.0.0.1", "198.51.100.7"]

    run(test())


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("IPV6:2001:DB8::7", "2001:db8::7"),
        ("IPv6:::ffff:198.51.100.7", "198.51.100.7"),
        ("[UNAVAILABLE]", ""),
    ],
)
def test_address_forms(address: str, peer: str) -> None:
    """An address that is not known is nobody's, never that of the server (XCLIENT_README)."""

    async def test() -> None:
        async with place(xclient_from=EDGE) as here:
            client = await here.greeted()
            assert (await client.say(f"XCLIENT ADDR={address}")).startswith("220 ")
            assert here.events.named("session.connected")[-1]["client"] == peer

    run(test())


def test_who_is_not_named_is_not_believed() -> None:
    """Neither offered nor obeyed."""

    async def test() -> None:
        async with place(xclient_from=OTHERS, peers=EDGE) as here:
            client = await here.greeted()
            assert "XCLIENT" not in await client.say("EHLO client.example")
            assert (await client.say("XCLIENT ADDR=192.0.2.1")).startswith("550 5.7.1")

    run(test())


def test_client_cannot_hand_the_right_on() -> None:
    """After XCLIENT it is the client who speaks, and it was not named."""

    async def test() -> None:
        async with place(xclient_from=EDGE) as here:
            client = await here.greeted()
            assert (await client.say("XCLIENT ADDR=198.51.100.7")).startswith("220 ")
            assert (await client.say("XCLIENT ADDR=127.0.0.1")).startswith("550 5.7.1")

    run(test())


def test_client_that_may_not_connect_is_turned_away() -> None:
    """`peers` is about the client."""

    async def test() -> None:
        async with place(xclient_from=EDGE, peers=EDGE) as here:
            client = await here.greeted()
            assert await client.say("XCLIENT ADDR=198.51.100.7") == "554 5.7.1 access denied"
            assert await client.rest() == b""

    run(test())


def test_limits_count_the_client() -> None:
    """One more session of a client that has as many as it may is refused, the edge's go on."""

    async def test() -> None:
        async with place(xclient_from=EDGE, limits=Limits(sessions_per_peer=1)) as here:
            first = await here.greeted()
            assert (await first.say("XCLIENT ADDR=198.51.100.7")).startswith("220 ")
            second = await here.greeted()
            assert (await second.say("XCLIENT ADDR=198.51.100.7")).startswith("421 4.3.2")

    run(test())


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("", "501"),
        ("ADDR=here", "501 5.5.4"),
        ("ADDR=300.1.1.1", "501 5.5.4"),
        ("LOGIN=boss@corp.example", "501 5.5.4"),
        ("HELO=a+20b", "501 5.5.4"),
        ("ADDR", "501 5.5.4"),
    ],
)
def test_malformed_command_changes_nothing(argument: str, reply: str) -> None:
    """LOGIN is not offered: nobody logs in by somebody else's word."""

    async def test() -> None:
        async with place(xclient_from=EDGE) as here:
            client = await here.greeted()
            assert (await client.say(f"XCLIENT {argument}")).startswith(reply)
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            assert here.reception.begun[0].session.peer == "127.0.0.1"
            assert (await client.say("XCLIENT ADDR=192.0.2.1")).startswith("503 5.5.1")

    run(test())
