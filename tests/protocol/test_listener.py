"""The listener speaks SMTP: order of commands, extensions, limits, what reaches the pipeline."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from typing import Any

import pytest

from smimegw import failpoints
from smimegw.addresses import Mailbox
from smimegw.limits import MIB, Limits
from smimegw.smtp.content import TOO_LARGE
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Outcome, Recipient
from tests.fakes.reception import FakeReception
from tests.protocol.raw_client import place, run

COMMANDS = frozenset(
    {"AUTH", "DATA", "EHLO", "EXPN", "HELO", "HELP", "LHLO", "MAIL"}
    | {"NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY", "XCLIENT", "XFORWARD"}
)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def test_pipelined_group_gets_every_reply_in_order() -> None:
    """MAIL, three RCPT and DATA in one segment (case A14; RFC 2920, 3.1)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.send(
                b"MAIL FROM:<a@corp.example>\r\n"
                b"RCPT TO:<b@partner.example>\r\nRCPT TO:<c@partner.example>\r\n"
                b"RCPT TO:<d@partner.example>\r\nDATA\r\n"
            )
            codes = [reply[:3] for reply in await client.replies(5)]
            assert codes == ["250", "250", "250", "250", "354"]
            await client.send(b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n")
            assert [r[:3] for r in await client.replies(2)] == ["250", "221"]
            [done] = here.reception.finished
            assert [str(r.mailbox) for r in done.recipients] == [
                "b@partner.example",
                "c@partner.example",
                "d@partner.example",
            ]

    run(test())


def test_content_arrives_octet_for_octet() -> None:
    """Dots unstuffed, odd header lines and 8-bit octets as they came (RFC 5321, 4.5.2)."""
    wire = b"Subject : \xe4\r\nX:\tfolded\r\n  more\r\n\r\n..\r\n..dot\r\n \r\nend \r\n"

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            await client.send(wire + b".\r\n")
            assert (await client.reply()).startswith("250 2.0.0 OK")
            assert here.reception.finished[0].content.raw == wire.replace(b"\r\n..", b"\r\n.")

    run(test())


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\nbody only\r\n", b"no header at all\r\n", b"Subject: header only\r\n", b"\r\n"],
    ids=["empty", "body-only", "no-header", "header-only", "one-empty-line"],
)
def test_content_without_header_or_body_is_not_changed(content: bytes) -> None:
    """Whether it is acceptable is not the listener's matter (case A28)."""

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            await client.send(content + b".\r\n")
            assert (await client.reply()).startswith("250")
            assert here.reception.finished[0].content.raw == content

    run(test())


@pytest.mark.parametrize(
    ("fault", "reply"),
    [
        ("nomem", "452 4.3.1 no room for the message, try later"),
        ("enospc", "452 4.3.1 no room for the message, try later"),
        ("raise", "451 4.3.0 internal error T0"),
    ],
)
def test_trouble_in_the_midst_of_data_ends_the_session(fault: str, reply: str) -> None:
    """Lines of a message are never taken for commands, whatever broke (C29, T-02)."""

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            failpoints.arm(f"session.receiving={fault}")
            try:
                await client.send(b"Subject: x\r\n\r\n")
                told = await client.reply()
            finally:
                failpoints.arm("")
            assert told.startswith(reply)
            with contextlib.suppress(OSError):
                await client.send(b"MAIL FROM:<evil@partner.example>\r\n")
            assert await client.rest() == b""
            assert len(here.reception.begun) == len(here.reception.abandoned) == 1

    run(test())


