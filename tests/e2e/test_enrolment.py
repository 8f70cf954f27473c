"""Senders without a certificate get one from `smimegw-ca est`, and their first mail is signed."""

from __future__ import annotations

import contextlib
import json
import smtplib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.node import Node, SinkThread
from tests.e2e.programs import program
from tests.fakes.scripted_sink import ScriptedSink
from tests.interop.openssl import openssl
from tests.peers.ca_services import ServedCA
from tests.peers.ports import free_port

_POLICY = """[[rule]]
name = "sign"
why  = "what these tests are about"
when = { direction = "outbound" }
then = { protect = "sign", enrol = true }

[[rule]]
name = "open and report"
why  = "a rule for all mail"
when = { direction = "inbound" }
then = { require = "none" }
"""
_ENROLMENT = """
[enrolment]
url         = "{url}/{label}"
ca          = "{access}/est-ca.pem"
certificate = "{access}/gateway.pem"
key         = {{ file = "{access}/gateway.key" }}
key_kind    = "p-256"
pause       = "1h"
"""


class Site:
    """A CA, and gateways that enrol at it."""

    def __init__(self, directory: Path, sink: ScriptedSink, sink_port: int) -> None:
        self.directory = directory
        self.sink = sink
        self._sink_port = sink_port
        self.ca = ServedCA(directory)
        self._count = 0

    def node(self, url: str, *, workers: int = 1, label: str = "mailbox-both") -> Node:
        """A gateway of its own."""
        self._count += 1
        more = _ENROLMENT.format(url=url, label=label, access=self.ca.access)
        made = Node(
            self.directory / f"gw{self._count}", self._sink_port, workers=workers, more=more
        )
        made.policy.write_text(_POLICY)
        return made

    def arrived(self, token: str) -> list[bytes]:
        """The messages with *token* that the next hop has."""
        found = [message.content for message in self.sink.messages]
        return [content for content in found if token.encode() in content]

    def signer(self, message: bytes) -> str:
        """Whose signature OpenSSL verifies on *message*, up to the CA's root."""
        path = self.directory / "signer.pem"
        root = self.ca.certificate("root")
        openssl("cms", "-verify", "-CAfile", root, "-signer", path, stdin=message)
        return openssl("x509", "-in", path, "-noout", "-email").decode().strip()


def send(node: Node, sender: str, token: str) -> tuple[int, str]:
    """The reply to a whole message."""
    message = (
        f"From: {sender}\r\nTo: bob@partner.example\r\nMessage-ID: <{token}@ours.example>\r\n"
        f"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: {token}\r\n\r\nHello\r\n"
    )
    with smtplib.SMTP("127.0.0.1", node.port, timeout=120) as client:
        try:
            client.sendmail(sender, ["bob@partner.example"], message.encode())
        except smtplib.SMTPDataError as refused:
            text = refused.smtp_error
            return refused.smtp_code, text.decode() if isinstance(text, bytes) else text
    return 250, ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    sink = ScriptedSink()
    with SinkThread(sink) as running:
        yield Site(tmp_path_factory.mktemp("site"), running, running.port)


@pytest.fixture(scope="module")
def est(site: Site) -> Iterator[str]:
    with site.ca.enrolment() as url:
        yield url


@pytest.fixture(scope="module")
def gateway(site: Site, est: str) -> Iterator[Node]:
    """One that serves a second domain, which the CA does not."""
    node = site.node(est)
    text = node.configuration.read_text()
    both = text.replace('["ours.example"]', '["ours.example", "other.example"]')
    node.configuration.write_text(both)
    with node:
        yield node


def test_the_first_mail_is_signed(site: Site, gateway: Node) -> None:
    """Nobody prepared anything for her; one certificate is made, for this and the next mail."""
    assert send(gateway, "anna@ours.example", "first")[0] == 250
    assert send(gateway, "anna@ours.example", "second")[0] == 250
    assert len(gateway.events("enrolment.done", **{"from": "anna@ours.example"})) == 1
    for token in ("first", "second"):
        (message,) = site.arrived(token)
        assert site.signer(message) == "anna@ours.example"


