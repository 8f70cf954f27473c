"""The relay against a next hop that does what it should not: every failure has its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.smtp.relay import SMTPRelay, SMTPSession
from smimegw.adapters.smtp.settings import NextHopSettings
from smimegw.addresses import Mailbox
from smimegw.config.choices import TLSMode
from smimegw.errors import AuthenticationError, MIMEError, NextHopError
from smimegw.limits import Limits
from smimegw.transaction import Recipient, ReversePath
from tests.fakes.scripted_sink import CLOSE, HANG, ScriptedSink, scripted_sink
from tests.peers.ports import free_port
from tests.peers.tls import TLSFiles, make_tls
from tests.protocol.raw_client import run

FROM = ReversePath(mailbox=Mailbox("alice", "corp.example"))
CONTENT = (b"Subject: x\r\n\r\nhello\r\n", b".dot\r\n")
PATIENT = Limits(next_hop_seconds=20)
QUICK = Limits(
    next_hop_seconds=0.3, late_reply_seconds=0.3
)  # where silence is the point and every outcome is the same


def to(name: str, *parameters: tuple[str, str]) -> Recipient:
    return Recipient(mailbox=Mailbox(name, "partner.example"), parameters=parameters)


@contextlib.asynccontextmanager
async def relay_to(
    port: int, *, limits: Limits = PATIENT, host: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[SMTPRelay]:
    hop = NextHopSettings(host=host, port=port, **settings)
    relay = SMTPRelay({"out": hop}, hostname="gw.corp.example", limits=limits)
    try:
        yield relay
    finally:
        await relay.aclose()


async def prepared(relay: SMTPRelay, *names: str) -> SMTPSession:
    session = await relay.open("out")
    assert (await session.mail(FROM)).is_positive
    for name in names or ("bob",):
        assert (await session.recipient(to(name))).is_positive
    assert await session.prepare(CONTENT) is None
    return session


async def deliver(relay: SMTPRelay) -> None:
    session = await prepared(relay)
    [reply] = await session.commit()
    assert reply.code == 250
    await session.close()


def against(
    sink: ScriptedSink,
    test: Callable[[SMTPRelay, ScriptedSink], Coroutine[Any, Any, None]],
    limits: Limits = PATIENT,
) -> None:
    """Run *test* with a relay whose next hop is *sink*."""

    async def whole() -> None:
        await sink.start()
        try:
            async with relay_to(sink.port, lmtp=sink.lmtp, limits=limits) as relay:
                await test(relay, sink)
        finally:
            await sink.stop()

    run(whole())


def test_message_arrives_octet_for_octet() -> None:
    """Content is dot-stuffed on the wire and whole at the other end."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        await deliver(relay)
        [message] = await sink.wait_for(1)
        assert message.content == b"".join(CONTENT)
        assert message.reverse_path == "<alice@corp.example>"
        assert message.recipients == ("<bob@partner.example>",)

    against(ScriptedSink(), test)


def test_nothing_counts_before_the_dot() -> None:
    """A held transaction that is aborted or closed leaves nothing at the next hop."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        for end in ("abort", "close"):
            session = await prepared(relay)
            await getattr(session, end)()
            await session.close()
        await deliver(relay)
        [message] = await sink.wait_for(1)
        assert message.content == b"".join(CONTENT)
        assert sink.broken_off == 2

    against(ScriptedSink(), test)


def test_refused_recipient_does_not_stop_the_others() -> None:
    """550 for one of five, four are delivered (case D01)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(FROM)
        codes = [(await session.recipient(to(name))).code for name in "abcde"]
        assert codes == [250, 250, 550, 250, 250]
        assert await session.prepare(CONTENT) is None
        await session.commit()
        await session.close()
        assert len(sink.messages[0].recipients) == 4

    against(ScriptedSink({"RCPT": ["250 OK", "250 OK", "550 5.1.1 no"]}), test)