def test_command_line_too_long_is_skipped() -> None:
    """2,049 octets → 500 5.5.2, and the next command works (case A16)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            line = b"NOOP " + b"x" * (2049 - 7)
            assert (await client.say(line)).startswith("500 5.5.2")
            assert (await client.say(line[:-1])).startswith("250")
            assert (await client.say(b"NOOP " + b"x" * 300_000)).startswith("500 5.5.2")
            assert (await client.say("NOOP")).startswith("250")

    run(test())


@pytest.mark.parametrize(
    "line",
    [b"NOOP\n", b"NO\0OP\r\n", b"NOOP\rRSET\r\n", b"NOOP\r\r\n", b"NOOP\n\r\n"],
    ids=["bare-LF", "NUL", "bare-CR", "CR-CR-LF", "LF-CRLF"],
)
def test_command_with_bare_line_end_is_refused(line: bytes) -> None:
    """Only CRLF ends a command (RFC 5321, 2.3.8; R-53)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.send(line)
            assert (await client.reply()).startswith("500 5.5.2")

    run(test())


@pytest.mark.parametrize(
    ("before", "command"),
    [
        ([], "RCPT TO:<b@partner.example>"),
        ([], "DATA"),
        (["MAIL FROM:<a@corp.example>"], "DATA"),
        (["MAIL FROM:<a@corp.example>"], "MAIL FROM:<c@corp.example>"),
        (["MAIL FROM:<a@corp.example>"], "AUTH PLAIN AGEAYg=="),
        ([], "STARTTLS"),
    ],
)
def test_command_out_of_order_is_refused(before: list[str], command: str) -> None:
    """503 5.5.1 and the session goes on (case A18)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            for line in before:
                assert (await client.say(line)).startswith("250")
            assert (await client.say(command)).startswith("503 5.5.1")
            assert (await client.say("RSET")).startswith("250")

    run(test())


def test_mail_before_hello_is_refused() -> None:
    """503 5.5.1 (RFC 5321, 4.1.4)."""

    async def test() -> None:
        async with place() as here:
            client = await here.connect()
            await client.reply()
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("503 5.5.1")

    run(test())


def test_data_after_refused_recipients_names_the_reason() -> None:
    """All RCPT refused: DATA → 554 5.5.1 no valid recipients (N-03)."""

    async def test() -> None:
        reception = FakeReception(rcpt=lambda recipient: Reply(550, "5.1.1", "unknown"))
        async with place(reception) as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            assert await client.say("RCPT TO:<b@partner.example>") == "550 5.1.1 unknown"
            assert await client.say("DATA") == "554 5.5.1 no valid recipients"

    run(test())


def test_declared_size_over_the_limit_is_refused_at_mail() -> None:
    """SIZE= above the offer, which leaves room for growth → 552 5.3.4 (case A20, R-19)."""

    async def test() -> None:
        async with place(FakeReception(offered=Extensions(size=7250))) as here:
            client = await here.connect()
            await client.reply()
            assert "\n250 SIZE 5000" in await client.say("EHLO client.example")
            assert (await client.say("MAIL FROM:<a@corp.example> SIZE=5001")).startswith(
                "552 5.3.4"
            )
            assert (await client.say("MAIL FROM:<a@corp.example> SIZE=5000")).startswith("250")

    run(test())


def test_true_size_over_the_limit_is_refused_at_the_end() -> None:
    """A small SIZE= does not help (A20, R-55): 552 5.3.4 after the data, the session goes on."""

    async def test() -> None:
        async with place(limits=Limits(message_octets=10_000, drain_seconds=5)) as here:
            client = await here.in_data()
            await client.send(b"x" * 9_999 + b"\r\n.\r\n")
            assert (await client.reply()).startswith("552 5.3.4")
            assert (await client.say("NOOP")).startswith("250")
            [mail] = here.reception.abandoned
            assert mail.was_refused == [TOO_LARGE]  # the records tell of it, too
            assert not here.reception.finished

    run(test())


def test_far_too_much_data_closes_the_connection() -> None:
    """Above twice the limit there is no waiting for the end (case A20)."""

    async def test() -> None:
        async with place(limits=Limits(message_octets=10_000, drain_seconds=5)) as here:
            client = await here.in_data()
            await client.send(b"x" * 20_001)
            assert (await client.rest()).startswith(b"552 5.3.4")
            [mail] = here.reception.abandoned
            assert mail.was_refused == [TOO_LARGE]

    run(test())


def test_reset_ends_the_transaction_in_every_state() -> None:
    """RSET → 250 and the pipeline hears of it (case A24)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            assert (await client.say("RSET")).startswith("250")
            for count, lines in enumerate(
                (["MAIL FROM:<a@corp.example>"], ["MAIL FROM:<>", "RCPT TO:<b@corp.example>"]), 1
            ):
                for line in lines:
                    assert (await client.say(line)).startswith("250")
                assert (await client.say("RSET")).startswith("250")
                assert len(here.reception.abandoned) == count

    run(test())


