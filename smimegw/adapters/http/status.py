"""A tiny HTTP server on a local port: /live, /ready and /metrics, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_REQUEST_OCTETS = 8192
_DEADLINE_SECONDS = 5.0
_CONNECTIONS = 32  # a scraper or two and a probe; more is somebody else
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_JSON = "application/json"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = _JSON

    @classmethod
    def of(cls, status: int, **values: object) -> Response:
        """A JSON answer."""
        return cls(status, json.dumps(values).encode() + b"\n")


class StatusServer:
    """Answers health probes and the scraper.

    Args:
        host: Address to listen on.
        port: Port; 0 lets the system choose one.
        ready: Reasons why no mail is taken now; empty when all is well.
        metrics: The text of /metrics.
        shadow: Mail is handed on unchanged; /ready says so.
        deadline_seconds: For one request, however slowly it comes.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ready: Callable[[], Sequence[str]],
        metrics: Callable[[], bytes],
        shadow: bool = False,
        deadline_seconds: float = _DEADLINE_SECONDS,
    ) -> None:
        self._host = host
        self._port = port
        self._ready = ready
        self._metrics = metrics
        self._remarks = {"shadow": True} if shadow else {}
        self._deadline_seconds = deadline_seconds
        self._server: asyncio.Server | None = None
        self._open = 0

    @property
    def port(self) -> int:
        """The port that was bound."""
        if self._server is None:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The port cannot be bound.
        """
        self._server = await asyncio.start_server(
            self._serve, self._host, self._port, limit=_REQUEST_OCTETS
        )

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _CONNECTIONS:
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(self._deadline_seconds):
                head, response = await self._exchange(reader)
                writer.write(_octets(response, head_only=head))
                await writer.drain()
        except (TimeoutError, OSError):
            pass  # too slow or gone: nobody is left to be told
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader) -> tuple[bool, Response]:
        """Read one request and answer it; the connection is closed after it."""
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return False, Response.of(431, error="request too large")
        except asyncio.IncompleteReadError:
            return False, Response.of(400, error="not an HTTP request")
        method, path, version = (*request.split(b"\r\n")[0].split(b" "), b"", b"", b"")[:3]
        if not version.startswith(b"HTTP/1."):
            return False, Response.of(400, error="not an HTTP request")
        if method not in (b"GET", b"HEAD"):
            return False, Response.of(405, error="only GET and HEAD")
        return method == b"HEAD", self._response(path.partition(b"?")[0])

    def _response(self, path: bytes) -> Response:
        try:
            match path:
                case b"/live":
                    return Response.of(200, live=True)
                case b"/ready":
                    reasons = list(self._ready())
                    status = 503 if reasons else 200
                    return Response.of(status, ready=not reasons, reasons=reasons, **self._remarks)
                case b"/metrics":
                    return Response(200, self._metrics(), _EXPOSITION)
                case _:
                    return Response.of(404, error="only /live, /ready and /metrics are here")
        except Exception as error:  # noqa: BLE001 – a probe must get an answer
            return Response.of(500, error=type(error).__name__)


def _octets(response: Response, *, head_only: bool) -> bytes:
    fields = [
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if response.status == 405:
        fields.append("Allow: GET, HEAD")
    head = "\r\n".join(fields).encode() + b"\r\n\r\n"
    return head if head_only else head + response.body
