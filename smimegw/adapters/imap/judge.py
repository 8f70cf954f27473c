"""Lets an IMAP server judge logins: whoever may read mail there may send here (RFC 9051, 6.2.2).

AUTHENTICATE PLAIN is what every server has that takes passwords; nothing is read or changed.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from smimegw.adapters.names import addresses_of
from smimegw.errors import DependencyError
from smimegw.smtp.login import ACCEPTED, LATER, REFUSED, Login
from smimegw.smtp.reply import Reply

_LINE_OCTETS = 8192
_LINES = 100  # untagged ones before the answer; there are a few
# RFC 5530, 3: what says nothing about the password
_FOR_NOW = (b"[UNAVAILABLE]", b"[INUSE]", b"[LIMIT]", b"[SERVERBUG]", b"[CONTACTADMIN]")


@dataclass(frozen=True, slots=True, kw_only=True)
class IMAPJudge:
    """Implements the listener's `LoginJudge`.

    Attributes:
        host: Name or address of the server.
        port: Its port.
        implicit_tls: TLS from the first octet.
        start_tls: TLS after STARTTLS; with neither the server must be this machine.
        ca: PEM file of the authorities for TLS; None for the system's.
        deadline_seconds: For one answer.
    """

    host: str
    port: int
    implicit_tls: bool = True
    start_tls: bool = False
    ca: Path | None = None
    deadline_seconds: float = 20.0

    async def judge(self, login: Login, client: str) -> Reply:  # noqa: ARG002 – IMAP has no word for it
        """Log in, and out again.

        Raises:
            DependencyError: It cannot be reached, or says what is no answer.
        """
        try:
            async with asyncio.timeout(self.deadline_seconds), self._connected() as dialogue:
                return await dialogue.authenticate(login)
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as exc:
            reason = getattr(exc, "verify_message", "") or getattr(exc, "strerror", None)
            reason = reason or str(exc) or "no answer in time"
            place = f"{self.host}:{self.port}"
            raise DependencyError(f"IMAP at {place} cannot judge logins: {reason}") from exc

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Dialogue]:
        context = None
        if self.implicit_tls or self.start_tls:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        reader, writer = await self._open(context if self.implicit_tls else None)
        try:
            dialogue = _Dialogue(reader, writer)
            await dialogue.greeted()
            if context is not None and self.start_tls:
                await dialogue.start_tls(context, self.host)
            yield dialogue
        finally:
            writer.transport.abort()

    async def _open(
        self, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        error: OSError | None = None
        for address in await addresses_of(self.host, self.port):
            try:
                return await asyncio.open_connection(
                    address,
                    self.port,
                    limit=_LINE_OCTETS,
                    ssl=context,
                    server_hostname=self.host if context else None,
                )
            except OSError as exc:
                error = exc
        raise error or OSError("its name has no address")


class _Dialogue:
    """Commands and their answers, one at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._count = 0

    async def greeted(self) -> None:
        """Read the greeting; only one that asks for a login will do."""
        line = await self._line()
        if not line.upper().startswith(b"* OK"):
            raise ValueError(f"it greeted with {_shown(line)}")

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """STARTTLS (RFC 9051, 6.2.1); what came in clear before the handshake ends it."""
        answer = await self._answer(self._send(b"STARTTLS"))
        if not answer.startswith(b"OK"):
            raise ValueError(f"it answered STARTTLS with {_shown(answer)}")
        if self._reader._buffer:  # type: ignore[attr-defined] # there is no public question
            raise ValueError("it sent octets in clear after its answer to STARTTLS")
        await self._writer.start_tls(context, server_hostname=name)
        # QUIRK 2026-11 CPython 3.11-3.13: start_tls leaves the reader with the old transport.
        self._reader._transport = self._writer.transport  # type: ignore[attr-defined]

    async def authenticate(self, login: Login) -> Reply:
        """AUTHENTICATE PLAIN; the password goes out only when the server waits for it."""
        tag = self._send(b"AUTHENTICATE PLAIN")
        if await self._answer(tag, or_continue=True) != b"+":
            raise ValueError("it does not take AUTHENTICATE PLAIN")
        secret = base64.b64encode(f"\0{login.user}\0{login.password}".encode())
        self._writer.write(secret + b"\r\n")
        answer = await self._answer(tag)
        if answer.startswith(b"OK"):
            self._send(b"LOGOUT")
            return ACCEPTED
        if not answer.startswith(b"NO"):
            raise ValueError(f"it answered the login with {_shown(answer)}")
        return LATER if any(code in answer for code in _FOR_NOW) else REFUSED

    def _send(self, command: bytes) -> bytes:
        self._count += 1
        tag = b"a%d" % self._count
        self._writer.write(tag + b" " + command + b"\r\n")
        return tag

    async def _answer(self, tag: bytes, *, or_continue: bool = False) -> bytes:
        """What stands behind *tag*, in upper case; ``+`` when the server waits for more."""
        for _ in range(_LINES):
            line = await self._line()
            if line.startswith(tag + b" "):
                return line[len(tag) + 1 :].upper()
            if line.startswith(b"+"):
                if or_continue:
                    return b"+"
                raise ValueError("it waits for what nobody wants to say")
            if line.upper().startswith(b"* BYE"):
                raise ValueError(f"it said {_shown(line)}")
            if not line.startswith(b"* "):
                raise ValueError("it does not speak IMAP")
        raise ValueError("no answer among its lines")

    async def _line(self) -> bytes:
        return (await self._reader.readuntil(b"\n")).rstrip(b"\r\n")


def _shown(line: bytes) -> str:
    """The beginning of a server's line, for the log."""
    text = line[:60].decode("ascii", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