@pytest.mark.parametrize("farewell", [b"QUIT\r\n", b"EHLO again.example\r\n", b""])
def test_transaction_left_behind_is_abandoned_once(farewell: bytes) -> None:
    """QUIT, EHLO or a closed connection (case A24; RFC 5321, 4.1.4)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            await client.send(farewell)
            if farewell:
                await client.reply()
            await client.close()
            await here.listener.drain()
            assert [t.abandoned for t in here.reception.begun] == [1]

    run(test())


def test_client_gone_inside_data_leaves_nothing() -> None:
    """Half a message is no message (case C01)."""

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            await client.send(b"Subject: x\r\n\r\nhalf")
            await client.close()
            await here.listener.drain()
            assert len(here.reception.abandoned) == 1
            assert not here.reception.finished

    run(test())


def test_client_gone_while_the_pipeline_works_ends_the_work() -> None:
    """After the dot, before the canary: nothing is delivered, the client sends it again."""

    async def test() -> None:
        # Draining would cancel it too, but only much later than this test waits.
        limits = Limits(drain_seconds=600)
        async with place(FakeReception(hold=asyncio.Event()), limits) as here:
            client = await here.in_data()
            await client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
            await here.reception.finishing.wait()
            await client.close()
            await asyncio.wait_for(here.listener.drain(), 20)
            assert here.reception.cancelled == 1
            assert len(here.reception.abandoned) == 1
            assert not here.reception.finished

    run(test())


def test_client_that_sent_quit_ahead_is_not_gone() -> None:
    """A closed sending side with QUIT still unread is a pipelined good-bye."""

    async def test() -> None:
        async with place(FakeReception(hold=asyncio.Event())) as here:
            client = await here.in_data()
            await client.send(b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n")
            client.writer.write_eof()
            await here.reception.finishing.wait()
            here.reception.hold.set()
            assert [r[:3] for r in await client.replies(2)] == ["250", "221"]

    run(test())


def test_parameters_arrive_exactly_as_sent() -> None:
    """DSN parameters with xtext keep their case and their escapes (RFC 3461, 4)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.say(
                "MAIL FROM:<a@corp.example> body=8BITMIME RET=HDRS ENVID=Qq+2B314 SIZE=10"
            )
            await client.say("RCPT TO:<b@partner.example> NOTIFY=never ORCPT=rfc822;B+2Bx@p.org")
            [begun] = here.reception.begun
            assert begun.reverse_path.parameters == (
                ("BODY", "8BITMIME"),
                ("RET", "HDRS"),
                ("ENVID", "Qq+2B314"),
                ("SIZE", "10"),
            )
            assert begun.recipients[0].parameters == (
                ("NOTIFY", "never"),
                ("ORCPT", "rfc822;B+2Bx@p.org"),
            )

    run(test())


