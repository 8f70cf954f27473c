"""A mail client that knows for every recipient whether it was told 250."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from smimegw.smtp.content import stuffed


class Gone(Exception):  # noqa: N818 – an outcome of the other side
    """The gateway broke off or did not answer in time."""


async def send(
    port: int, sender: str, recipients: Sequence[str], content: bytes, *, lmtp: bool, seconds: float
) -> dict[str, int]:
    """Send once; the code each recipient was answered with.

    Raises:
        Gone: No answer; nobody was told anything.
    """
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await _talk(reader, writer, sender, recipients, content, lmtp)
            finally:
                writer.transport.abort()
    except (OSError, EOFError, ValueError) as exc:  # TimeoutError is an OSError
        raise Gone from exc


async def _talk(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    lmtp: bool,
) -> dict[str, int]:
    async def ask(line: str) -> int:
        writer.write(line.encode() + b"\r\n")
        return await _reply(reader)

    await _reply(reader)
    await ask(f"{'LHLO' if lmtp else 'EHLO'} client.example")
    code = await ask(f"MAIL FROM:<{sender}>")
    taken = []
    for recipient in recipients if code == 250 else ():
        code = await ask(f"RCPT TO:<{recipient}>")
        if code != 250:
            break  # all of them or none, to keep the reckoning simple
        taken.append(recipient)
    if len(taken) < len(recipients):
        return dict.fromkeys(recipients, code)
    code = await ask("DATA")
    if code != 354:
        return dict.fromkeys(recipients, code)
    writer.write(b"".join(stuffed([content])) + b".\r\n")
    if not lmtp:
        return dict.fromkeys(recipients, await _reply(reader))
    return {recipient: await _reply(reader) for recipient in recipients}


async def _reply(reader: asyncio.StreamReader) -> int:
    line = await reader.readuntil(b"\n")
    while line[3:4] == b"-":
        line = await reader.readuntil(b"\n")
    return int(line[:3])
