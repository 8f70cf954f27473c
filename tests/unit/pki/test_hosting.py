"""The CA's services stay within their limits, whoever connects (T-10)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from aiohttp import web

from pki.serve.hosting import hosting
from pki.serve.timer import AfterEach, making_due


def site() -> web.Application:
    """Says hello."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    application = web.Application()
    application.router.add_get("/", hello)
    return application


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def test_a_connection_that_dribbles_is_cut() -> None:
    """It ends after its time, whatever comes meanwhile."""

    async def run() -> bytes:
        async with hosting(site(), "127.0.0.1", 0, seconds=0.3) as url:
            reader, writer = await connected(url)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            try:
                with contextlib.suppress(ConnectionError):
                    return await reader.read()
                return b""
            finally:
                writer.close()

    assert asyncio.run(run()) == b""


def test_one_connection_too_many_is_closed() -> None:
    """The others are served on."""

    async def run() -> tuple[bytes, bytes]:
        async with hosting(site(), "127.0.0.1", 0, connections=1) as url:
            first, out = await connected(url)
            out.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            served = await first.readuntil(b"hello")
            second, other = await connected(url)
            refused = await second.read()
            for writer in (out, other):
                writer.close()
            return served, refused

    served, refused = asyncio.run(run())
    assert served.startswith(b"HTTP/1.1 200")
    assert refused == b""


def test_the_server_says_little_of_itself() -> None:
    """No versions for those who look for old ones."""

    async def run() -> bytes:
        async with hosting(site(), "127.0.0.1", 0) as url:
            reader, writer = await connected(url)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

    answer = asyncio.run(run()).decode()
    assert "Server: smimegw-ca\r\n" in answer
    assert "aiohttp" not in answer


def test_what_fails_in_the_background_is_reported(tmp_path: Path) -> None:
    """A CRL that is not made in time must not be a surprise."""

    async def run() -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        secret = str(tmp_path / "passphrase")
        async with making_due(tmp_path, secret, [("crl", "make", "--due")], told.set_result):
            return await told

    assert "there is no certificate authority" in asyncio.run(run())


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_what_is_wanted_at_the_end_is_still_done(tmp_path: Path, begun: bool) -> None:
    """A certificate that was just issued is published although the service ends."""
    told: list[str] = []

    async def run() -> None:
        after = AfterEach(tmp_path, ("publish", "--embedded", str(tmp_path / "x.db")), told.append)
        async with after.running():
            after.wanted()
            if begun:
                await asyncio.sleep(0)  # lets the other task take it up
                await asyncio.sleep(0)

    asyncio.run(run())
    assert len(told) == 1
    assert "there is no certificate authority" in told[0]