def test_addresses_are_not_rewritten() -> None:
    """Quoted local parts and their case stay; comments are refused (RFC 5321, 4.1.2)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.say('MAIL FROM:<"A b"@Corp.Example>')
            assert here.reception.begun[0].reverse_path.mailbox == Mailbox("A b", "corp.example")
            for path in ("<a(comment)@b.example>", "<@x.example>", "b@c.example"):
                assert (await client.say(f"RCPT TO:{path}")).startswith("501 5.1.3")

    run(test())


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("MAIL FROM:<a@corp.example> RET=FULL", "555 5.5.4"),
        ("MAIL FROM:<a@corp.example> BODY=8BITMIME", "555 5.5.4"),
        ("MAIL FROM:<a@corp.example> SMTPUTF8", "553 5.6.7"),
        ("MAIL FROM:<a@corp.example> FUTURE=1", "555 5.5.4"),
    ],
)
def test_extension_that_was_not_offered_is_refused(command: str, reply: str) -> None:
    """What the next hop cannot do is neither announced nor taken (case L03)."""

    async def test() -> None:
        async with place(FakeReception(offered=Extensions())) as here:
            client = await here.connect()
            await client.reply()
            offered = await client.say("EHLO client.example")
            for keyword in ("8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "AUTH", "XFORWARD"):
                assert keyword not in offered
            assert "PIPELINING" in offered
            assert "ENHANCEDSTATUSCODES" in offered
            assert (await client.say(command)).startswith(reply)

    run(test())


def test_postmaster_needs_no_domain() -> None:
    """RCPT TO:<postmaster> is taken in any case (RFC 5321, 4.5.1)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<>")
            assert (await client.say("RCPT TO:<PostMaster> NOTIFY=NEVER")).startswith("250")
            [recipient] = here.reception.begun[0].recipients
            assert str(recipient.mailbox) == "postmaster@gw.corp.example"
            assert recipient.parameters == (("NOTIFY", "NEVER"),)
            assert (await client.say("RCPT TO:<root>")).startswith("501 5.1.3")

    run(test())


def test_smtputf8_address_needs_the_parameter() -> None:
    """553 5.6.7 without SMTPUTF8 at MAIL (RFC 6531, 3.4)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            assert (await client.say("RCPT TO:<jürgen@partner.example>")).startswith("553 5.6.7")
            await client.say("RSET")
            await client.say("MAIL FROM:<a@corp.example> SMTPUTF8")
            assert (await client.say("RCPT TO:<jürgen@partner.example>")).startswith("250")

    run(test())


def test_too_many_recipients() -> None:
    """One more than the limit → 452 4.5.3, the others stay (R-25)."""

    async def test() -> None:
        async with place(limits=Limits(recipients=2, drain_seconds=5)) as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            replies = [await client.say(f"RCPT TO:<u{n}@partner.example>") for n in range(3)]
            assert [r[:9] for r in replies] == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
            assert (await client.say("DATA")).startswith("354")

    run(test())


def test_errors_end_the_session() -> None:
    """Five are borne, the sixth brings 421."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            for _ in range(5):
                assert (await client.say("FROBNICATE")).startswith("500 5.5.1")
            await client.send(b"FROBNICATE\r\nNOOP\r\n")
            assert (await client.replies(2))[1].startswith("421 4.7.0")
            assert await client.rest() == b""

    run(test())


def test_refused_recipients_are_no_protocol_errors() -> None:
    """A mail server with many unknown recipients keeps its session."""

    async def test() -> None:
        reception = FakeReception(rcpt=lambda recipient: Reply(550, "5.1.1", "unknown"))
        async with place(reception) as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            for number in range(20):
                reply = await client.say(f"RCPT TO:<u{number}@partner.example>")
                assert reply == "550 5.1.1 unknown"

    run(test())


def test_rest_of_a_refused_group_is_no_protocol_error() -> None:
    """MAIL refused, ten RCPT and DATA pipelined behind it: the session is kept (RFC 2920, 3.1)."""

    async def test() -> None:
        reception = FakeReception(mail=lambda path: Reply(452, "4.3.1", "disk full"))
        async with place(reception) as here:
            client = await here.greeted()
            await client.send(
                b"MAIL FROM:<a@corp.example>\r\n"
                + b"RCPT TO:<b@partner.example>\r\n" * 10
                + b"DATA\r\nRSET\r\n"
            )
            codes = [reply[:3] for reply in await client.replies(13)]
            assert codes == ["452", *["503"] * 11, "250"]

    run(test())


