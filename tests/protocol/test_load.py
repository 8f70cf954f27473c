"""Rates per peer, an event loop that lags, and storms: at the limit, above it, far above it."""

from __future__ import annotations

import asyncio
import ipaddress
import struct

import pytest

from smimegw.adapters.smtp.load import LoopLag, PerMinute
from smimegw.limits import Limits
from tests.fakes.reception import FakeEvents
from tests.protocol.raw_client import Client, place, run

BALANCER = (ipaddress.ip_network("127.0.0.0/8"),)
LIMITS = Limits(loop_lag_seconds=0.1, overload_seconds=5.0)


def _from(number: int) -> bytes:
    address = bytes([198, 51, 100, number])
    rest = address + bytes([127, 0, 0, 1]) + struct.pack("!HH", 4000, 25)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(rest)) + rest


def test_connections_of_one_peer_in_a_minute() -> None:
    """The limit is served, the next is refused, and so are all that follow; others go on."""

    async def test() -> None:
        async with place(proxy_from=BALANCER, connections_per_minute=2) as here:
            codes = []
            for number in (1, 1, 1, *[1] * 10, 2):
                client = await here.connect()
                await client.send(_from(number))
                codes.append((await client.reply())[:9])
                await client.send(b"QUIT\r\n")
                await client.rest()
            assert [code[:3] for code in codes] == ["220"] * 2 + ["421"] * 11 + ["220"]
            assert codes[2] == "421 4.7.1"

    run(test())


def test_messages_of_one_peer_in_a_minute() -> None:
    """Counted over all its sessions; the rest of the pipelined group is no protocol error."""

    async def test() -> None:
        async with place(messages_per_minute=2) as here:
            replies = []
            for _ in range(4):
                client = await here.greeted()
                await client.send(b"MAIL FROM:<a@corp.example>\r\nRCPT TO:<b@corp.example>\r\n")
                replies += [reply[:9] for reply in await client.replies(2)]
            assert replies == ["250 2.1.0", "250 2.1.5"] * 2 + ["451 4.7.1", "503 5.5.1"] * 2
            assert len(here.reception.begun) == 2

    run(test())


def test_window_ends_after_a_minute() -> None:
    """And then everybody may again; nothing of the minute before is kept."""
    rate = PerMinute(1)
    assert [rate.allows("a", second) for second in (100.0, 159.9, 160.0, 161.0)] == [
        True,
        False,
        True,
        False,
    ]
    assert PerMinute(0).allows("a", 0.0)


# --- overload -------------------------------------------------------------------------------------


def _seen(*lags: tuple[float, float]) -> tuple[LoopLag, FakeEvents]:
    events = FakeEvents()
    watch = LoopLag(LIMITS, events)
    for now, lag in lags:
        watch.see(lag, now)
    return watch, events


@pytest.mark.parametrize(
    ("lags", "overloaded"),
    [
        ([(0.0, 0.0), (1.0, 0.2), (4.9, 0.2)], False),
        ([(0.0, 0.0), (1.0, 0.2), (5.0, 0.2)], True),
        ([(0.0, 0.0), (1.0, 0.1), (9.0, 0.1)], False),  # at the limit is not above it
        ([(0.0, 0.0), (4.9, 30.0), (5.0, 0.0), (9.0, 30.0)], False),
        ([(0.0, 0.0), (60.0, 60.0)], True),
        ([(0.0, 0.0), (6.0, 1.0), (6.1, 0.0), (7.0, 0.0)], True),  # well for too short
        ([(0.0, 0.0), (6.0, 1.0), (6.1, 0.0), (11.2, 0.0)], False),
    ],
)
def test_lag_counts_when_it_lasts(lags: list[tuple[float, float]], overloaded: bool) -> None:
    """More than 100 ms for 5 s, and well again after 5 s (case O11)."""
    watch = _seen(*lags)[0]
    assert watch.overloaded is overloaded
    assert bool(watch.trouble) is overloaded, "what /ready says"


def test_overload_and_its_end_are_said_once() -> None:
    """An alarm, not a stream of them (case O11)."""
    _, events = _seen((0, 0), (6, 1), (12, 1), (18, 1), (19, 0), (30, 0), (40, 0))
    assert [name for name, _, _ in events.said] == ["gateway.overloaded", "gateway.relieved"]