def test_transient_refusal_keeps_its_class() -> None:
    """4yz on RCPT comes back as 4yz, with its enhanced code (case D03)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(FROM)
        reply = await session.recipient(to("bob"))
        assert (reply.code, reply.enhanced) == (450, "4.2.1")
        await session.close()

    against(ScriptedSink({"RCPT": ["450 4.2.1 busy"]}), test)


def test_next_hop_that_closes_after_354() -> None:
    """It broke off before the dot: an error that is not in doubt (case D05)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(FROM)
        await session.recipient(to("bob"))
        large = (b"x" * 998 + b"\r\n" for _ in range(50_000))
        with pytest.raises(NextHopError) as caught:
            await session.prepare(large)
        assert not caught.value.in_doubt
        await session.close()

    class Closing(ScriptedSink):
        async def reply_to(self, step: str, usual: str) -> bytes:
            reply = await super().reply_to(step, usual)
            if step == "DATA":
                asyncio.get_running_loop().call_soon(self.drop)
            return reply

        def drop(self) -> None:
            for session in self._sessions:
                session.cancel()

    against(Closing(), test)


@pytest.mark.parametrize("end", [CLOSE, HANG, b"250 without an end", b"what?\r\n"])
def test_dot_without_reply_is_in_doubt(end: bytes | None) -> None:
    """Closed, silent or nonsense: nobody knows, and that is said (commit protocol)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay)
        with pytest.raises(NextHopError) as caught:
            await session.commit()
        assert caught.value.in_doubt
        assert sink.steps.count("DOT") == 1
        await session.close()

    against(ScriptedSink({"DOT": [end]}), test, Limits(next_hop_seconds=2, late_reply_seconds=2))


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "garbage",
    [CLOSE, HANG, b"hello?\r\n", b"250 OK\n", b"25", b"250-" + b"x" * 70_000, b"999 x\r\n"],
    ids=["close", "hang", "words", "bare-LF", "half", "endless-line", "no-code"],
)
def test_garbage_instead_of_a_reply(step: str, garbage: bytes | None) -> None:
    """NextHopError, never in doubt, and the connection is closed (case D15)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        with pytest.raises(NextHopError) as caught:
            await prepared(relay)
        assert not caught.value.in_doubt
        assert not sink.messages

    against(ScriptedSink({step: [garbage]}), test, QUICK)


def test_endless_multi_line_reply_is_cut_off() -> None:
    """10,000 lines are no reply (case D15): bounded memory, an error."""
    lines = b"".join(b"250-line %d\r\n" % n for n in range(10_000)) + b"250 end\r\n"

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        with pytest.raises(NextHopError, match="too long"):
            await prepared(relay)

    against(ScriptedSink({"MAIL": [lines]}), test)


def test_reply_text_is_plain_ascii() -> None:
    """Escape codes and 8-bit octets in a reply never travel on (case D17)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        reply = await session.mail(FROM)
        assert re.fullmatch(r"[ -~\n]*", reply.text)
        await session.close()

    against(ScriptedSink({"MAIL": [b"550-5.1.0 a\x1b[2Jb\r\n550 5.1.0 \xffc\r\n"]}), test)


def test_lmtp_next_hop_answers_for_each_recipient() -> None:
    """250, 452 and 550 in RCPT order; a refused RCPT has none (case D19)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        assert session.is_lmtp
        await session.mail(FROM)
        codes = [(await session.recipient(to(name))).code for name in "abcd"]
        assert codes == [250, 550, 250, 250]
        assert await session.prepare(CONTENT) is None
        assert [reply.code for reply in await session.commit()] == [250, 452, 550]
        await session.close()
        assert "LHLO gw.corp.example" in sink.messages[0].commands

    script = {"RCPT": ["250 OK", "550 no"], "DOT": ["250 OK", "452 4.2.2 full", "550 5.7.1 no"]}
    against(ScriptedSink(script, lmtp=True), test)


