"""One HTTP/1.1 request and its answer, bounded in size, to a destination that was let through.

A client of our own because the connection must go to the address that was checked, and because
no answer may be larger than its limit, however it is framed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass, field

from smimegw.adapters.http.destination import Destination, Gatekeeper
from smimegw.config.hosts import ProxyURL
from smimegw.errors import RevocationError

_HEADER_OCTETS = 16 * 1024
_PIECE_OCTETS = 64 * 1024
_CHUNK_LINE_OCTETS = 256
_STATUS = re.compile("[1-9][0-9]{2}")
_FRAMING = frozenset({"content-length", "transfer-encoding", "content-encoding", "location"})

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask.

    Attributes:
        method: GET or POST.
        body: Sent with POST.
        content_type: Of *body*.
        octets: The longest answer that is read.
    """

    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back.

    Attributes:
        status: HTTP status code.
        location: Where else to ask; "" unless it was said.
        content: The body; empty unless the status is 200.
    """

    status: int
    location: str = ""
    content: bytes = field(default=b"", repr=False)


class HTTPClient:
    """Asks destinations that *gatekeeper* lets through; nothing is kept between questions."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        *,
        proxy: ProxyURL | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._proxy = proxy
        self._tls = tls

    async def ask(self, destination: Destination, question: Question, *, connect: float) -> Reply:
        """Ask once; redirections are the caller's matter.

        Args:
            destination: Where.
            question: What.
            connect: Seconds until the connection must stand.

        Raises:
            RevocationError: Not let through, not reachable, not HTTP, too long.
        """
        if not self._gatekeeper.admits(destination):
            raise RevocationError("the host is not among revocation.allow_hosts")
        try:
            async with asyncio.timeout(connect):
                reader, writer = await self._connect(destination)
        except TimeoutError:
            raise RevocationError("no connection in time") from None
        except UnicodeError:  # a proxy resolves the name; TLS has to write it first
            raise RevocationError("the host has a name that no host has") from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
            raise RevocationError(f"no connection: {_reason(exc)}") from exc
        try:
            writer.write(self._request(destination, question))
            await writer.drain()
            return await _reply(reader, question.octets)
        except asyncio.IncompleteReadError as exc:
            raise RevocationError("the answer breaks off") from exc
        except asyncio.LimitOverrunError as exc:
            raise RevocationError("the answer's header section is too long") from exc
        except OSError as exc:
            raise RevocationError(f"the connection was lost: {_reason(exc)}") from exc
        finally:
            writer.transport.abort()

    async def _connect(self, destination: Destination) -> Streams:
        tls = destination.scheme == "https"
        if self._proxy is not None:
            self._gatekeeper.check_literal(destination)
            return await self._through(self._proxy, destination)
        failure: OSError = OSError("the name has no address")
        for address in await self._gatekeeper.addresses(destination):
            try:
                return await asyncio.open_connection(
                    address,
                    destination.port,
                    limit=_HEADER_OCTETS,
                    ssl=self._context() if tls else None,
                    server_hostname=destination.host if tls else None,
                )
            except OSError as exc:
                failure = exc
        raise failure

    async def _through(self, proxy: ProxyURL, destination: Destination) -> Streams:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port, limit=_HEADER_OCTETS)
        if destination.scheme == "http":
            return reader, writer
        try:
            await _tunnel(reader, writer, destination)
            await writer.start_tls(self._context(), server_hostname=destination.host)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _request(self, destination: Destination, question: Question) -> bytes:
        whole = self._proxy is not None and destination.scheme == "http"
        fields = [
            f"{question.method} {destination.url if whole else destination.target} HTTP/1.1",
            f"Host: {destination.authority}",
            "User-Agent: smimegw",
            "Accept-Encoding: identity",
            "Connection: close",
        ]
        if question.method == "POST":
            fields.append(f"Content-Type: {question.content_type}")
            fields.append(f"Content-Length: {len(question.body)}")
        return "\r\n".join(fields).encode("ascii") + b"\r\n\r\n" + question.body


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, destination: Destination
) -> None:
    # RFC 9110, 9.3.6
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    place = f"{host}:{destination.port}"
    writer.write(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode("ascii"))
    await writer.drain()
    status, _ = await _head(reader)
    if status != 200:
        raise RevocationError(f"the proxy answers {status}")


async def _reply(reader: asyncio.StreamReader, octets: int) -> Reply:
    status, fields = await _head(reader)
    while 100 <= status < 200:
        status, fields = await _head(reader)
    if status != 200:
        return Reply(status=status, location=fields.get("location", ""))
    if fields.get("content-encoding", "identity").lower() != "identity":
        raise RevocationError("the answer is compressed, which was not asked for")
    encoding, length = fields.get("transfer-encoding", "").lower(), fields.get("content-length")
    if encoding:
        if encoding != "chunked":
            raise RevocationError("the answer has an unknown transfer encoding")
        return Reply(status=status, content=await _chunked(reader, octets))
    if length is None:
        return Reply(status=status, content=await _to_the_end(reader, octets))
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise RevocationError("the answer has no sensible length")
    if int(length) > octets:
        raise _too_long(octets)
    return Reply(status=status, content=await reader.readexactly(int(length)))


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    section = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = section.removesuffix("\r\n\r\n").split("\r\n")
    version, code = (*first.split(" "), "", "")[:2]
    if version not in {"HTTP/1.0", "HTTP/1.1"} or not _STATUS.fullmatch(code):
        raise RevocationError("the answer is not HTTP")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if fields.setdefault(name, value) != value and name in _FRAMING:
            raise RevocationError(f"the answer has two different {name} fields")
    return int(code), fields


async def _to_the_end(reader: asyncio.StreamReader, octets: int) -> bytes:
    content = bytearray()
    while piece := await reader.read(_PIECE_OCTETS):
        content += piece
        if len(content) > octets:
            raise _too_long(octets)
    return bytes(content)


async def _chunked(reader: asyncio.StreamReader, octets: int) -> bytes:
    # RFC 9112, 7.1; the trailer section says nothing that we need.
    content = bytearray()
    while size := await _chunk_size(reader):
        if len(content) + size > octets:
            raise _too_long(octets)
        content += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise RevocationError("the answer's chunks do not fit")
    return bytes(content)


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readuntil(b"\r\n")
    digits = line.partition(b";")[0].strip()
    if len(line) > _CHUNK_LINE_OCTETS or not 0 < len(digits) <= 8:
        raise RevocationError("the answer's chunks have no sensible length")
    with contextlib.suppress(ValueError):
        if digits.isalnum():
            return int(digits, 16)
    raise RevocationError("the answer's chunks have no sensible length")


def _too_long(octets: int) -> RevocationError:
    return RevocationError(f"the answer is longer than {octets} octets")


def _reason(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or type(exc).__name__
