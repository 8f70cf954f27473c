"""A running gateway takes a renewed TLS certificate on SIGHUP, and keeps the old one otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smimegw.config.load import load
from smimegw.server import Server
from tests.fakes.company import POLICY
from tests.peers.ports import free_port
from tests.peers.tls import TLSFiles, make_tls
from tests.protocol.raw_client import PATIENCE


@contextlib.asynccontextmanager
async def _running(directory: Path, files: TLSFiles, port: int) -> AsyncIterator[Server]:
    (directory / "policies").mkdir()
    (directory / "policies" / "all.toml").write_text(POLICY)
    (directory / "state").mkdir()
    (directory / "smimegw.toml").write_text(f"""
version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "state"
[listener.relay]
address = "127.0.0.1:{port}"
peers = ["127.0.0.1"]
tls = {{ certificate = "{files.certificate}", key = {{ file = "{files.key}" }}, implicit = true }}
[next_hop.out]
address = "127.0.0.1:{free_port()}"
[metrics]
address = "127.0.0.1:{free_port()}"
[policies]
path = "policies"
[limits]
disk_free_octets = 1
disk_free_inodes = 1
drain_seconds = 5
""")
    handlers = list(logging.getLogger().handlers)
    server = Server(load(directory / "smimegw.toml"))
    running = asyncio.get_running_loop().create_task(server.run())
    try:
        yield server
    finally:
        server.stop("test")
        await running
        logging.getLogger().handlers[:] = handlers


async def _trusted(port: int, ca: Path) -> bool:
    """Whether the server's certificate is of *ca*; waits until there is a server."""
    context = ssl.create_default_context(cafile=str(ca))
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, server_hostname="localhost"
                )
            except ssl.SSLCertVerificationError:
                return False
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
                continue
            assert (await reader.readline()).startswith(b"220 ")
            writer.transport.abort()
            return True


async def _after_reload(server: Server, capsys: pytest.CaptureFixture[str], event: str) -> None:
    server.reload()
    said = ""
    async with asyncio.timeout(PATIENCE):
        while event not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().err


def test_renewed_certificate_is_taken_and_a_broken_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No mail is lost by a restart, nor by a file that was copied halfway (R-15)."""
    for name in ("old", "new", "gateway"):
        (tmp_path / name).mkdir()
    files, renewed = make_tls(tmp_path / "old"), make_tls(tmp_path / "new")
    old_ca = shutil.copy(files.ca, tmp_path / "old-ca.pem")
    port = free_port()

    async def test() -> None:
        async with _running(tmp_path / "gateway", files, port) as server:
            assert await _trusted(port, old_ca)
            shutil.copy(renewed.certificate, files.certificate)  # the key is still the old one
            await _after_reload(server, capsys, "event=policy.reload_failed")
            assert await _trusted(port, old_ca)
            shutil.copy(renewed.key, files.key)
            await _after_reload(server, capsys, "event=policy.reloaded")
            assert await _trusted(port, renewed.ca)
            assert not await _trusted(port, old_ca)

    asyncio.run(test())