def test_421_at_mail_is_tried_once_more() -> None:
    """One new connection, then mail flows (case D21)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        await deliver(relay)
        assert sink.connections == 2
        assert len(sink.messages) == 1

    against(ScriptedSink({"MAIL": ["421 4.3.2 closing"]}), test)


def test_421_twice_is_a_temporary_failure() -> None:
    """451 4.3.2, and no third connection (case D21)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        reply = await session.mail(FROM)
        assert (reply.code, reply.enhanced) == (451, "4.3.2")
        await session.close()
        assert sink.connections == 2

    against(ScriptedSink({"MAIL": ["421 4.3.2 closing"] * 2}), test)


def test_connection_is_used_again() -> None:
    """Three transactions, one connection; after RSET too."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        await deliver(relay)
        probe = await relay.open("out")
        await probe.mail(FROM)
        await probe.abort()
        await probe.close()
        await deliver(relay)
        assert sink.connections == 1
        assert len(sink.messages) == 2

    against(ScriptedSink(), test)


def test_session_that_was_closed_leaves_the_connection_to_its_next_user() -> None:
    """Ending a finished transaction a second time does not end somebody else's."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        first = await prepared(relay)
        await first.commit()
        await first.close()
        second = await prepared(relay)
        await first.abort()
        await first.close()
        [reply] = await second.commit()
        assert reply.code == 250
        await second.close()
        assert len(sink.messages) == 2
        assert sink.connections == 1

    against(ScriptedSink(), test)


def test_kept_connection_that_closes_at_mail_is_replaced() -> None:
    """Exactly one delivery, the caller notices nothing (case D24)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        await deliver(relay)
        sink.script["MAIL"] = [CLOSE]
        await deliver(relay)
        assert sink.connections == 2
        assert len(sink.messages) == 2

    against(ScriptedSink(), test)


def test_kept_connection_with_another_past_is_replaced() -> None:
    """A 503 to MAIL says nothing about the message, so it becomes no bounce (case D24)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        await deliver(relay)
        sink.script["MAIL"] = ["503 5.5.1 EHLO first"]
        await deliver(relay)
        assert sink.connections == 2
        assert len(sink.messages) == 2

    against(ScriptedSink(), test)


def test_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """A good-bye that came while idle is seen before MAIL (case D24)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        await deliver(relay)
        for session in tuple(sink._sessions):
            session.cancel()
        await deliver(relay)
        assert len(sink.messages) == 2
        assert sink.steps.count("MAIL") == 2

    against(ScriptedSink(), test)


def test_idle_connection_is_closed_in_time() -> None:
    """With QUIT, so that the next hop's log stays clean."""

    async def whole() -> None:
        async with scripted_sink() as sink:
            limits = Limits(connection_idle_seconds=0.05)
            async with relay_to(sink.port, limits=limits) as relay:
                await deliver(relay)
                async with asyncio.timeout(10):
                    while sink._sessions:
                        await asyncio.wait(tuple(sink._sessions))
                assert sink.steps[-1] == "QUIT"

    run(whole())


