"""What the log says about a message, so that an administrator finds it again elsewhere."""

from __future__ import annotations

import asyncio

from smimegw.addresses import Mailbox
from smimegw.mime.entity import Entity
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Recipient, ReversePath, SessionInfo
from tests.fakes.company import Company, message


def test_upstream_queue_id_stands_in_the_log() -> None:
    """Postfix' queue id joins its log and ours (XFORWARD_README, IDENT)."""
    company = Company()
    session = SessionInfo(
        listener="relay",
        role=ListenerRole.RELAY,
        protocol="LMTP",
        peer="192.0.2.10",
        helo="mail.ours.example",
        next_hop="out",
        upstream_id="8FE5D298F",
    )

    async def deliver() -> None:
        path = ReversePath(mailbox=Mailbox.parse("alice@ours.example"))
        _, incoming = await company.gateway.begin(session, path)
        assert incoming is not None
        await incoming.recipient(Recipient(mailbox=Mailbox.parse("bob@clear.example")))
        await incoming.finish(Entity.parse(message("alice@ours.example", "bob@clear.example")))

    asyncio.run(deliver())
    [received] = company.world.events.named("message.received")
    assert received["upstream_id"] == "8FE5D298F"
    assert received["client"] == "192.0.2.10"


def test_a_long_message_id_does_not_fill_log_journal_and_records() -> None:
    """Whoever sends chooses it, and it is written down several times (RFC 5322, 2.1.1)."""
    company = Company()
    long = f"<{'x' * 60_000}@ours.example>"
    mail = message("alice@ours.example", "bob@clear.example")
    mail = mail.replace(b"<1@test>", long.encode())
    assert company.send("relay", ["bob@clear.example"], mail).reply.code == 250
    [received] = company.world.events.named("message.received")
    assert received["message-id"] == long[:998]
    [dot] = company.world.journal.dots
    assert dot.message_id == long[:998]
    assert company.world.records.written[0]["message_id"] == long[:998]