def test_overloaded_gateway_takes_no_new_mail() -> None:
    """451 4.4.5 to MAIL; what has begun goes on (case O11)."""

    async def test() -> None:
        async with place() as here:
            busy = await here.in_data()
            here.listener.lag.overloaded = True
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("451 4.4.5")
            assert (await client.say("NOOP")).startswith("250")
            await busy.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
            assert (await busy.reply()).startswith("250")
            here.listener.lag.overloaded = False
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")

    run(test())


def test_real_lag_is_measured() -> None:
    """A loop that is blocked again and again sheds (case O11)."""

    async def test() -> None:
        limits = Limits(loop_lag_seconds=0.02, overload_seconds=0.2, drain_seconds=5)
        async with place(limits=limits) as here:
            loop = asyncio.get_running_loop()
            until = loop.time() + 10
            while not here.listener.lag.overloaded and loop.time() < until:
                end = loop.time() + 0.25
                while loop.time() < end:  # what a bug would do
                    pass
                await asyncio.sleep(0.001)
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("451 4.4.5")

    run(test())


# --- storms ---------------------------------------------------------------------------------------


def test_clients_that_wait_before_the_door_are_counted_too() -> None:
    """Half a PROXY header from everybody does not use up sockets; honest clients come after."""

    async def test() -> None:
        limits = Limits(sessions=20, proxy_header_seconds=0.5, drain_seconds=5)
        async with place(proxy_from=BALANCER, limits=limits) as here:
            clients = [await here.connect() for _ in range(60)]
            for client in clients:
                client.writer.write(b"PROXY ")
            for client in clients:
                assert await client.rest() == b""
            honest = await here.connect()
            await honest.send(_from(1))
            assert (await honest.reply()).startswith("220")

    run(test())


def test_slow_clients_do_not_keep_out_the_honest() -> None:
    """Each has its deadline; meanwhile others are served (case O03)."""

    async def test() -> None:
        limits = Limits(command_seconds=0.5, idle_seconds=0.5, sessions=200, sessions_per_peer=200)
        async with place(limits=limits) as here:
            slow = [await here.connect() for _ in range(100)]
            for client in slow:
                assert (await client.reply()).startswith("220")
                client.writer.write(b"E")
            honest = await here.in_data()
            await honest.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
            assert (await honest.reply()).startswith("250")
            for client in slow:
                assert (await client.reply()).startswith("421 4.4.2")

    run(test())


@pytest.mark.parametrize(("commands", "replies"), [(99, 99), (100, 100), (1000, 100)])
def test_pipeline_without_mail_is_cut_off(commands: int, replies: int) -> None:
    """100 commands, EHLO among them: the next is the last that gets an answer."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.send(b"NOOP\r\n" * commands)
            client.writer.write_eof()
            answers = (await client.rest()).splitlines()
            assert len(answers) == replies
            last = b"250 2.0.0 OK" if commands == 99 else b"421 4.7.0 too many commands"
            assert answers[-1].startswith(last)

    run(test())


def test_huge_pipeline_ends_at_once() -> None:
    """Ten megabytes of NOOP are not read to their end."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            client.writer.write(b"NOOP\r\n" * 1_700_000)
            await client.rest()
            client.writer.transport.abort()
            assert here.listener.sessions == 0

    run(test())


def test_thousand_idle_sessions_and_one_more() -> None:
    """The thousand and first is refused at once, and a place that becomes free is filled (O01)."""

    async def test() -> None:
        limits = Limits(sessions_per_peer=2000, drain_seconds=5)
        async with place(limits=limits) as here:
            # Straight sockets: what `here` keeps is closed one after the other.
            idle = [await Client.connect(here.listener.port) for _ in range(1000)]
            for client in idle:
                assert (await client.reply()).startswith("220")
            late = await here.connect()
            assert (await late.reply()).startswith("421 4.3.2")
            assert (await idle[0].say("QUIT")).startswith("221")
            assert await idle[0].rest() == b""
            again = await here.connect()
            assert (await again.reply()).startswith("220")
            for client in idle:
                client.writer.transport.abort()

    run(test())