def test_new_connection_that_breaks_is_no_reason_to_try_again() -> None:
    """Only 421 and a kept connection are tried anew; otherwise the client decides."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        with pytest.raises(NextHopError):
            await session.mail(FROM)
        await session.close()
        assert sink.connections == 1

    against(ScriptedSink({"MAIL": [CLOSE]}), test)


def test_refused_data_is_a_reply() -> None:
    """And the connection can be used again after RSET."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(FROM)
        await session.recipient(to("bob"))
        reply = await session.prepare(CONTENT)
        assert reply is not None
        assert reply.code == 452
        await session.close()
        await deliver(relay)
        assert sink.connections == 1

    against(ScriptedSink({"DATA": ["452 4.3.1 full"]}), test)


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r\n.\nb\r\n"])
def test_content_that_could_smuggle_is_never_finished(body: bytes) -> None:
    """Bare CR, LF or NUL: an error, closed undotted, nothing at the next hop (case A10)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(FROM)
        await session.recipient(to("bob"))
        with pytest.raises(MIMEError):
            await session.prepare((b"Subject: x\r\n\r\n", body))
        with pytest.raises(NextHopError):
            await session.commit()
        await session.close()
        assert "DOT" not in sink.steps

    against(ScriptedSink(), test)


def test_parameters_are_passed_when_offered() -> None:
    """DSN and BODY exactly as they came; SIZE and AUTH are not ours to repeat."""
    path = ReversePath(
        mailbox=FROM.mailbox,
        parameters=(
            ("BODY", "8BITMIME"),
            ("RET", "HDRS"),
            ("ENVID", "Qq+2B3"),
            ("SIZE", "5"),
            ("AUTH", "<>"),
        ),
    )
    bob = to("bob", ("NOTIFY", "SUCCESS,DELAY"), ("ORCPT", "rfc822;B@p.example"))

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(path)
        await session.recipient(bob)
        await session.prepare(CONTENT)
        await session.commit()
        await session.close()
        [message] = sink.messages
        mail = " BODY=8BITMIME RET=HDRS ENVID=Qq+2B3"
        rcpt = " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B@p.example"
        assert message.reverse_path == f"<alice@corp.example>{mail}"
        assert message.recipients == (f"<bob@partner.example>{rcpt}",)

    against(ScriptedSink(), test)


def test_parameters_that_ask_for_nothing_special_are_left_out_when_not_offered() -> None:
    """A next hop without DSN reports failures all the same (RFC 3461, 5.2.2)."""
    path = ReversePath(mailbox=FROM.mailbox, parameters=(("RET", "HDRS"), ("ENVID", "Q")))
    bob = to("bob", ("NOTIFY", "FAILURE,DELAY"), ("ORCPT", "rfc822;B@p.example"))

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(path)
        await session.recipient(bob)
        await session.prepare(CONTENT)
        await session.commit()
        await session.close()
        assert sink.messages[0].reverse_path == "<alice@corp.example>"
        assert sink.messages[0].recipients == ("<bob@partner.example>",)

    against(ScriptedSink(extensions=("HELP",)), test)


def test_content_for_8_bits_does_not_go_where_they_are_not_offered_any_more() -> None:
    """451 4.3.3 and no word to the next hop; the client's next EHLO tells (RFC 6152, 3; N-28)."""
    path = ReversePath(mailbox=FROM.mailbox, parameters=(("BODY", "8BITMIME"),))

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        reply = await session.mail(path)
        assert str(reply) == "451 4.3.3 next hop does not offer 8BITMIME any more, try later"
        await session.close()
        assert "MAIL" not in sink.steps

    against(ScriptedSink(extensions=("DSN",)), test)


@pytest.mark.parametrize("wish", ["SUCCESS,FAILURE", "NEVER", "never"])
def test_a_report_that_nobody_would_write_is_not_promised(wish: str) -> None:
    """451 4.3.3: neither "relayed" nor silence can be had without DSN (RFC 3461, 5.2.2; N-28)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        await session.mail(FROM)
        reply = await session.recipient(to("bob", ("NOTIFY", wish)))
        assert str(reply) == "451 4.3.3 next hop does not offer DSN any more, try later"
        assert (await session.recipient(to("carol"))).is_positive
        await session.close()
        assert sink.steps.count("RCPT") == 1

    against(ScriptedSink(extensions=("8BITMIME",)), test)


def test_lmtp_replies_that_came_can_be_seen_while_others_are_waited_for() -> None:
    """A next hop that forgets one of three: who was answered is not in doubt (RFC 2033, N-14)."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay, "bob", "carol", "dan")
        committing = asyncio.create_task(session.commit())
        async with asyncio.timeout(20):
            while len(session.answered) < 2:
                await asyncio.sleep(0.01)
        assert [reply.code for reply in session.answered] == [250, 452]
        assert not committing.done()
        await sink.stop()
        assert [reply.code for reply in await committing] == [250, 452]
        await session.close()

    script = {"DOT": ["250 2.0.0 kept", "452 4.3.1 full", HANG]}
    against(ScriptedSink(script, lmtp=True), test)