def test_commands_without_mail_end_the_session() -> None:
    """A session that never mails is not kept for ever."""

    async def test() -> None:
        async with place(limits=Limits(commands_without_mail=10, drain_seconds=5)) as here:
            client = await here.greeted()
            replies = [await client.say("NOOP") for _ in range(10)]
            assert [r[:3] for r in replies] == ["250"] * 9 + ["421"]

    run(test())


def test_transactions_without_mail_end_the_session() -> None:
    """Nor is one that begins and resets for ever (limits of sessions)."""

    async def test() -> None:
        async with place(limits=Limits(commands_without_mail=10, drain_seconds=5)) as here:
            client = await here.greeted()
            await client.send(b"MAIL FROM:<a@corp.example>\r\nRSET\r\n" * 6)
            assert (await client.rest()).endswith(b"421 4.7.0 too many commands without mail\r\n")

    run(test())


def test_recipients_of_one_message_are_not_commands_without_mail() -> None:
    """Two hundred of them are one message's (R-25)."""

    async def test() -> None:
        async with place(limits=Limits(commands_without_mail=10, drain_seconds=5)) as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            replies = [await client.say(f"RCPT TO:<u{n}@partner.example>") for n in range(30)]
            assert {r[:3] for r in replies} == {"250"}
            assert (await client.say("DATA")).startswith("354")

    run(test())


def test_refused_recipients_are_limited() -> None:
    """Whoever guesses addresses does not get an answer for each (R-25)."""

    async def test() -> None:
        reception = FakeReception(rcpt=lambda recipient: Reply(550, "5.1.1", "no such user"))
        async with place(reception, Limits(recipients=3, drain_seconds=5)) as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            replies = [await client.say(f"RCPT TO:<u{n}@partner.example>") for n in range(5)]
            assert [r[:9] for r in replies] == ["550 5.1.1"] * 3 + ["452 4.5.3"] * 2

    run(test())


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("VRFY alice", "252 2.5.0"),
        ("VRFY", "501 5.5.4"),
        ("EXPN staff", "502 5.5.1"),
        ("HELP", "214 2.0.0"),
        ("NOOP anything", "250 2.0.0"),
        ("QUIT now", "501 5.5.4"),
        ("", "500 5.5.1"),
        ("EHLO", "501 5.5.4"),
        ("EHLO two words", "501 5.5.4"),
        ("LHLO client.example", "500 5.5.1"),
        ("XFORWARD IDENT=1", "550 5.7.1"),
        ("MAIL a@corp.example", "501 5.5.4"),
        ("GET / HTTP/1.1", "421 4.7.0"),
    ],
)
def test_other_commands(command: str, reply: str) -> None:
    """Each has its reply (RFC 5321, 4.3.2)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            assert (await client.say(command)).startswith(reply)

    run(test())


def test_helo_client_gets_no_extensions() -> None:
    """HELO is SMTP without parameters (RFC 5321, 4.1.1.1)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted("HELO old.example")
            assert (await client.say("MAIL FROM:<a@corp.example> SIZE=1")).startswith("555 5.5.4")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            assert here.reception.begun[0].session.protocol == "SMTP"
            assert here.reception.begun[0].session.helo == "old.example"

    run(test())


def test_peer_that_is_not_allowed_is_turned_away() -> None:
    """554 5.7.1 instead of a greeting (RFC 5321, 3.1)."""

    async def test() -> None:
        async with place(peers=(ipaddress.ip_network("192.0.2.0/24"),)) as here:
            client = await here.connect()
            assert await client.rest() == b"554 5.7.1 access denied\r\n"
            assert here.events.named("session.refused")

    run(test())


