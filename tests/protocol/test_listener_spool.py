"""What a client sends goes to the spool, and a disk without room costs nobody else anything."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smimegw.adapters.spool.file import FileStore
from smimegw.limits import Limits
from tests.protocol.raw_client import Client, Place, place, run

_LINE = b"the quick brown fox jumps over the lazy dog, again and again\r\n"
_LONG = b"Subject: x\r\n\r\n" + _LINE * 30_000
_LIMITS = Limits(drain_seconds=5, memory_octets=100_000)
_NO_ROOM = "452 4.3.1 no room for the message, try later"


@contextmanager
def disk_with(octets: int) -> Iterator[None]:
    """No file of this process can grow beyond *octets*."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def store(directory: Path) -> FileStore:
    return FileStore(directory, memory_octets=_LIMITS.memory_octets)


async def told(here: Place, content: bytes) -> tuple[str, Client]:
    client = await here.in_data()
    await client.send(content + b".\r\n")
    return await client.reply(), client


def test_long_content_arrives_octet_for_octet(tmp_path: Path) -> None:
    """Threads write it, and the commands behind its end are not lost (RFC 2920)."""

    async def test() -> None:
        async with place(limits=_LIMITS, store=store(tmp_path)) as here:
            client = await here.in_data()
            await client.send(_LONG + b".\r\nNOOP\r\nQUIT\r\n")
            assert [reply[:3] for reply in await client.replies(3)] == ["250", "250", "221"]
            assert here.reception.finished[0].content.content == _LONG

    run(test())


def test_full_disk_is_452_after_the_data(tmp_path: Path) -> None:
    """The log says what to do, the session goes on, and small mail is taken (R-21)."""

    async def test() -> None:
        async with place(limits=_LIMITS, store=store(tmp_path)) as here:
            with disk_with(200_000):
                reply, client = await told(here, _LONG)
            assert reply == _NO_ROOM
            (said,) = here.events.named("spool.error")
            assert said["code"] == "R-21"
            assert "make room on the disk" in str(said["text"])
            await client.say("MAIL FROM:<a@corp.example>")
            await client.say("RCPT TO:<b@partner.example>")
            await client.say("DATA")
            await client.send(b"Subject: small\r\n\r\n.\r\n")
            assert (await client.reply()).startswith("250")

    run(test())


@pytest.mark.parametrize("name", ["absent", "file"])
def test_spool_that_cannot_be_written_is_452(tmp_path: Path, name: str) -> None:
    """As after a mount that failed (R-21)."""
    (tmp_path / "file").write_bytes(b"")

    async def test() -> None:
        async with place(limits=_LIMITS, store=store(tmp_path / name)) as here:
            reply, _ = await told(here, _LONG)
            assert reply == _NO_ROOM
            assert len(here.events.named("spool.error")) == 1
            assert not here.reception.finished

    run(test())
