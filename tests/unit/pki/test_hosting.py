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


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"A" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\nxx",
        POST + b"Content-Length: 2\r\nContent-Encoding: br\r\n\r\nxx",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nxx\r\nzz\r\n\r\n",
    ],
    ids=["url", "long", "tls", "length", "gzip", "brotli", "chunk", "second chunk"],
)
def test_a_stranger_writes_no_tracebacks_into_the_log(
    octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is it an error of ours, whatever he sends (T-10)."""
    application = site()

    async def length(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    application.router.add_post("/", length)

    async def run() -> bytes:
        async with hosting(application, "127.0.0.1", 0) as url:
            reader, writer = await connected(url)
            writer.write(octets)
            line = await reader.readline()
            writer.close()
            return line

    assert b" 500 " not in asyncio.run(run())
    assert caplog.text == ""


def test_a_bug_of_ours_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The administrator has something to report."""
    application = site()

    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("a bug")

    application.router.add_get("/broken", broken)

    async def run() -> bytes:
        async with hosting(application, "127.0.0.1", 0) as url:
            reader, writer = await connected(url)
            writer.write(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
            line = await reader.readline()
            writer.close()
            return line

    assert b" 500 " in asyncio.run(run())
    assert "a bug" in caplog.text


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