def test_smtputf8_needs_a_next_hop_that_has_it() -> None:
    """553 5.6.7 without a word to the next hop (case L03, N-27)."""
    path = ReversePath(mailbox=Mailbox("jürgen", "corp.example"), parameters=(("SMTPUTF8", ""),))

    async def old(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        reply = await session.mail(path)
        assert (reply.code, reply.enhanced) == (553, "5.6.7")
        assert (await session.mail(FROM)).is_positive
        reply = await session.recipient(
            Recipient(mailbox=Mailbox("zoë", "partner.example"), parameters=())
        )
        assert (reply.code, reply.enhanced) == (553, "5.6.7")
        await session.close()
        assert sink.steps.count("MAIL") == 1

    async def new(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await relay.open("out")
        assert (await session.mail(path)).is_positive
        await session.recipient(to("bob"))
        await session.prepare(CONTENT)
        await session.commit()
        await session.close()
        assert sink.messages[0].reverse_path == "<jürgen@corp.example> SMTPUTF8"

    against(ScriptedSink(extensions=("8BITMIME",)), old)
    against(ScriptedSink(), new)


def test_nobody_listens() -> None:
    """NextHopError that names host and port, not in doubt (R: next hop unreachable)."""

    async def test() -> None:
        port = free_port()
        async with relay_to(port) as relay:
            with pytest.raises(NextHopError, match=str(port)) as caught:
                await relay.open("out")
            assert not caught.value.in_doubt
            with pytest.raises(NextHopError, match="configuration"):
                await relay.open("elsewhere")

    run(test())


def test_cancelled_commit_leaves_no_connection_behind() -> None:
    """The caller's deadline closes the connection; it is not kept for others."""

    async def test(relay: SMTPRelay, sink: ScriptedSink) -> None:
        session = await prepared(relay)
        committing = asyncio.create_task(session.commit())
        while "DOT" not in sink.steps:
            await asyncio.sleep(0)
        committing.cancel()
        await asyncio.wait([committing])
        assert committing.cancelled()
        await session.close()
        await deliver(relay)
        assert sink.connections == 2

    against(ScriptedSink({"DOT": [HANG]}), test)


# --- TLS and AUTH ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tls(tmp_path_factory.mktemp("other")).ca


def _server(files: TLSFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def _tls_sink(files: TLSFiles, script: dict[str, list[Any]] | None = None) -> ScriptedSink:
    return ScriptedSink(
        script, extensions=("STARTTLS", "8BITMIME", "AUTH PLAIN"), tls=_server(files)
    )


def _hello_count(
    sink: ScriptedSink, mode: TLSMode, ca: Path | None = None, host: str = "localhost"
) -> int:
    """Deliver one message; how often EHLO was said tells whether TLS was used."""

    async def whole() -> None:
        await sink.start()
        try:
            async with relay_to(sink.port, host=host, tls_mode=mode, ca=ca) as relay:
                await deliver(relay)
        finally:
            await sink.stop()

    run(whole())
    return sink.steps.count("EHLO")


@pytest.mark.parametrize("mode", [TLSMode.OPPORTUNISTIC, TLSMode.REQUIRED, TLSMode.VERIFY])
def test_tls_is_used(mode: TLSMode, files: TLSFiles) -> None:
    """EHLO again after the handshake (RFC 3207, 4.2)."""
    assert _hello_count(_tls_sink(files), mode, files.ca) == 2


def test_tls_is_not_used_when_not_wanted(files: TLSFiles) -> None:
    """Mode none ignores the offer."""
    assert _hello_count(_tls_sink(files), TLSMode.NONE) == 1


def test_opportunistic_tls_goes_on_without() -> None:
    """No offer, no TLS."""
    assert _hello_count(ScriptedSink(), TLSMode.OPPORTUNISTIC) == 1


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available", "421 4.3.2 bye", "500 what"])
def test_opportunistic_tls_that_is_offered_and_refused_goes_on_without(reply: str) -> None:
    """The client decides what 454 means, and this mode has decided (RFC 3207, 4)."""
    sink = ScriptedSink({"STARTTLS": [reply]}, extensions=("STARTTLS", "8BITMIME"))
    assert _hello_count(sink, TLSMode.OPPORTUNISTIC) == 2
    assert sink.connections == 2
    assert len(sink.messages) == 1


@pytest.mark.parametrize("mode", [TLSMode.REQUIRED, TLSMode.VERIFY])
def test_required_tls_that_is_not_offered(mode: TLSMode, files: TLSFiles) -> None:
    """NextHopError, and no MAIL was said in clear."""
    sink = ScriptedSink()
    with pytest.raises(NextHopError, match="STARTTLS"):
        _hello_count(sink, mode, files.ca)
    assert "MAIL" not in sink.steps


def test_certificate_of_an_unknown_authority_is_refused(files: TLSFiles, stranger: Path) -> None:
    """Verify means verify (case B07)."""
    sink = _tls_sink(files)
    with pytest.raises(NextHopError, match="TLS"):
        _hello_count(sink, TLSMode.VERIFY, stranger)
    assert "MAIL" not in sink.steps


def test_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """The configured name must be in it (case B07)."""
    files = make_tls(tmp_path, names=("mail.elsewhere.example",))
    sink = _tls_sink(files)
    with pytest.raises(NextHopError, match="TLS"):
        _hello_count(sink, TLSMode.VERIFY, files.ca)
    assert "MAIL" not in sink.steps


def test_reply_injected_behind_starttls_is_refused(files: TLSFiles) -> None:
    """Octets in clear after 220 would be taken for protected ones (T-03)."""
    sink = _tls_sink(files, {"STARTTLS": [b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"]})
    with pytest.raises(NextHopError):
        _hello_count(sink, TLSMode.REQUIRED)


def test_extension_seen_only_before_tls_is_not_used(files: TLSFiles) -> None:
    """What was announced in clear is forgotten (case B09)."""
    script: dict[str, list[Any]] = {
        "EHLO": [b"250-x\r\n250-STARTTLS\r\n250-SMTPUTF8\r\n250 SIZE 1\r\n", b"250 x\r\n"]
    }

    async def whole() -> None:
        sink = _tls_sink(files, script)
        await sink.start()
        try:
            async with relay_to(sink.port, tls_mode=TLSMode.REQUIRED) as relay:
                session = await relay.open("out")
                assert not session.extensions.smtputf8
                assert session.extensions.size is None
                await session.close()
        finally:
            await sink.stop()

    run(whole())


@pytest.mark.parametrize(
    ("reply", "error"),
    [("235 2.7.0 ok", None), ("535 5.7.8 no", AuthenticationError), ("454 4.7.0 x", NextHopError)],
)
def test_login_is_passed_on(reply: str, error: type[Exception] | None, files: TLSFiles) -> None:
    """PLAIN under TLS; a refusal is the user's fault, a temporary failure is not."""

    async def whole() -> None:
        sink = _tls_sink(files, {"AUTH": [reply] * 2})
        await sink.start()
        try:
            async with relay_to(sink.port, tls_mode=TLSMode.REQUIRED) as relay:
                login = ("alice@corp.example", "secret")
                if error is not None:
                    with pytest.raises(error) as caught:
                        await relay.open("out", login=login)
                    assert "secret" not in str(caught.value)
                    return
                session = await relay.open("out", login=login)
                await session.close()
                # Never shared with anybody else.
                other = await relay.open("out")
                await other.close()
                assert sink.connections == 2
        finally:
            await sink.stop()

    run(whole())
