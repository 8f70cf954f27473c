"""The LMTP listener answers once for each recipient (RFC 2033)."""

from __future__ import annotations

from smimegw.limits import Limits
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient, ReversePath
from tests.fakes.reception import FakeReception, FakeTransaction
from tests.protocol.raw_client import Client, Place, place, run

GROUP = (
    b"MAIL FROM:<a@corp.example>\r\nRCPT TO:<b@partner.example>\r\n"
    b"RCPT TO:<no@partner.example>\r\nRCPT TO:<c@partner.example>\r\nDATA\r\n"
)


def _rcpt(recipient: Recipient) -> Reply:
    refused = recipient.mailbox.local_part == "no"
    return Reply(550, "5.1.1", "unknown") if refused else Reply(250, "2.1.5", "OK")


def _mixed(transaction: FakeTransaction) -> Outcome:
    return Outcome(
        reply=Reply(451, "4.0.0", "mixed"),
        per_recipient=tuple(
            Reply(250, "2.0.0", str(r.mailbox))
            if r.mailbox.local_part == "b"
            else Reply(452, "4.2.2", str(r.mailbox))
            for r in transaction.recipients
        ),
    )


async def _in_data(here: Place) -> Client:
    client = await here.greeted("LHLO mail.corp.example")
    await client.send(GROUP)
    codes = [reply[:3] for reply in await client.replies(5)]
    assert codes == ["250", "250", "550", "250", "354"]
    return client


def test_one_reply_for_each_accepted_recipient_in_order() -> None:
    """The refused RCPT gets none (RFC 2033, 4.2)."""

    async def test() -> None:
        async with place(FakeReception(rcpt=_rcpt, outcome=_mixed), lmtp=True) as here:
            client = await _in_data(here)
            await client.send(b"Subject: x\r\n\r\nbody\r\n.\r\nNOOP\r\n")
            assert await client.replies(3) == [
                "250 2.0.0 b@partner.example",
                "452 4.2.2 c@partner.example",
                "250 2.0.0 OK",
            ]
            assert here.reception.finished[0].session.protocol == "LMTP"
            assert here.reception.finished[0].session.is_lmtp

    run(test())


def test_refused_content_is_refused_for_each_recipient() -> None:
    """The number of replies is right also when the listener itself refuses."""

    async def test() -> None:
        async with place(FakeReception(rcpt=_rcpt), lmtp=True) as here:
            client = await _in_data(here)
            await client.send(b"Subject: x\n\r\n.\r\nNOOP\r\n")
            replies = await client.replies(3)
            assert [r[:9] for r in replies] == ["550 5.5.2", "550 5.5.2", "250 2.0.0"]

    run(test())


def test_unexpected_error_answers_for_each_recipient() -> None:
    """A client that counts replies must not get out of step (R-17)."""

    async def test() -> None:
        reception = FakeReception(rcpt=_rcpt)

        def broken(transaction: FakeTransaction) -> Outcome:
            raise RuntimeError

        reception.outcome = broken
        async with place(reception, lmtp=True) as here:
            client = await _in_data(here)
            await client.send(b"Subject: x\r\n\r\n.\r\nNOOP\r\n")
            assert [r[:9] for r in await client.replies(3)] == [
                "451 4.3.0",
                "451 4.3.0",
                "250 2.0.0",
            ]

    run(test())


def test_wrong_number_of_outcomes_is_made_right() -> None:
    """One reply for all rather than replies for the wrong recipients."""

    async def test() -> None:
        def short(transaction: FakeTransaction) -> Outcome:
            return Outcome(reply=Reply(451, "4.3.0", "x"), per_recipient=(Reply(250, "", "y"),))

        async with place(FakeReception(rcpt=_rcpt, outcome=short), lmtp=True) as here:
            client = await _in_data(here)
            await client.send(b"Subject: x\r\n\r\n.\r\n")
            assert await client.replies(2) == ["451 4.3.0 x", "451 4.3.0 x"]

    run(test())


def test_lmtp_has_its_own_hello() -> None:
    """HELO and EHLO are refused (RFC 2033, 4.1)."""

    async def test() -> None:
        async with place(lmtp=True) as here:
            client = await here.connect()
            await client.reply()
            assert (await client.say("EHLO client.example")).startswith("500 5.5.1")
            assert (await client.say("HELO client.example")).startswith("500 5.5.1")
            assert (await client.say("LHLO client.example")).startswith("250")

    run(test())


def test_data_without_accepted_recipient_is_out_of_order() -> None:
    """503, also when recipients were refused (RFC 2033, 4.2)."""

    async def test() -> None:
        async with place(FakeReception(rcpt=_rcpt), lmtp=True) as here:
            client = await here.greeted("LHLO client.example")
            await client.say("MAIL FROM:<>")
            await client.say("RCPT TO:<no@partner.example>")
            assert (await client.say("DATA")).startswith("503 5.5.1")

    run(test())


def test_service_closing_is_a_farewell() -> None:
    """A 421 of the pipeline closes the session, as its code says (RFC 5321, 3.8)."""

    async def test() -> None:
        def closing(path: ReversePath) -> Reply:
            return Reply(421, "4.3.2", "not now")

        async with place(FakeReception(mail=closing), Limits(drain_seconds=5)) as here:
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<>")).startswith("421 4.3.2")
            assert await client.rest() == b""

    run(test())
