"""PROXY headers: believed only from balancers, demanded from them, and read to the last octet."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from pathlib import Path

import pytest

from smimegw.limits import Limits
from tests.peers.tls import make_tls
from tests.protocol.raw_client import Client, Place, place, run

BALANCERS = (ipaddress.ip_network("127.0.0.0/8"),)
STRANGERS = (ipaddress.ip_network("192.0.2.0/24"),)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4 = socket.inet_aton("198.51.100.7") + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 4, 25)
TCP6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + struct.pack("!HH", 4, 25)
)


def version_2(rest: bytes, *, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(rest)) + rest


async def _peer_after(here: Place, header: bytes) -> str:
    client = await here.connect()
    await client.send(header)
    assert (await client.reply()).startswith("220 ")
    return str(here.events.named("session.connected")[-1]["client"])


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 198.51.100.7 127.0.0.1 4000 25\r\n", "198.51.100.7"),
        (b"PROXY TCP6 2001:DB8::7 ::1 4000 25\r\n", "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 4000 25\r\n", "198.51.100.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n", "127.0.0.1"),
        (version_2(TCP4), "198.51.100.7"),
        (version_2(TCP4 + b"\x04\x00\x01x"), "198.51.100.7"),
        (version_2(TCP6, family=0x21), "2001:db8::7"),
        (version_2(b"", command=0x20, family=0), "127.0.0.1"),
        (version_2(TCP4, command=0x20), "127.0.0.1"),
        (version_2(b"", family=0), "127.0.0.1"),
    ],
    ids=[
        "v1-4",
        "v1-6",
        "v1-mapped",
        "v1-unknown",
        "v1-unknown-more",
        "v2-4",
        "v2-tlv",
        "v2-6",
        "local",
        "local-full",
        "unspec",
    ],
)
def test_balancer_names_the_client(header: bytes, peer: str) -> None:
    """The address in the header is the session's peer; LOCAL and UNKNOWN mean the balancer."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS) as here:
            assert await _peer_after(here, header) == peer

    run(test())


def test_what_follows_the_header_in_one_segment_is_a_command() -> None:
    """Not one octet more than the header is taken."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS) as here:
            client = await here.connect()
            await client.send(version_2(TCP4) + b"NOOP\r\nEHLO client.example\r\n")
            assert [reply[:3] for reply in await client.replies(3)] == ["220", "250", "250"]
            assert here.reception.sessions[0].peer == "198.51.100.7"

    run(test())


def test_handshake_follows_the_header_in_one_segment(tmp_path: Path) -> None:
    """A balancer sends header and ClientHello together; implicit TLS begins behind the header."""
    files = make_tls(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    trusting = ssl.create_default_context(cafile=str(files.ca))

    async def test() -> None:
        async with place(proxy_from=BALANCERS, tls=server, tls_implicit=True) as here:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            client = await here.connect()
            await client.send(version_2(TCP4) + outgoing.read())
            while True:
                incoming.write(await client.reader.read(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await client.send(outgoing.read())
            await client.send(outgoing.read())
            greeting = b""
            while not greeting:
                incoming.write(await client.reader.read(65536))
                try:
                    greeting = tls.read()
                except ssl.SSLWantReadError:
                    continue
            assert greeting.startswith(b"220 gw.corp.example")

    run(test())


async def _unheard(client: Client, here: Place, reason: str) -> None:
    assert await client.rest() == b""
    assert reason in str(here.events.named("session.rejected")[0]["reason"])
    assert not here.events.named("session.connected")


@pytest.mark.parametrize(
    "header", [b"", version_2(TCP4), b"PROXY TCP4 198.51.100.7 127.0.0.1 4000 25\r\n"]
)
def test_nobody_else_is_heard(header: bytes) -> None:
    """Closed without banner, with a header or without (case A22)."""

    async def test() -> None:
        async with place(proxy_from=STRANGERS) as here:
            client = await here.connect()
            client.writer.write(header)
            await _unheard(client, here, "proxy_from")

    run(test())


def test_balancer_without_header_is_closed() -> None:
    """A banner would never be read as one by whoever waits for us to begin (case A22)."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS, limits=Limits(proxy_header_seconds=0.2)) as here:
            await _unheard(await here.connect(), here, "in time")

    run(test())


def test_header_that_never_ends_is_closed_in_time() -> None:
    """Octets that came do not prolong the wait (cases A22, O03)."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS, limits=Limits(proxy_header_seconds=0.3)) as here:
            client = await here.connect()
            await client.send(version_2(TCP4)[:20])
            await _unheard(client, here, "in time")

    run(test())


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 198.51.100.7 127.0.0.1 4000\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 4000 25\r\n",
        b"PROXY TCP4 198.51.100.7 127.0.0.1 4000 65536\r\n",
        b"PROXY TCP4 198.51.100.7 127.0.0.1 4000 25\n\r\n",
        b"PROXY TCP4 198.51.100.7  127.0.0.1 4000 25\r\n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        version_2(TCP4[:-1]),
        version_2(TCP4, family=0x12),
        version_2(TCP4, command=0x22),
        version_2(TCP4, command=0x11),
        version_2(b"/run/x".ljust(216, b"\0"), family=0x31),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
    ids=[
        "none",
        "short",
        "6in4",
        "port",
        "bare-lf",
        "spaces",
        "long",
        "endless",
        "v2-short",
        "udp",
        "command",
        "version",
        "unix",
        "huge",
    ],
)
def test_malformed_header_is_closed(header: bytes) -> None:
    """Nothing is guessed about who is meant (case A22)."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS) as here:
            client = await here.connect()
            await client.send(header)
            await _unheard(client, here, "PROXY header")

    run(test())


def test_admission_is_about_the_client_not_the_balancer() -> None:
    """`peers` lists who may send; the balancer being there opens nothing."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS, peers=BALANCERS) as here:
            client = await here.connect()
            await client.send(version_2(TCP4))
            assert await client.reply() == "554 5.7.1 access denied"

    run(test())


def test_sessions_per_peer_count_clients_behind_a_balancer() -> None:
    """One client's flood does not shut out the others that come the same way."""

    async def test() -> None:
        async with place(proxy_from=BALANCERS, limits=Limits(sessions_per_peer=1)) as here:
            assert await _peer_after(here, version_2(TCP4)) == "198.51.100.7"
            again = await here.connect()
            await again.send(version_2(TCP4))
            assert (await again.reply()).startswith("421 4.3.2")
            assert await _peer_after(here, version_2(TCP6, family=0x21)) == "2001:db8::7"

    run(test())


@pytest.mark.parametrize(
    "header", [version_2(TCP4), b"PROXY TCP4 198.51.100.7 127.0.0.1 4000 25\r\n"]
)
def test_header_where_no_balancer_is_configured_names_nobody(header: bytes) -> None:
    """A client cannot choose its address by sending a header of its own (case A22)."""

    async def test() -> None:
        async with place() as here:
            client = await here.connect()
            await client.send(header + b"EHLO client.example\r\nMAIL FROM:<a@corp.example>\r\n")
            await client.rest()
            assert not here.reception.begun

    run(test())
