"""A real Postfix as the listener's client: content filter by SMTP and LMTP, smarthost with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest

from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Outcome
from tests.fakes.reception import FakeReception, FakeTransaction
from tests.peers.postfix import Postfix
from tests.peers.tls import TLSFiles, make_tls
from tests.protocol.raw_client import place, run
from tests.protocol.test_listener import LOOPBACK

MESSAGE = "From: <alice@corp.example>\r\nSubject: x\r\n\r\n.dot\r\nGrüße\r\n".encode()
BOTH = ["bob@partner.example", "carol@partner.example"]


@contextlib.asynccontextmanager
async def started(server: Postfix) -> AsyncIterator[Postfix]:
    """Start and stop without holding up the listener."""
    await asyncio.to_thread(server.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def filtered(protocol: Literal["smtp", "lmtp"], port: int) -> Postfix:
    # Addresses must be routable to be taken at all; the filter then comes before the route.
    return Postfix(content_filter=(protocol, port), outbound={"partner.example": port})


async def send(server: Postfix) -> None:
    def work() -> None:
        with smtplib.SMTP("127.0.0.1", server.smtp_port, timeout=20) as client:
            client.sendmail("alice@corp.example", BOTH, MESSAGE, mail_options=["BODY=8BITMIME"])

    await asyncio.to_thread(work)


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_content_filter(protocol: Literal["smtp", "lmtp"]) -> None:
    """Postfix hands over its queue id, 8-bit content and both recipients, and takes our 250."""

    async def test() -> None:
        async with place(
            role=ListenerRole.RELAY, lmtp=protocol == "lmtp", xforward_from=LOOPBACK
        ) as here:
            async with started(filtered(protocol, here.listener.port)) as server:
                await send(server)
                await asyncio.to_thread(server.wait_for_log, "status=sent (250 2.0.0 OK T0)")
                await asyncio.to_thread(server.wait_for_empty_queue)
                [done] = here.reception.finished
                assert f"{done.session.upstream_id}: removed" in server.log
            assert done.content is not None
            assert done.content.raw.endswith("\r\n\r\n.dot\r\nGrüße\r\n".encode())
            assert len(done.recipients) == 2
            assert done.reverse_path.parameter("BODY") == "8BITMIME"
            assert done.session.protocol == ("ESMTP" if protocol == "smtp" else "LMTP")

    run(test())


def test_postfix_acts_on_each_lmtp_reply_alone() -> None:
    """One recipient sent, the other deferred, by one transaction (RFC 2033, 4.2)."""

    def mixed(transaction: FakeTransaction) -> Outcome:
        replies = tuple(
            Reply(250, "2.0.0", "OK")
            if recipient.mailbox.local_part == "bob"
            else Reply(451, "4.4.3", "directory not reachable")
            for recipient in transaction.recipients
        )
        return Outcome(reply=Reply(451, "4.4.3", "mixed"), per_recipient=replies)

    async def test() -> None:
        async with place(FakeReception(outcome=mixed), role=ListenerRole.RELAY, lmtp=True) as here:
            async with started(filtered("lmtp", here.listener.port)) as server:
                await send(server)
                log = await asyncio.to_thread(server.wait_for_log, "status=deferred")
                assert "to=<bob@partner.example>" in line_with(log, "status=sent")
                assert "to=<carol@partner.example>" in line_with(log, "status=deferred")
                assert "451 4.4.3 directory not reachable" in line_with(log, "status=deferred")

    run(test())


def line_with(log: str, text: str) -> str:
    return next(line for line in log.splitlines() if text in line)


@pytest.fixture
def files() -> Iterator[TLSFiles]:
    # Where user postfix can read.
    with tempfile.TemporaryDirectory(prefix="tls-") as directory:
        Path(directory).chmod(0o755)
        yield make_tls(Path(directory))


def test_smarthost_with_verified_tls(files: TLSFiles) -> None:
    """Postfix as client of our STARTTLS, demanding our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    settings = {
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": "localhost",
        "smtp_tls_CAfile": str(files.ca),
        "smtp_tls_loglevel": "1",
    }

    async def test() -> None:
        async with place(role=ListenerRole.RELAY, tls=context, tls_required=True) as here:
            async with started(Postfix(relayhost=here.listener.port, settings=settings)) as server:
                await send(server)
                log = await asyncio.to_thread(server.wait_for_log, "status=sent (250 2.0.0 OK T0)")
                assert "Verified TLS connection established" in log
            [done] = here.reception.finished
            assert done.session.protocol == "ESMTPS"
            assert done.session.tls == "TLSv1.3"

    run(test())
