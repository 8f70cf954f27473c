"""Runs one HTTP application on one socket until it is told to stop, within limits of its own.

Requests are small and answered at once, so a connection that lives long or dribbles is no reader:
it is cut after a fixed time, and only so many exist at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from smimegw.errors import UsageError

CONNECTIONS = 500
CONNECTION_SECONDS = 60.0
_IDLE_SECONDS = 10.0
_DRAIN_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Ready = Callable[[str], None]


class _OursOnly(logging.Filter):
    """Leaves out what a stranger did wrong: he was told, and writes no lines into our log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether *record* tells of a bug of ours."""
        error = record.exc_info[1] if record.exc_info else None
        theirs = HttpProcessingError | web.RequestPayloadError | ConnectionError
        return not isinstance(error, theirs)


_LOGGER = logging.getLogger("smimegw-ca")
_LOGGER.addFilter(_OursOnly())


class _Refused(asyncio.Protocol):
    """Ends a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


@contextlib.asynccontextmanager
async def hosting(
    application: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    seconds: float = CONNECTION_SECONDS,
    connections: int = CONNECTIONS,
) -> AsyncIterator[str]:
    """Serve *application* and yield the URL under which it is reached.

    Args:
        application: What to serve.
        host: An address or name to listen on.
        port: 0 lets the system choose.
        tls: For https.
        seconds: How long one connection may last.
        connections: How many there may be at once.

    Raises:
        UsageError: The address cannot be listened on.
    """
    application.on_response_prepare.append(_say_little)
    application.middlewares.append(_refuse_broken_bodies)
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_LOGGER,
        auto_decompress=False,  # nobody compresses a request of a KB; bombs are
        keepalive_timeout=_IDLE_SECONDS,
        handle_signals=False,
    )
    await runner.setup()
    handlers = runner.server
    assert handlers is not None
    try:
        server = await _listening(
            lambda: _protocol(handlers, seconds, connections), host, port, tls
        )
        try:
            yield _url(server.sockets[0].getsockname(), secure=tls is not None)
        finally:
            server.close()
            await handlers.shutdown(_DRAIN_SECONDS)
    finally:
        await runner.cleanup()


async def _listening(
    protocol: Callable[[], asyncio.Protocol], host: str, port: int, tls: ssl.SSLContext | None
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            protocol, host, port, ssl=tls, ssl_handshake_timeout=10.0 if tls else None
        )
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise UsageError(
            f"--listen {host}:{port}: {why}. Is the address one of this machine's, and the port "
            "free and above 1023 (or may this user take lower ones)?"
        ) from error


def _protocol(handlers: web.Server, seconds: float, connections: int) -> asyncio.Protocol:
    if len(handlers.connections) >= connections:
        return _Refused()
    handler = handlers()
    asyncio.get_running_loop().call_later(seconds, _cut, handler)
    return handler


def _url(address: tuple[str, int], *, secure: bool) -> str:
    host, port = address[:2]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{name}:{port}"


async def run_until_stopped(
    served: AbstractAsyncContextManager[str],
    ready: Ready,
    *companions: AbstractAsyncContextManager[None],
) -> None:
    """Serve until SIGTERM or SIGINT; *companions* run meanwhile."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(served)
        for companion in companions:
            await stack.enter_async_context(companion)
        ready(url)
        await stop.wait()


async def _say_little(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "smimegw-ca"  # versions are nobody's business


@web.middleware
async def _refuse_broken_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(text="The body of the request is not HTTP.") from None


def _cut(handler: RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()
