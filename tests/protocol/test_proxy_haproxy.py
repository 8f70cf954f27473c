"""A real HAProxy in front of the listener: both versions, implicit TLS, and its health check."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from pathlib import Path

import pytest

from smimegw.limits import Limits
from tests.peers.haproxy import HAProxy
from tests.peers.ports import free_port
from tests.peers.tls import make_tls
from tests.protocol.raw_client import Client, Place, place, run

BALANCER = (ipaddress.ip_network("127.0.0.1"),)
CLIENT = "127.0.0.9"


def _balancer(server_port: int, options: str, backend: str = "") -> HAProxy:
    port = free_port()
    return HAProxy(
        f"""
global
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend mail
  bind 127.0.0.1:{port}
  default_backend gateway
backend gateway
  {backend}
  server gw 127.0.0.1:{server_port} {options}
""",
        port,
    )


async def _session(here: Place, options: str, tls: ssl.SSLContext | None = None) -> None:
    """Mail from `CLIENT` through the balancer; the listener knows who it was."""
    balancer = _balancer(here.listener.port, options)
    await asyncio.to_thread(balancer.__enter__)
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            balancer.port,
            local_addr=(CLIENT, 0),
            ssl=tls,
            server_hostname="localhost" if tls else None,
        )
        client = Client(reader, writer)
        assert (await client.reply()).startswith("220 ")
        assert (await client.say("EHLO client.example")).startswith("250")
        assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
        assert here.reception.begun[0].session.peer == CLIENT
        await client.close()
    finally:
        await asyncio.to_thread(balancer.__exit__, None, None, None)


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_balancer_names_its_client(options: str) -> None:
    """Versions 1 and 2, and 2 with TLVs behind the addresses."""

    async def test() -> None:
        async with place(proxy_from=BALANCER) as here:
            await _session(here, options)

    run(test())


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2"])
def test_handshake_goes_through_the_balancer(options: str, tmp_path: Path) -> None:
    """The header stands before the handshake, which the client makes with us."""
    files = make_tls(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)

    async def test() -> None:
        async with place(proxy_from=BALANCER, tls=server, tls_implicit=True) as here:
            await _session(here, options, ssl.create_default_context(cafile=str(files.ca)))

    run(test())


@pytest.mark.parametrize(("peers", "state"), [(BALANCER, "UP"), ((), "DOWN")])
def test_health_check_speaks_for_the_balancer(
    peers: tuple[ipaddress.IPv4Network, ...], state: str
) -> None:
    """Its check sends LOCAL, so the balancer itself must be one of the peers."""

    async def test() -> None:
        limits = Limits(drain_seconds=5)
        async with place(proxy_from=BALANCER, peers=peers, limits=limits) as here:
            options = "check inter 100ms rise 1 fall 1 send-proxy-v2 check-send-proxy"
            balancer = _balancer(here.listener.port, options, "option smtpchk EHLO lb.example")
            await asyncio.to_thread(balancer.__enter__)
            try:
                await asyncio.to_thread(balancer.wait_for, state)
            finally:
                await asyncio.to_thread(balancer.__exit__, None, None, None)

    run(test())
