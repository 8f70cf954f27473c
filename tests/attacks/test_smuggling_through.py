"""Smuggled commands inside protected and encoded parts, through the gateway into a real Postfix.

The Postfix accepts bare newlines for line ends, as many servers do: whatever left the gateway with
one would end the data there and begin another message.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import quopri
import smtplib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest

from smimegw.adapters.smtp.listener import Listener
from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.adapters.smtp.settings import ListenerSettings, NextHopSettings
from smimegw.cms.algorithms import ContentCipher
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.smtp.roles import ListenerRole
from tests.attacks.test_smtp_attacks import FAKE_ENDS
from tests.fakes.company import Company, message
from tests.fakes.pki import Issued
from tests.fakes.reception import FakeEvents
from tests.flow.protected import encrypted, protected, signed
from tests.peers.postfix import Postfix
from tests.protocol.raw_client import run

ALICE, BOB = "alice@ours.example", "bob@partner.example"
SMUGGLED = b"MAIL FROM:<boss@ours.example>\r\nRCPT TO:<victim@ours.example>\r\nDATA\r\nforged\r\n"
LIMITS = Limits(drain_seconds=5)

Make = Callable[[Company, Issued, bytes], bytes]


def _text(content: bytes, encoding: str = "") -> bytes:
    """A text part; *content* encoded, or as it stands."""
    if encoding == "base64":
        body = base64.encodebytes(content).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        # Every line end is content here, so that decoding brings the octets back.
        body = quopri.encodestring(content, quotetabs=True).replace(b"\n", b"=0A=\r\n")
        body = body.replace(b"\r=0A", b"=0D=0A") + b"\r\n"
    else:
        body = content
    head = b"Content-Type: text/html\r\n"
    head += f"Content-Transfer-Encoding: {encoding}\r\n".encode() if encoding else b""
    return head + b"\r\n" + body


def _inside(part: bytes) -> bytes:
    """A whole message from Bob around *part*."""
    return protected(message(BOB, ALICE), lambda _: Entity.parse(part))


def _opaque(company: Company, alice: Issued, content: bytes) -> bytes:
    return signed(_inside(_text(content)), company.ca.issue(BOB), opaque=True)


def _encrypted(cipher: ContentCipher, encoding: str) -> Make:
    def make(company: Company, alice: Issued, content: bytes) -> bytes:
        return encrypted(_inside(_text(content, encoding)), company.ca, alice, cipher=cipher)

    return make


def _both(company: Company, alice: Issued, content: bytes) -> bytes:
    return encrypted(_opaque(company, alice, content), company.ca, alice)


def _clear(encoding: str) -> Make:
    def make(company: Company, alice: Issued, content: bytes) -> bytes:
        return signed(_inside(_text(content, encoding)), company.ca.issue(BOB))

    return make


CARRIERS: dict[str, Make] = {
    "opaque": _opaque,
    "encrypted-cbc": _encrypted(ContentCipher.AES_256_CBC, ""),
    "encrypted-gcm": _encrypted(ContentCipher.AES_256_GCM, ""),
    "opaque-in-encrypted": _both,
    "disarmed-base64": _encrypted(ContentCipher.AES_256_CBC, "base64"),
    "disarmed-quoted-printable": _encrypted(ContentCipher.AES_256_CBC, "quoted-printable"),
    "clear-base64": _clear("base64"),
    "clear-quoted-printable": _clear("quoted-printable"),
}


@contextlib.asynccontextmanager
async def _chain(company: Company, role: ListenerRole, next_hop: int) -> AsyncIterator[int]:
    """Listener, pipeline and relay as in the gateway; gives the listener's port."""
    name = "in" if role is ListenerRole.MX else "out"
    hop = NextHopSettings(host="127.0.0.1", port=next_hop)
    relay = SMTPRelay({name: hop}, hostname="gw.ours.example", limits=LIMITS)
    ports = replace(company.world.ports, relay=relay)
    gateway = Gateway(company.gateway.policy, ports, company.settings)
    settings = ListenerSettings(name=str(role), role=role, next_hop=name)
    listener = Listener(settings, gateway, LIMITS, FakeEvents())
    await listener.start()
    try:
        yield listener.port
    finally:
        await listener.drain()
        await relay.aclose()


def _send(port: int, sender: str, recipient: str, content: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail(sender, [recipient], content, mail_options=["BODY=8BITMIME"])


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with Postfix("ours.example", settings={"smtpd_forbid_bare_newline": "no"}) as server:
        yield server


def _messages(server: Postfix) -> int:
    """How many it took so far."""
    server.wait_for_empty_queue()
    return server.log.count(": message-id=<")


def test_this_postfix_can_be_fooled(postfix: Postfix) -> None:
    """What the other tests rule out happens when the octets reach it (case A01)."""
    before = _messages(postfix)
    with socket.create_connection(("127.0.0.1", postfix.internal_port), timeout=30) as client:
        file = client.makefile("rb")
        for line in (
            b"EHLO x",
            b"MAIL FROM:<bob@partner.example>",
            b"RCPT TO:<alice@ours.example>",
        ):
            client.sendall(line + b"\r\n")
        client.sendall(b"DATA\r\n")
        while not file.readline().startswith(b"354"):
            pass
        forged = SMUGGLED.replace(b"victim", b"fooled")
        client.sendall(b"Subject: x\r\n\r\nhello" + FAKE_ENDS["A01-LF-dot-LF"] + forged)
        client.sendall(b"\r\n.\r\nQUIT\r\n")
        file.read()
    assert _messages(postfix) == before + 2
    assert "fooled@" in postfix.log


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_comes_out_of_a_protected_part_stays_one_message(
    carrier: str, postfix: Postfix
) -> None:
    """One message for each that went in, and nothing for the victim (case A12)."""
    company = Company()
    alice = company.user(ALICE)
    before = _messages(postfix)

    async def test() -> None:
        async with _chain(company, ListenerRole.MX, postfix.internal_port) as port:
            for shape in FAKE_ENDS.values():
                inner = b"hello" + shape + SMUGGLED + b"\r\n.\r\n"
                content = CARRIERS[carrier](company, alice, inner)
                await asyncio.to_thread(_send, port, BOB, ALICE, content)

    run(test())
    assert _messages(postfix) == before + len(FAKE_ENDS)
    assert "victim@" not in postfix.log
