"""TLS and AUTH at the listener: nothing from before the handshake counts after it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest

from smimegw.config.sessions import ListenerTLS
from smimegw.config.values import Secret
from smimegw.limits import Limits
from smimegw.sessions import server_context
from smimegw.smtp.roles import ListenerRole
from tests.fakes.reception import FakeReception
from tests.peers.tls import make_tls
from tests.protocol.raw_client import PATIENCE, Client, place, run

LIMITS = Limits(auth_delay_seconds=0.0, drain_seconds=5)
USERS = {"alice@corp.example": "secret ü"}
GOOD = base64.b64encode("\0alice@corp.example\0secret ü".encode()).decode()
BAD = base64.b64encode(b"\0alice@corp.example\0wrong").decode()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    directory: Path = tmp_path_factory.mktemp("tls")
    files = make_tls(directory)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    return server, ssl.create_default_context(cafile=files.ca)


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


async def _secured(client: Client, context: ssl.SSLContext) -> None:
    assert (await client.say("STARTTLS")).startswith("220")
    await client.start_tls(context)


def test_command_injected_behind_starttls_is_never_executed(contexts: Contexts) -> None:
    """STARTTLS and MAIL in one segment: the connection is closed (case B01, T-03)."""

    async def test() -> None:
        async with place(tls=contexts[0]) as here:
            client = await here.greeted()
            await client.send(b"STARTTLS\r\nMAIL FROM:<x@evil.example>\r\n")
            assert (await client.rest()).startswith(b"501 5.5.2")
            assert not here.reception.begun

    run(test())


def test_everything_before_tls_is_forgotten(contexts: Contexts) -> None:
    """EHLO name and MAIL given in clear are gone after the handshake (case B03; RFC 3207, 4.2)."""

    async def test() -> None:
        async with place(tls=contexts[0]) as here:
            client = await here.connect()
            await client.reply()
            assert "STARTTLS" in await client.say("EHLO client.example")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            await _secured(client, contexts[1])
            assert (await client.say("RCPT TO:<b@partner.example>")).startswith("503 5.5.1")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("503 5.5.1")
            assert here.reception.begun[0].abandoned == 1
            assert "STARTTLS" not in await client.say("EHLO client.example")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            session = here.reception.begun[1].session
            assert (session.protocol, session.tls) == ("ESMTPS", "TLSv1.3")

    run(test())


def test_message_over_starttls(contexts: Contexts) -> None:
    """A message of several TLS records arrives whole, and QUIT ends cleanly."""
    body = b"0123456789\r\n" * 50_000

    async def test() -> None:
        async with place(tls=contexts[0]) as here:
            client = await here.greeted()
            await _secured(client, contexts[1])
            await client.say("EHLO client.example")
            await client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@corp.example>\r\nDATA\r\n")
            await client.replies(3)
            await client.send(b"Subject: x\r\n\r\n" + body + b".\r\nQUIT\r\n")
            assert [r[:3] for r in await client.replies(2)] == ["250", "221"]
            assert here.reception.finished[0].content.body == body

    run(test())


def test_client_that_closes_tls_after_the_reply_has_read_it(contexts: Contexts) -> None:
    """Many clients say no QUIT; their machine has acknowledged the 250 (N-15)."""

    async def test() -> None:
        async with place(tls=contexts[0], tls_implicit=True) as here:
            client = await here.greeted(tls=contexts[1])
            await client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@corp.example>\r\nDATA\r\n")
            await client.replies(3)
            await client.send(b"Subject: x\r\n\r\n.\r\n")
            assert (await client.reply())[:3] == "250"
            client.writer.close()
            async with asyncio.timeout(20):
                while here.listener.sessions:
                    await asyncio.sleep(0)
            assert here.reception.finished[0].was_told == [True]

    run(test())


def test_failed_handshake_ends_the_session(contexts: Contexts) -> None:
    """Clear text where the handshake should be closes the connection."""

    async def test() -> None:
        async with place(tls=contexts[0]) as here:
            client = await here.greeted()
            assert (await client.say("STARTTLS")).startswith("220")
            await client.send(b"NOOP\r\nNOOP\r\n")
            assert b"250" not in await client.rest()

    run(test())


def test_implicit_tls(contexts: Contexts) -> None:
    """TLS from the first octet (RFC 8314, 3.3)."""

    async def test() -> None:
        async with place(tls=contexts[0], tls_implicit=True) as here:
            client = await here.greeted(tls=contexts[1])
            await client.say("MAIL FROM:<>")
            assert here.reception.begun[0].session.tls == "TLSv1.3"
            assert (await client.say("STARTTLS")).startswith("503")

    run(test())


def test_a_client_cannot_begin_tls_anew(tmp_path: Path) -> None:
    """Renegotiation in TLS 1.2, as `openssl s_client` does it at a line "R" (RFC 9325, 3.5)."""
    files = make_tls(tmp_path)
    settings = ListenerTLS(certificate=files.certificate, key=Secret("file", str(files.key)))
    context = server_context("test", settings)

    async def test() -> None:
        async with place(tls=context) as here:
            program = await asyncio.create_subprocess_exec(
                *("openssl", "s_client", "-tls1_2", "-starttls", "smtp", "-connect"),
                f"127.0.0.1:{here.listener.port}",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(PATIENCE):
                said, _ = await program.communicate(b"R\nNOOP\r\n")
            assert b"RENEGOTIATING" in said
            assert b"no renegotiation" in said

    run(test())


def test_clear_text_where_tls_is_implicit_is_closed(contexts: Contexts) -> None:
    """No greeting, no reply, and the next client is served."""

    async def test() -> None:
        async with place(tls=contexts[0], tls_implicit=True) as here:
            client = await here.connect()
            await client.send(b"EHLO client.example\r\n")
            assert b"220" not in await client.rest()
            await here.greeted(tls=contexts[1])

    run(test())


def test_required_tls_refuses_mail_in_clear(contexts: Contexts) -> None:
    """530 5.7.0 for everything but hello, STARTTLS, NOOP and QUIT (RFC 3207, 4)."""

    async def test() -> None:
        async with place(tls=contexts[0], tls_required=True) as here:
            client = await here.greeted()
            for command in ("MAIL FROM:<a@corp.example>", "AUTH PLAIN", "VRFY a", "DATA"):
                assert (await client.say(command)).startswith("530 5.7.0")
            assert (await client.say("NOOP")).startswith("250")
            await _secured(client, contexts[1])
            await client.say("EHLO client.example")
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")

    run(test())


@pytest.mark.parametrize("way", ["plain-initial", "plain", "login", "login-initial"])
def test_login(way: str) -> None:
    """PLAIN and LOGIN, with and without initial response (RFC 4954, RFC 4616)."""
    user = base64.b64encode(b"alice@corp.example").decode()
    password = base64.b64encode("secret ü".encode()).decode()
    exchanges = {
        "plain-initial": [f"AUTH PLAIN {GOOD}"],
        "plain": ["AUTH PLAIN", GOOD],
        "login": ["AUTH LOGIN", user, password],
        "login-initial": [f"auth login {user}", password],
    }

    async def test() -> None:
        reception = FakeReception(users=USERS)
        async with place(
            reception, LIMITS, auth=True, role=ListenerRole.SUBMISSION, next_hop="out"
        ) as here:
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("530 5.7.0")
            *challenged, last = [await client.say(line) for line in exchanges[way]]
            assert all(reply.startswith("334 ") for reply in challenged)
            assert last.startswith("235 2.7.0")
            assert (await client.say(f"AUTH PLAIN {GOOD}")).startswith("503 5.5.1")
            await client.say("MAIL FROM:<alice@corp.example> AUTH=<boss@corp.example>")
            session = here.reception.begun[0].session
            assert session.user == "alice@corp.example"  # not what AUTH= claims (case B16)
            assert session.protocol == "ESMTPA"
            assert "secret" not in repr(session)
            assert "secret" not in repr(here.events.said)

    run(test())


NUL3 = base64.b64encode(b"\0a\0b\0c").decode()
NUL1 = base64.b64encode(b"a\0b").decode()


@pytest.mark.parametrize(
    "lines",
    [
        ["AUTH PLAIN !!!!"],
        ["AUTH PLAIN abc"],
        [f"AUTH PLAIN {NUL3}"],
        [f"AUTH PLAIN {NUL1}"],
        ["AUTH PLAIN ="],
        ["AUTH PLAIN " + "QUFB" * 3072],
        ["AUTH PLAIN", "QUFB" * 3072],
        ["AUTH PLAIN", base64.b64encode(b"\0a\0" + b"b" * 9000).decode()],
        ["AUTH LOGIN", "YQ==", "*"],
        ["AUTH LOGIN", "====", ""],
        ["AUTH PLAIN " + base64.b64encode(b"\0a\nb\0c").decode()],
        ["AUTH PLAIN " + base64.b64encode(b"\0\xff\xfe\0c").decode()],
    ],
    ids=lambda lines: "/".join(line[:20] for line in lines),
)
def test_malformed_login(lines: list[str]) -> None:
    """Bad base64, extra NULs, a blob of 12 KB: 501, never a look at the password (case B13)."""

    async def test() -> None:
        async with place(FakeReception(users=USERS), LIMITS, auth=True) as here:
            client = await here.greeted()
            reply = ""
            for line in lines:
                reply = await client.say(line)
                if not reply.startswith("334"):
                    break
            assert reply.startswith("501 5."), reply
            assert not here.events.named("session.authenticated")
            assert (await client.say("NOOP")).startswith("250")

    run(test())


def test_unknown_mechanism() -> None:
    """504 5.5.4 (RFC 4954, 4)."""

    async def test() -> None:
        async with place(FakeReception(users=USERS), LIMITS, auth=True) as here:
            client = await here.greeted()
            assert (await client.say("AUTH CRAM-MD5")).startswith("504 5.5.4")

    run(test())


def test_three_wrong_passwords_end_the_session() -> None:
    """535 each, then 421 4.7.0 (case B11)."""

    async def test() -> None:
        async with place(FakeReception(users=USERS), LIMITS, auth=True) as here:
            client = await here.greeted()
            await client.send(f"AUTH PLAIN {BAD}\r\n".encode() * 3)
            replies = await client.replies(4)
            assert [r[:9] for r in replies] == ["535 5.7.8"] * 3 + ["421 4.7.0"]
            assert await client.rest() == b""

    run(test())


def test_listener_without_auth_does_not_offer_it() -> None:
    """And refuses it."""

    async def test() -> None:
        async with place() as here:
            client = await here.connect()
            await client.reply()
            assert "AUTH" not in await client.say("EHLO client.example")
            assert (await client.say(f"AUTH PLAIN {GOOD}")).startswith("502")

    run(test())


def test_another_certificate_counts_for_sessions_that_begin_later(
    contexts: Contexts, tmp_path: Path
) -> None:
    """Who is inside goes on; who comes gets the new one, with STARTTLS and in the handshake."""
    files = make_tls(tmp_path)
    renewed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    renewed.load_cert_chain(files.certificate, files.key)
    trusting = ssl.create_default_context(cafile=str(files.ca))

    async def test() -> None:
        for implicit in (True, False):
            async with place(tls=contexts[0], tls_implicit=implicit) as here:
                if implicit:
                    before = await here.connect(tls=contexts[1])
                    assert (await before.reply()).startswith("220")
                here.listener.use_tls(renewed)
                if implicit:
                    assert (await before.say("NOOP")).startswith("250")
                    after = await here.connect(tls=trusting)
                    assert (await after.reply()).startswith("220")
                else:
                    after = await here.greeted()
                    await _secured(after, trusting)
                    assert (await after.say("EHLO client.example")).startswith("250")

    run(test())