def test_several_workers_make_one_certificate(site: Site, est: str) -> None:
    """One attempt per mailbox at a time; the others wait and use what came."""
    with site.node(est, workers=2) as node, ThreadPoolExecutor(4) as pool:
        replies = list(
            pool.map(lambda n: send(node, "many@ours.example", f"many-{n}")[0], range(4))
        )
    assert replies == [250] * 4
    found = program(
        "smimegw-ca", "list", "-d", site.ca.home, "--address", "many@ours.example", "--json"
    )
    assert len(found.splitlines()) == 1


def test_a_sender_of_another_domain_gets_none(gateway: Node) -> None:
    """R-12: what the session may not use is refused before anybody is asked."""
    code, text = send(gateway, "eve@elsewhere.example", "eve")
    assert (code, "5.7.1" in text) == (550, True)
    eve = {"from": "eve@elsewhere.example"}
    assert not gateway.events("enrolment.done", **eve)
    assert not gateway.events("enrolment.error", **eve)


def test_without_the_authority_the_row_of_no_certificate_applies(site: Site, est: str) -> None:
    """R-10: refused, never sent unsigned."""
    with site.node(f"https://localhost:{free_port()}/.well-known/est") as node:
        code, text = send(node, "dora@ours.example", "down")
        assert (code, "(R-10)" in text) == (550, True)
        (error,) = node.events("enrolment.error")
        assert "no connection" in error["text"]
    assert not site.arrived("down")


def test_a_question_makes_no_certificate(site: Site, gateway: Node) -> None:
    """`smimegw explain` says what is, and asks nobody for more."""
    words = ("--from", "asked@ours.example", "--to", "bob@partner.example")
    said = program("smimegw", "explain", *words, "-c", gateway.configuration, expect=1)
    assert "R-10" in said
    assert not site.ca.run("list", "--address", "asked@ours.example", "--json")


def test_what_the_authority_refuses_is_told(gateway: Node) -> None:
    """The CA certifies its own domains only; the log holds its words."""
    assert send(gateway, "olga@other.example", "outside")[0] == 550
    (error,) = gateway.events("enrolment.error", **{"from": "olga@other.example"})
    assert "outside of the domains" in error["text"]


def test_the_key_of_a_request_that_waits_is_kept(site: Site, est: str) -> None:
    """202: a person approves, the next attempt sends the same request and gets the certificate."""
    ca = ServedCA(site.directory / "second-person-of")
    ca.configure("second_person = false", "second_person = true")
    with ca.enrolment() as url:
        node = site.node(url)
        text = node.configuration.read_text().replace(str(site.ca.access), str(ca.access))
        node.configuration.write_text(text)
        with node:
            assert send(node, "petra@ours.example", "waits")[0] == 550
            (error,) = node.events("enrolment.error")
            assert "waits to be approved" in error["text"]
        ca.run("request", "approve", "1")
        (kept,) = (node.state / "enrolment").glob("*.json")
        attempt = json.loads(kept.read_text())
        assert attempt["key"]
        kept.write_text(json.dumps({**attempt, "again_at": "2026-01-01T00:00:00+00:00"}))
        with node:
            assert send(node, "petra@ours.example", "approved")[0] == 250
        assert not list((node.state / "enrolment").glob("*.json"))
    found = ca.run("list", "--address", "petra@ours.example", "--json")
    assert len(found.splitlines()) == 1


def test_a_new_encryption_certificate_is_published(site: Site, tmp_path: Path) -> None:
    """What others may encrypt to is found in the gateway's own directory right after."""
    ca = ServedCA(tmp_path)
    database = tmp_path / "published.db"
    with ca.enrolment("--publish", f"--embedded {database}") as url:
        node = site.node(url)
        text = node.configuration.read_text().replace(str(site.ca.access), str(ca.access))
        node.configuration.write_text(text)
        with node:
            assert send(node, "paul@ours.example", "published")[0] == 250
    # the service ended: what it had to publish is published
    with contextlib.closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT mailbox FROM certificates").fetchall()
    assert found == [("paul@ours.example",)]
