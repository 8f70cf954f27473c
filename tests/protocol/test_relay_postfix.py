"""The relay against a real Postfix and a real Dovecot: hold before the dot, TLS, AUTH, LMTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smimegw.addresses import Mailbox
from smimegw.config.choices import TLSMode
from smimegw.errors import AuthenticationError
from smimegw.limits import Limits
from smimegw.transaction import Recipient, ReversePath
from tests.peers.dovecot import Dovecot
from tests.peers.postfix import Postfix
from tests.protocol.raw_client import run
from tests.protocol.test_relay import CONTENT, FROM, relay_to

PATIENT = Limits()


@pytest.fixture(scope="module")
def mailboxes() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture(scope="module")
def postfix(mailboxes: Dovecot) -> Iterator[Postfix]:
    with Postfix(deliver_to=mailboxes.lmtp_port, sasl_port=mailboxes.sasl_port) as server:
        yield server


def user(name: str) -> Recipient:
    return Recipient(mailbox=Mailbox(name, "corp.example"))


def test_postfix_queues_nothing_before_the_dot(postfix: Postfix, mailboxes: Dovecot) -> None:
    """Three held transactions, one committed: exactly one message (cases C11, D10)."""

    async def test() -> None:
        async with relay_to(postfix.internal_port, limits=PATIENT) as relay:
            held = []
            for name in ("held1", "held2", "held3"):
                session = await relay.open("out")
                assert (await session.mail(FROM)).is_positive
                assert (await session.recipient(user(name))).is_positive
                assert await session.prepare(CONTENT) is None
                held.append(session)
            [reply] = await held[0].commit()
            assert (reply.code, reply.enhanced) == (250, "2.0.0")
            for session in held[1:]:
                await session.abort()
            for session in held:
                await session.close()

    run(test())
    [message] = mailboxes.wait_for("held1@corp.example", 1)
    assert message.endswith(b"\r\n\r\nhello\r\n.dot\r\n")
    postfix.wait_for_empty_queue()
    for name in ("held2", "held3"):
        assert not mailboxes.messages(f"{name}@corp.example")
        assert f"to=<{name}@corp.example>" not in postfix.log


def test_tls_and_login_at_postfix(postfix: Postfix, mailboxes: Dovecot) -> None:
    """STARTTLS with a verified certificate, AUTH PLAIN through Dovecot."""
    settings = {"tls_mode": TLSMode.VERIFY, "ca": postfix.ca, "limits": PATIENT}

    async def test() -> None:
        async with relay_to(postfix.submission_port, host="localhost", **settings) as relay:
            session = await relay.open("out", login=("alice@corp.example", mailboxes.password))
            assert session.extensions.dsn
            await session.mail(ReversePath(mailbox=None))
            await session.recipient(user("login"))
            assert await session.prepare(CONTENT) is None
            [reply] = await session.commit()
            assert reply.code == 250
            await session.close()
            with pytest.raises(AuthenticationError):
                await relay.open("out", login=("alice@corp.example", "wrong"))

    run(test())
    mailboxes.wait_for("login@corp.example", 1)


def test_connection_to_postfix_is_used_again(postfix: Postfix, mailboxes: Dovecot) -> None:
    """Two messages and a reset transaction over one connection; Postfix sees a clean QUIT."""

    async def test() -> None:
        async with relay_to(postfix.internal_port, limits=PATIENT) as relay:
            servers = set()
            for _ in range(2):
                probe = await relay.open("out")
                await probe.mail(FROM)
                await probe.abort()
                await probe.close()
                session = await relay.open("out")
                servers.add(session._upstream)
                await session.mail(FROM)
                await session.recipient(user("again"))
                await session.prepare(CONTENT)
                await session.commit()
                await session.close()
            assert len(servers) == 1

    run(test())
    mailboxes.wait_for("again@corp.example", 2)
    postfix.wait_for_log("ehlo=1 mail=4 rcpt=2 data=2 rset=2 quit=1")


def test_dovecot_by_lmtp(mailboxes: Dovecot) -> None:
    """One reply for each recipient from a real LMTP server."""

    async def test() -> None:
        async with relay_to(mailboxes.lmtp_port, lmtp=True, limits=PATIENT) as relay:
            session = await relay.open("out")
            await session.mail(FROM)
            for name in ("lmtp1", "lmtp2"):
                assert (await session.recipient(user(name))).is_positive
            assert await session.prepare(CONTENT) is None
            replies = await session.commit()
            assert [reply.code for reply in replies] == [250, 250]
            await session.close()

    run(test())
    for name in ("lmtp1", "lmtp2"):
        [message] = mailboxes.messages(f"{name}@corp.example")
        assert message.endswith(b"hello\r\n.dot\r\n")
