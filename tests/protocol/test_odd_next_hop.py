"""Next hops that are legal but odd, or answer right and then talk nonsense."""

from __future__ import annotations

import pytest

from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.config.choices import TLSMode
from smimegw.errors import NextHopError, NextHopTLSError
from smimegw.limits import Limits
from smimegw.smtp.extensions import NO_EXTENSIONS
from smimegw.transaction import ReversePath
from tests.fakes.scripted_sink import CLOSE, HANG, ScriptedSink, Step, scripted_sink
from tests.protocol.raw_client import run
from tests.protocol.test_relay import CONTENT, FROM, against, prepared, relay_to, to

_QUICK = Limits(next_hop_seconds=1, late_reply_seconds=1)


@pytest.mark.parametrize(
    "more",
    [b"what?\r\n", b"250 OK\r\n", b"250 OK\n", b"250 half", b"\xff\xfe\r\n"],
    ids=["words", "second-reply", "bare-LF", "half", "octets"],
)
def test_nonsense_behind_the_reply_to_the_dot_does_not_take_it_back(more: bytes) -> None:
    """The 250 came: taken for a failure, the message would come twice, and unexplained (N-01)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay)
        [reply] = await session.commit()
        assert reply.code == 250
        await session.close()
        again = await prepared(relay)
        assert sink.connections == 2, "a connection with nonsense on it is not used again"
        await again.close()

    against(ScriptedSink({"DOT": [b"250 2.0.0 OK\r\n" + more]}), test)


@pytest.mark.parametrize("end", [CLOSE, HANG, b"what?\r\n"], ids=["close", "hang", "words"])
def test_lmtp_replies_that_came_count_when_the_rest_does_not(end: Step) -> None:
    """Two of three recipients are answered, then it breaks off (RFC 2033, 4.2)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay, "a", "b", "c")
        assert [reply.code for reply in await session.commit()] == [250, 550]
        await session.close()

    script: dict[str, list[Step]] = {"DOT": ["250 OK", "550 5.1.1 no", end]}
    against(ScriptedSink(script, lmtp=True), test, _QUICK)


def test_lmtp_replies_in_one_segment_with_nonsense_count() -> None:
    """What is complete was said, however the octets were cut (RFC 2033, 4.2)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay, "a", "b", "c")
        assert [reply.code for reply in await session.commit()] == [250]
        await session.close()

    script: dict[str, list[Step]] = {"DOT": [b"250 OK\r\nwhat?\r\n"]}
    against(ScriptedSink(script, lmtp=True), test, _QUICK)


def test_more_lmtp_replies_than_recipients() -> None:
    """The first ones are the recipients'; the connection is not used again (RFC 2033, 4.2)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay, "a", "b")
        assert [reply.code for reply in await session.commit()] == [250, 452]
        await session.close()

    replies = b"250 OK\r\n452 4.2.2 full\r\n550 5.1.1 no\r\n"
    against(ScriptedSink({"DOT": [replies, CLOSE]}, lmtp=True), test)


def test_next_hop_that_does_not_know_ehlo() -> None:
    """HELO then, and nothing that is an extension (RFC 5321, 3.2)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        assert session.extensions == NO_EXTENSIONS
        path = ReversePath(mailbox=FROM.mailbox, parameters=(("BODY", "7BIT"), ("RET", "FULL")))
        assert (await session.mail(path)).is_positive
        assert (await session.recipient(to("bob", ("NOTIFY", "FAILURE")))).is_positive
        assert await session.prepare(CONTENT) is None
        assert [reply.code for reply in await session.commit()] == [250]
        await session.close()
        assert sink.messages[0].commands[:4] == (
            "EHLO gw.corp.example",
            "HELO gw.corp.example",
            "MAIL FROM:<alice@corp.example>",
            "RCPT TO:<bob@partner.example>",
        )

    against(ScriptedSink({"EHLO": ["502 5.5.1 what is EHLO"]}), test)


def test_next_hop_that_does_not_know_ehlo_has_no_tls() -> None:
    """Where TLS is required, a server without extensions is refused (N-26)."""

    async def test() -> None:
        script = {"EHLO": ["500 what"]}
        async with (
            scripted_sink(script) as sink,
            relay_to(sink.port, tls_mode=TLSMode.REQUIRED) as relay,
        ):
            with pytest.raises(NextHopTLSError, match="does not offer STARTTLS"):
                await relay.open("out")
            assert sink.steps == ["CONNECT", "EHLO", "HELO"]

    run(test())


def test_lmtp_next_hop_is_never_asked_by_helo() -> None:
    """HELO does not exist there (RFC 2033, 4.1)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        with pytest.raises(NextHopError):
            await relay.open("out")
        assert sink.steps == ["CONNECT", "LHLO"]

    against(ScriptedSink({"LHLO": ["500 what"]}, lmtp=True), test)


def test_nonsense_behind_the_reply_to_data_is_a_broken_next_hop() -> None:
    """Before the dot nothing is lost by stopping (N-06)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        with pytest.raises(NextHopError) as caught:
            await prepared(relay)
        assert not caught.value.in_doubt

    against(ScriptedSink({"DATA": [b"354 go on\r\n250 OK\r\n"]}), test)
