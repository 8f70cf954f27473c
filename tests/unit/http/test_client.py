"""One HTTP answer is read exactly and never beyond its limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from smimegw.adapters.http.client import HTTPClient, Question, Reply
from smimegw.adapters.http.destination import Destination, Gatekeeper
from smimegw.config.hosts import ProxyURL, host_rule
from smimegw.errors import RevocationError

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.asynccontextmanager
async def answering(octets: bytes, heard: list[bytes]) -> AsyncIterator[int]:
    """A server that says *octets* and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(octets)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def ask(
    octets: bytes,
    *,
    limit: int = 100,
    method: str = "GET",
    through: bool = False,
    target: str = "/x?y",
    heard: list[bytes] | None = None,
) -> Reply:
    async def run() -> Reply:
        async with answering(octets, heard if heard is not None else []) as port:
            rule = host_rule("a.example" if through else f"127.0.0.1:{port}")
            proxy = ProxyURL("127.0.0.1", port) if through else None
            client = HTTPClient(Gatekeeper([], [rule]), proxy=proxy)
            host = "a.example" if through else f"127.0.0.1:{port}"
            question = Question(method=method, body=b"q" * 3, content_type="a/b", octets=limit)
            place = Destination.parse(f"http://{host}{target}")
            return await client.ask(place, question, connect=5)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "octets",
    [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\n\r\nhello and more",
        OK + b"content-length:5\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: Chunked\r\n\r\n05\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_every_framing_is_read(octets: bytes) -> None:
    """Length, chunks, or the end of the connection (RFC 9112, 6.3)."""
    assert ask(octets) == Reply(status=200, content=b"hello")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"hello",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        OK,
        OK + b"Content-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: -1\r\n\r\nhello",
        OK + b"Content-Length: 5x\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        OK + b"Content-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        OK + b"X: " + b"x" * 40_000 + b"\r\n\r\nhello",
    ],
    ids=range(18),
)
def test_bad_answers_are_refused(octets: bytes) -> None:
    """Broken off, two lengths, compressed, not HTTP, an endless header section."""
    with pytest.raises(RevocationError):
        ask(octets)


@pytest.mark.parametrize(
    "octets",
    [
        OK + b"Content-Length: 101\r\n\r\n",
        OK + b"\r\n" + b"x" * 101,
        OK + b"Transfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 100 + b"\r\n1\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    ],
)
def test_longer_than_the_limit_is_refused(octets: bytes) -> None:
    """In every framing, before it is all in memory."""
    with pytest.raises(RevocationError, match="longer than 100 octets"):
        ask(octets)


def test_as_long_as_the_limit_is_read() -> None:
    """The limit itself is allowed."""
    assert len(ask(OK + b"\r\n" + b"x" * 100).content) == 100


def test_other_statuses_have_no_content() -> None:
    """Error pages are not read."""
    assert ask(b"HTTP/1.1 404 Not Found\r\nContent-Length: 999\r\n\r\n") == Reply(status=404)
    moved = ask(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
    assert moved == Reply(status=302, location="/elsewhere")


def test_request_of_a_get() -> None:
    """Path and query, nothing about us but the product's name."""
    heard: list[bytes] = []
    ask(OK + b"\r\n", heard=heard)
    first, host, *rest = heard[0].decode().split("\r\n")
    assert first == "GET /x?y HTTP/1.1"
    assert host.startswith("Host: 127.0.0.1:")
    assert rest == [
        "User-Agent: smimegw",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
        "",
    ]


@pytest.mark.parametrize("host", [".a.example", "b..a.example", "b" * 64 + ".a.example"])
def test_name_that_no_host_has_is_no_connection(host: str) -> None:
    """A certificate's author wrote it, and behind a proxy nobody resolves it first (T-14)."""

    async def run() -> None:
        async with answering(OK + b"\r\n", []) as port:
            gatekeeper = Gatekeeper([host_rule("*.a.example")])
            client = HTTPClient(gatekeeper, proxy=ProxyURL("127.0.0.1", port))
            place = Destination.parse(f"https://{host}/x")
            await client.ask(place, Question(octets=100), connect=60)

    with pytest.raises(RevocationError, match="a name that no host has"):
        asyncio.run(run())


def test_proxy_is_told_the_whole_url() -> None:
    """RFC 9112, 3.2.2: absolute form."""
    heard: list[bytes] = []
    assert ask(OK + b"\r\nhello", through=True, heard=heard).content == b"hello"
    assert heard[0].startswith(b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n")


def test_host_that_is_not_allowed_is_not_connected_to() -> None:
    """Whoever calls."""

    async def run() -> list[bytes]:
        heard: list[bytes] = []
        async with answering(OK + b"\r\n", heard) as port:
            client = HTTPClient(Gatekeeper([host_rule("a.example")]))
            place = Destination.parse(f"http://127.0.0.1:{port}/")
            with pytest.raises(RevocationError, match="allow_hosts"):
                await client.ask(place, Question(octets=9), connect=5)
        return heard

    assert asyncio.run(run()) == []


def test_server_that_is_not_there_is_named() -> None:
    """The text helps to find the cause."""

    async def run() -> None:
        async with answering(b"", []) as port:
            pass
        client = HTTPClient(Gatekeeper([], [host_rule(f"127.0.0.1:{port}")]))
        place = Destination.parse(f"http://127.0.0.1:{port}/")
        await client.ask(place, Question(octets=9), connect=5)

    with pytest.raises(RevocationError, match="no connection"):
        asyncio.run(run())
