"""The status port answers probes and scrapers, and nobody else for long."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from smimegw.adapters.http.status import StatusServer


@contextlib.asynccontextmanager
async def _server(**options: Any) -> AsyncIterator[StatusServer]:
    options = {"ready": list, "metrics": lambda: b"metric 1\n", **options}
    server = StatusServer("127.0.0.1", 0, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def _ask(server: StatusServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def _run(action: Callable[[StatusServer], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with _server(**options) as server:
            return await action(server)

    return asyncio.run(run())


def _answer(request: bytes, **options: Any) -> tuple[int, bytes, bytes]:
    answer: bytes = _run(lambda server: _ask(server, request), **options)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def test_live() -> None:
    """The process runs its event loop."""
    assert _answer(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_ready() -> None:
    """Mail is taken."""
    status, _, body = _answer(b"GET /ready HTTP/1.1\r\n\r\n")
    assert (status, json.loads(body)["ready"]) == (200, True)


def test_shadow_mode_is_told() -> None:
    """Who looks whether the gateway is up sees that it protects nothing."""
    status, _, body = _answer(b"GET /ready HTTP/1.1\r\n\r\n", shadow=True)
    assert (status, json.loads(body)["shadow"]) == (200, True)


def test_not_ready_says_why() -> None:
    """503 with every reason."""
    status, _, body = _answer(b"GET /ready HTTP/1.1\r\n\r\n", ready=lambda: ["keystore locked"])
    assert status == 503
    assert json.loads(body) == {"ready": False, "reasons": ["keystore locked"]}


def test_metrics() -> None:
    """With the content type Prometheus asks for."""
    status, head, body = _answer(b"GET /metrics?x=1 HTTP/1.1\r\n\r\n")
    assert (status, body) == (200, b"metric 1\n")
    assert b"Content-Type: text/plain; version=0.0.4" in head


def test_head_has_no_body() -> None:
    """But the length of one (RFC 9110, 9.3.2)."""
    status, head, body = _answer(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert (status, body) == (200, b"")
    assert b"Content-Length: 9" in head


def _broken() -> list[str]:
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("request_octets", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"POST /live HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /metrics HTTP/1.0\r\n\r\n", 405),
        (b"EHLO mail.example\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /live HTTP/2\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    ],
    ids=range(9),
)
def test_everything_else_is_refused(request_octets: bytes, status: int) -> None:
    """Other paths, other methods, other protocols, too much."""
    assert _answer(request_octets)[0] == status


def test_broken_check_is_an_answer_without_details() -> None:
    """A probe must not hang, and must not learn secrets."""
    status, _, body = _answer(b"GET /ready HTTP/1.1\r\n\r\n", ready=_broken)
    assert status == 500
    assert b"secret" not in body


def test_slow_client_is_cut_off() -> None:
    """Half a request for ever."""

    async def half(server: StatusServer) -> bytes:
        return await _ask(server, b"GET /live HT")

    assert _run(half, deadline_seconds=0.05) == b""


def test_half_closed_client_gets_an_answer() -> None:
    """End of file in the middle of a request."""

    async def half(server: StatusServer) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /live")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    assert _run(half).startswith(b"HTTP/1.1 400 ")


def test_idle_connections_do_not_keep_probes_out_for_long() -> None:
    """More connections than we serve: after the deadline there is room again."""

    async def crowd(server: StatusServer) -> bytes:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(40)]
        for reader, _ in idle:
            await reader.read()  # closed by the server, at once or after the deadline
        answer = await _ask(server, b"GET /live HTTP/1.1\r\n\r\n")
        for _, writer in idle:
            writer.close()
        return answer

    assert _run(crowd, deadline_seconds=0.1).startswith(b"HTTP/1.1 200 ")
