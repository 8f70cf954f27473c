"""Whoever holds old ciphertext sends it on and hopes for a bounce that quotes what was opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.adapters.smtp.settings import NextHopSettings
from smimegw.adapters.smtp.sink import Sink
from smimegw.addresses import Mailbox
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity
from smimegw.transaction import ListenerRole, Recipient, ReversePath, SessionInfo
from tests.fakes.company import Company
from tests.fakes.ports import World
from tests.interop.openssl import Files, openssl
from tests.peers.ports import free_port
from tests.peers.postfix import Postfix

SECRET = b"the price is 4711"
FIELDS = (
    b"From: eve@evil.example\r\nTo: alice@ours.example\r\nSubject: old mail\r\n"
    b"Message-ID: <e1@evil.example>\r\nMIME-Version: 1.0\r\n"
)


class FullMailbox(Sink):
    """The users' mail store: takes nothing, after Postfix has taken responsibility."""

    async def reply_to(self, step: str, usual: str) -> bytes:
        return await super().reply_to(step, "552 5.2.2 over quota" if step == "DOT" else usual)


async def bounced(
    content: bytes, company: Company, path: ReversePath, settings: dict[str, str]
) -> bytes:
    """What the sender of *content* gets back when the gateway has passed it on to Postfix."""
    store, outside = FullMailbox(port=free_port(), lmtp=True), Sink(port=free_port())
    await store.start()
    await outside.start()
    try:
        ports = {"deliver_to": store.port, "relayhost": outside.port}
        with Postfix("ours.example", **ports, settings=settings) as postfix:
            hop = NextHopSettings(host="127.0.0.1", port=postfix.internal_port)
            company.world.relay.hop = SMTPRelay(
                {"in": hop}, hostname="gw.ours.example", limits=DEFAULT_LIMITS
            )
            try:
                await deliver(content, company, path)
            finally:
                await company.world.relay.hop.aclose()
            [report] = await outside.wait_for(1, seconds=30)
    finally:
        await store.stop()
        await outside.stop()
    return report.content


async def deliver(content: bytes, company: Company, path: ReversePath) -> None:
    session = SessionInfo(
        listener="mx",
        role=ListenerRole.MX,
        protocol="ESMTP",
        peer="192.0.2.66",
        helo="evil.example",
        next_hop="in",
    )
    _, incoming = await company.gateway.begin(session, path)
    assert incoming is not None
    assert (
        await incoming.recipient(Recipient(mailbox=Mailbox("alice", "ours.example")))
    ).code < 300
    assert (await incoming.finish(Entity.parse(content))).reply.code == 250


class RealRelay:
    """A relay that is known only when Postfix runs."""

    hop: SMTPRelay

    async def open(self, next_hop: str, *, login: tuple[str, str] | None = None) -> object:
        return await self.hop.open(next_hop, login=login)


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ((), {}),
        ((("RET", "FULL"), ("ENVID", "mine")), {}),
        ((), {"smtpd_discard_ehlo_keywords": "dsn", "bounce_size_limit": "1"}),
    ],
    ids=["silent", "wants all", "without DSN, as the manual says"],
)
def test_a_bounce_never_quotes_what_was_opened(
    tmp_path: Path, parameters: tuple[tuple[str, str], ...], settings: dict[str, str]
) -> None:
    """Postfix accepts, the mailbox is full, and the report goes to whoever sent it (T-31)."""
    company = Company(world=World(relay=RealRelay()))
    alice = Files.of(company.user("alice@ours.example"), tmp_path, "alice")
    ciphertext = openssl(
        *("cms", "-encrypt", "-aes256", "-outform", "SMIME", alice.certificate),
        stdin=b"Content-Type: text/plain\n\n" + SECRET + b"\n",
    )
    entity = ciphertext.replace(b"MIME-Version: 1.0\n", b"", 1).replace(b"\n", b"\r\n")
    path = ReversePath(mailbox=Mailbox("eve", "evil.example"), parameters=parameters)
    report = asyncio.run(bounced(FIELDS + entity, company, path, settings))
    assert b"over quota" in report
    assert b"Subject: old mail" in report
    assert SECRET not in report