def test_sessions_are_limited() -> None:
    """The one above the limit gets 421 4.3.2, the others work on (case O01)."""

    async def test() -> None:
        limits = Limits(sessions=3, sessions_per_peer=9, drain_seconds=5)
        async with place(limits=limits) as here:
            clients = [await here.greeted() for _ in range(3)]
            surplus = await here.connect()
            assert (await surplus.rest()).startswith(b"421 4.3.2")
            assert (await clients[0].say("NOOP")).startswith("250")
            await clients[0].say("QUIT")
            assert await clients[0].rest() == b""
            await here.greeted()

    run(test())


def test_sessions_per_peer_are_limited() -> None:
    """One address cannot take all the room."""

    async def test() -> None:
        async with place(limits=Limits(sessions_per_peer=1, drain_seconds=5)) as here:
            await here.greeted()
            surplus = await here.connect()
            assert (await surplus.rest()).startswith(b"421 4.3.2 too many sessions from your")

    run(test())


def test_idle_client_is_dismissed() -> None:
    """421 4.4.2 after the idle deadline."""

    async def test() -> None:
        async with place(limits=Limits(idle_seconds=0.1, drain_seconds=5)) as here:
            client = await here.connect()
            assert (await client.reply()).startswith("220")
            assert (await client.rest()).startswith(b"421 4.4.2")

    run(test())


def test_half_a_command_is_not_waited_for_longer() -> None:
    """The whole line has to come within the command's deadline (slow-loris, case O03)."""

    async def test() -> None:
        async with place(limits=Limits(command_seconds=0.1, drain_seconds=5)) as here:
            client = await here.connect()
            assert (await client.reply()).startswith("220")
            await client.send(b"EHLO cl")
            assert (await client.rest()).startswith(b"421 4.4.2")

    run(test())


def test_data_below_the_minimum_rate_is_broken_off() -> None:
    """A client that drips is dropped although it never falls silent (case O03)."""

    async def test() -> None:
        limits = Limits(data_grace_seconds=0.2, data_octets_per_second=10_000, drain_seconds=5)
        async with place(limits=limits) as here:
            client = await here.in_data()

            async def drip() -> None:
                while True:
                    await client.send(b"x")
                    await asyncio.sleep(0.01)

            dripping = asyncio.create_task(drip())
            await client.rest()  # its end; the 421 is lost when another octet crosses the close
            dripping.cancel()
            await asyncio.wait([dripping])
            assert len(here.reception.abandoned) == 1
            assert not here.reception.finished

    run(test())


def test_fast_octets_do_not_pay_for_a_dribble() -> None:
    """A million at once, then one after the other: dropped as any slow client (case O03)."""

    async def test() -> None:
        limits = Limits(
            drain_seconds=5, data_grace_seconds=2, data_octets_per_second=1000, command_seconds=2
        )
        async with place(limits=limits) as here:
            client = await here.in_data()
            await client.send(b"Subject: x\r\n\r\n" + b"x\r\n" * 300_000)
            ended = asyncio.create_task(client.rest())  # the 421 may be lost, as above
            with contextlib.suppress(ConnectionError):
                while not ended.done():
                    await client.send(b"x")
                    await asyncio.sleep(0.05)
            await ended
            assert len(here.reception.abandoned) == 1
            assert not here.reception.finished

    run(test())


def test_client_that_does_not_read_replies_is_closed() -> None:
    """The replies it does not fetch are not heaped up (case O05)."""

    async def test() -> None:
        limits = Limits(command_seconds=0.3, commands_without_mail=10**9, drain_seconds=5)
        reception = FakeReception(mail=lambda path: Reply(550, "5.1.0", "x" * 470))
        async with place(reception, limits) as here:
            deaf = socket.create_connection(("127.0.0.1", here.listener.port))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(deaf, b"EHLO x\r\n")
            with deaf, pytest.raises(ConnectionError):
                await asyncio.wait_for(_flood(deaf), 20)

    run(test())


