"""Lets Dovecot judge logins, over the socket that it offers to mail servers.

Dovecot's "Authentication Protocol v1", of which PLAIN is enough: the client's own mechanism ended
at us.
"""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass
from pathlib import Path

from smimegw.errors import DependencyError
from smimegw.smtp.login import ACCEPTED, LATER, REFUSED, Login
from smimegw.smtp.reply import Reply

_LINE_OCTETS = 8192
_LINES = 100  # of the greeting; there are some ten


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotJudge:
    """Implements `settings.LoginJudge`.

    Attributes:
        socket: The Unix socket; None for TCP.
        host: With TCP.
        port: With TCP.
        deadline_seconds: For one answer.
    """

    socket: Path | None = None
    host: str = ""
    port: int = 0
    deadline_seconds: float = 20.0

    async def judge(self, login: Login, client: str) -> Reply:
        """Ask on a connection of its own.

        Raises:
            DependencyError: It cannot be reached, or says what is no answer.
        """
        try:
            async with asyncio.timeout(self.deadline_seconds):
                reader, writer = await self._connect()
                try:
                    return await _ask(reader, writer, login, client)
                finally:
                    writer.close()
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as exc:
            place = str(self.socket or f"{self.host}:{self.port}")
            reason = getattr(exc, "strerror", None) or str(exc) or "no answer in time"
            raise DependencyError(f"Dovecot at {place} cannot judge logins: {reason}") from exc

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket is not None:
            return await asyncio.open_unix_connection(str(self.socket), limit=_LINE_OCTETS)
        return await asyncio.open_connection(self.host, self.port, limit=_LINE_OCTETS)


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, login: Login, client: str
) -> Reply:
    writer.write(f"VERSION\t1\t2\nCPID\t{os.getpid()}\n".encode())
    for _ in range(_LINES):
        words = await _words(reader)
        if words[0] == "VERSION" and words[1:2] != ["1"]:
            raise ValueError("another protocol")
        if words[0] == "DONE":
            break
    secret = base64.b64encode(f"\0{login.user}\0{login.password}".encode()).decode("ascii")
    # "secured": our client's connection was judged by us before it could send a password.
    writer.write(f"AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip={client}\tresp={secret}\n".encode())
    await writer.drain()
    for _ in range(_LINES):
        words = await _words(reader)
        if words[:2] == ["OK", "1"]:
            return ACCEPTED
        if words[:2] == ["FAIL", "1"]:
            # "temp": its database is down, which says nothing about the password.
            return LATER if "temp" in words or "code=temp_fail" in words else REFUSED
    raise ValueError("no answer among its lines")


async def _words(reader: asyncio.StreamReader) -> list[str]:
    line = await reader.readuntil(b"\n")
    return line[:-1].decode("utf-8", "replace").split("\t")