async def _flood(deaf: socket.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(deaf, b"MAIL FROM:<>\r\n" * 1000)


def test_unexpected_error_shows_an_id_only() -> None:
    """451 4.3.0 with the transaction's id, no trace; the session goes on (R-17)."""

    async def test() -> None:
        reception = FakeReception()

        def broken(transaction: object) -> Outcome:
            raise RuntimeError("secret detail")

        reception.outcome = broken
        async with place(reception) as here:
            client = await here.in_data()
            await client.send(b"Subject: x\r\n\r\n.\r\n")
            assert await client.reply() == "451 4.3.0 internal error T0"
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            assert here.events.named("internal.error")
            assert here.reception.begun[0].abandoned == 1

    run(test())


def test_unexpected_error_at_a_recipient_refuses_nothing_for_good() -> None:
    """The rest of the transaction is for now as well, until the next MAIL (R-17)."""

    async def test() -> None:
        def sometimes(recipient: Recipient) -> Reply:
            if recipient.mailbox.address.startswith("b@"):
                raise RuntimeError("secret detail")
            return Reply(250, "2.1.5", "OK")

        async with place(FakeReception(rcpt=sometimes)) as here:
            client = await here.greeted()
            await client.say("MAIL FROM:<a@corp.example>")
            names = ["a", "b", "c"]
            said = [await client.say(f"RCPT TO:<{name}@partner.example>") for name in names]
            broken = "451 4.3.0 internal error T0"
            assert said == ["250 2.1.5 OK", broken, broken]
            assert await client.say("DATA") == broken
            await client.say("RSET")
            assert (await client.say("RCPT TO:<a@partner.example>")).startswith("503")

    run(test())


def test_reply_text_cannot_break_the_protocol() -> None:
    """Control characters in a reply's text never reach the client (case D17)."""

    async def test() -> None:
        reception = FakeReception(mail=lambda path: Reply(550, "5.1.0", "a\rb\x1b[2Jc\u20ac"))
        async with place(reception) as here:
            client = await here.greeted()
            assert await client.say("MAIL FROM:<a@corp.example>") == "550 5.1.0 a?b?[2Jc?"

    run(test())


def test_header_section_over_the_limit_is_refused() -> None:
    """552 5.3.4, before anything parses it."""

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            await client.send(b"X-Long: yes\r\n" * 1001 + b"\r\nbody\r\n.\r\n")
            assert (await client.reply()).startswith("552 5.3.4")
            assert (await client.say("NOOP")).startswith("250")

    run(test())


def test_fifty_megabytes_in_one_piece() -> None:
    """The largest message is taken whole."""
    line = b"0123456789abcdef" * 4 + b"\r\n"
    body = line * ((50 * MIB - 100) // len(line))

    async def test() -> None:
        async with place() as here:
            client = await here.in_data()
            await client.send(b"Subject: x\r\n\r\n" + body + b".\r\n")
            assert (await client.reply()).startswith("250")
            assert here.reception.finished[0].content.body == body

    run(test())


def test_xforward_from_a_trusted_server_names_its_queue_id() -> None:
    """IDENT becomes the upstream id of one transaction; ADDR and others are accepted."""

    async def test() -> None:
        async with place(xforward_from=LOOPBACK, role=ListenerRole.RELAY) as here:
            client = await here.connect()
            await client.reply()
            assert "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE" in await client.say("EHLO mx")
            assert (await client.say("XFORWARD ADDR=192.0.2.1 SOURCE=REMOTE")).startswith("250")
            assert (await client.say("XFORWARD IDENT=4Zk+52jF")).startswith("250")
            await client.say("MAIL FROM:<a@corp.example>")
            assert (await client.say("XFORWARD IDENT=2")).startswith("503")
            await client.say("RSET")
            await client.say("MAIL FROM:<a@corp.example>")
            ids = [begun.session.upstream_id for begun in here.reception.begun]
            assert ids == ["4ZkRjF", ""]

    run(test())


@pytest.mark.parametrize("argument", ["", "IDENT", "IDENT=", "NOPE=1", "IDENT=a+0Ab", "IDENT=+ZZ"])
def test_malformed_xforward_is_refused(argument: str) -> None:
    """501 5.5.4; a decoded line end cannot get into a log."""

    async def test() -> None:
        async with place(xforward_from=LOOPBACK) as here:
            client = await here.greeted()
            assert (await client.say(f"XFORWARD {argument}")).startswith("501 5.5.4")

    run(test())


def test_draining_dismisses_the_idle_and_waits_for_the_busy() -> None:
    """Idle sessions get 421 4.3.2, the running transaction ends with its reply."""

    async def test() -> None:
        async with place(FakeReception(hold=asyncio.Event())) as here:
            idle = await here.greeted()
            busy = await here.in_data()
            await busy.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
            await here.reception.finishing.wait()
            port = here.listener.port
            draining = asyncio.create_task(here.listener.drain())
            assert (await idle.rest()).startswith(b"421 4.3.2")
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            here.reception.hold.set()
            assert (await busy.reply()).startswith("250")
            assert (await busy.rest()).startswith(b"421 4.3.2")
            await draining

    run(test())


def test_draining_has_an_end() -> None:
    """A transaction that does not end is answered 421 and broken off (N-25; RFC 5321, 3.8)."""

    async def test() -> None:
        limits = Limits(drain_seconds=0.1)
        async with place(FakeReception(hold=asyncio.Event()), limits) as here:
            busy = await here.in_data()
            await busy.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
            await here.reception.finishing.wait()
            await here.listener.drain()
            assert (await busy.rest()).startswith(b"421 4.3.2")
            assert here.reception.cancelled == 1
            assert here.listener.sessions == 0

    run(test())


def test_the_end_of_draining_is_not_said_into_a_handshake() -> None:
    """421 in clear would be taken for a part of it: the connection ends (N-25; RFC 3207, 4)."""

    async def test() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with place(limits=Limits(drain_seconds=0.1), tls=context) as here:
            client = await here.greeted()
            assert (await client.say("STARTTLS")).startswith("220")
            await here.listener.drain()
            assert await client.rest() == b""
            assert here.listener.sessions == 0

    run(test())


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, {"EXPN", "LHLO", "STARTTLS", "AUTH", "XFORWARD", "XCLIENT"}),
        ({"lmtp": True}, {"EXPN", "HELO", "EHLO", "STARTTLS", "AUTH", "XFORWARD", "XCLIENT"}),
        ({"xforward_from": LOOPBACK}, {"EXPN", "LHLO", "STARTTLS", "AUTH", "XCLIENT"}),
        ({"auth": True}, {"EXPN", "LHLO", "STARTTLS", "XFORWARD", "XCLIENT"}),
    ],
    ids=["plain", "lmtp", "xforward", "auth"],
)
def test_help_names_what_can_be_used(settings: dict[str, Any], missing: set[str]) -> None:
    """Not what would be refused: another protocol's hello, TLS without key (RFC 5321, 4.1.1.8)."""

    async def test() -> None:
        async with place(**settings) as here:
            hello = "LHLO client.example" if settings.get("lmtp") else "EHLO client.example"
            client = await here.greeted(hello)
            named = set((await client.say("HELP")).split()[2:])
            assert COMMANDS - named == missing
            assert named <= COMMANDS

    run(test())


def test_content_sent_with_bdat_is_never_read_as_commands() -> None:
    """CHUNKING is not offered; who uses it all the same is cut off (RFC 3030, 2)."""

    async def test() -> None:
        async with place() as here:
            client = await here.greeted()
            assert "CHUNKING" not in await client.say("EHLO client.example")
            await client.send(
                b"MAIL FROM:<a@corp.example>\r\nRCPT TO:<b@partner.example>\r\nBDAT 48 LAST\r\n"
                b"RSET\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<c@d.e>\r\n"
            )
            codes = [reply[:9] for reply in await client.replies(3)]
            assert codes == ["250 2.1.0", "250 2.1.5", "502 5.5.1"]
            assert await client.rest() == b""
            assert len(here.reception.begun) == 1
            assert here.reception.begun[0].abandoned == 1

    run(test())
