"""What the gateway does when something around it fails, and when an administrator acts."""

from __future__ import annotations

import json
import shutil
import signal
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e import mail
from tests.e2e.company import Company, place
from tests.e2e.programs import program
from tests.peers.ports import wait_until

STRANGER = "nobody@b.example"
SIGN_FOR_STRANGERS = """[[rule]]
name = "signed where it cannot be encrypted"
why  = "the administrator changed the policy"
when = { direction = "outbound" }
then = { protect = "sign-then-encrypt", without_certificate = "send-signed" }

[[rule]]
name = "open and report"
why  = "as before"
when = { direction = "inbound" }
then = { require = "none" }
"""


@pytest.fixture(scope="module", autouse=True)
def placed(companies: tuple[Company, Company]) -> None:
    place(companies, "front")


@pytest.fixture
def restarted(a: Company) -> Iterator[None]:
    """Whatever the test does to A's gateway, the next one finds it running."""
    yield
    a.gateway.stop()
    a.gateway.start()


def wait_for_answer(a: Company, recipient: str, expected: str) -> str:
    """Submit until the reply holds *expected*, nothing for acceptance; the cache keeps 1 s."""
    replies: list[str] = []

    def answered() -> bool:
        replies.append(a.try_to_submit(recipient, mail.plain(a.user, recipient)))
        return expected in replies[-1] if expected else not replies[-1]

    wait_until(answered, expected or "acceptance", seconds=60)
    return replies[-1]


def probe(a: Company, path: str) -> tuple[int, bytes]:
    """Ask the status port."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{a.status_port}{path}", timeout=10
        ) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class HalfWay:
    """A client that is in the middle of DATA."""

    def __init__(self, a: Company, octets: bytes) -> None:
        self._rest = octets[len(octets) // 2 :]
        self.client = smtplib.SMTP("127.0.0.1", a.front_port, timeout=60)
        self.client.starttls(context=ssl.create_default_context(cafile=a.front_ca))
        self.client.login(a.user, a.dovecot.password)
        assert a.partner
        assert self.client.mail(a.user)[0] == 250
        assert self.client.rcpt(a.partner.user)[0] == 250
        assert self.client.docmd("DATA")[0] == 354
        self.client.send(octets[: len(octets) // 2])

    def finish(self) -> tuple[int, bytes]:
        """Send the rest and return the reply."""
        self.client.send(self._rest + b".\r\n")
        return self.client.getreply()


# --- the directory fails -------------------------------------------------------------------------


def test_a_frozen_directory_holds_mail_back(a: Company, b: Company) -> None:
    """A server that hangs is like one that is stopped: 451, nothing leaves (R-06); then it does."""
    b.slapd.freeze()
    try:
        assert wait_for_answer(a, b.user, "(R-06)").startswith("451 4.4.3")
        octets = mail.plain(a.user, b.user)
        assert "451 4.4.3" in a.try_to_submit(b.user, octets)
        a.postfix.wait_for_empty_queue()
        assert not b.wire.saw(octets)
    finally:
        b.slapd.thaw()
    wait_for_answer(a, b.user, "")


# --- the process ---------------------------------------------------------------------------------


def test_the_status_port_answers(a: Company, b: Company) -> None:
    """Alive, ready, and what was delivered is counted."""
    a.submit(b.user, mail.plain(a.user, b.user))
    assert probe(a, "/live")[0] == 200
    status, answer = probe(a, "/ready")
    assert (status, json.loads(answer)["ready"]) == (200, True)
    status, answer = probe(a, "/metrics")
    assert status == 200
    assert b"\nsmimegw_ready 1.0\n" in answer
    delivered = messages_counted(answer)
    a.submit(b.user, mail.plain(a.user, b.user))
    assert messages_counted(probe(a, "/metrics")[1]) == delivered + 1


def messages_counted(exposition: bytes) -> float:
    lines = [
        line
        for line in exposition.decode().splitlines()
        if line.startswith("smimegw_messages_total") and 'direction="outbound"' in line
    ]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.mark.usefixtures("restarted")
def test_a_terminated_gateway_finishes_what_is_under_way(a: Company, b: Company) -> None:
    """After SIGTERM nobody new is let in, what is in progress is delivered, exit code 0 (N-25)."""
    octets = mail.plain(a.user, b.user, "drained")
    client = HalfWay(a, octets)
    a.gateway.signal(signal.SIGTERM)
    a.gateway.wait_for_event("gateway.draining")
    wait_until(lambda: refuses_connections(a), "no new connections")
    assert probe(a, "/ready")[0] == 503
    assert client.finish()[0] == 250
    assert client.client.getreply()[0] == 421
    client.client.close()
    assert a.gateway.wait() == 0
    assert "encrypted=yes" in b.fetch(octets).decode()


def refuses_connections(a: Company) -> bool:
    try:
        smtplib.SMTP("127.0.0.1", a.front_port, timeout=10).close()
    except (OSError, smtplib.SMTPException):
        return True
    return False


@pytest.mark.usefixtures("restarted")
def test_a_killed_gateway_leaves_nothing_behind(a: Company, b: Company) -> None:
    """SIGKILL in the middle of DATA: nothing at the next hop; the second try arrives (N-24)."""
    octets = mail.plain(a.user, b.user, "killed")
    client = HalfWay(a, octets)
    a.gateway.kill()
    with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
        client.finish()
    client.client.close()
    a.postfix.wait_for_log("lost connection after RCPT")
    assert a.postfix.queue() == []
    assert not b.wire.saw(octets)
    a.gateway.start()
    a.submit(b.user, octets)
    assert "encrypted=yes" in b.fetch(octets).decode()


@pytest.fixture
def rules(a: Company) -> Iterator[Callable[[str, str], dict[str, Any]]]:
    """Write a policy, send SIGHUP, return the event that follows; afterwards all is as before."""
    before = a.policy.read_text()

    def reload(text: str, event: str) -> dict[str, Any]:
        seen = len(a.gateway.events(event))
        a.policy.write_text(text)
        a.gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(a.gateway.events(event)) > seen, f"another {event}")
        return a.gateway.events(event)[-1]

    yield reload
    reload(before, "policy.reloaded")


def test_a_broken_policy_is_not_taken_over(
    a: Company, rules: Callable[[str, str], dict[str, Any]]
) -> None:
    """SIGHUP with a mistake in the file: the old rules stay, the log says what is wrong (R-15)."""
    broken = SIGN_FOR_STRANGERS.replace("send-signed", "send-singed")
    assert "send-singed" in rules(broken, "policy.reload_failed")["text"]
    assert "(R-01)" in a.try_to_submit(STRANGER, mail.plain(a.user, STRANGER))


def test_a_good_policy_is_taken_over(
    a: Company, b: Company, rules: Callable[[str, str], dict[str, Any]]
) -> None:
    """SIGHUP: the next mail goes by the new rules."""
    assert "(R-01)" in a.try_to_submit(STRANGER, mail.plain(a.user, STRANGER))
    rules(SIGN_FOR_STRANGERS, "policy.reloaded")
    octets = mail.plain(a.user, STRANGER)
    a.submit(STRANGER, octets)
    [content_type] = mail.header(b.wire.wait_for(octets), "Content-Type")
    assert content_type.startswith("multipart/signed")


@pytest.mark.usefixtures("restarted")
def test_a_wrong_key_encryption_key_delays_mail(a: Company, b: Company) -> None:
    """Not ready and 451 4.7.5 (R-13): nothing goes out unsigned because keys cannot be read."""
    right, kept = a.directory / "kek", a.directory / "kek.kept"
    shutil.move(right, kept)
    try:
        program("smimegw", "key", "generate-kek", right)
        a.gateway.stop()
        a.gateway.start()
        a.gateway.wait_for_event("gateway.not_ready")
        assert probe(a, "/ready")[0] == 503
        assert probe(a, "/live")[0] == 200
        octets = mail.plain(a.user, b.user)
        reply = a.try_to_submit(b.user, octets)
        assert reply.startswith("451 4.7.5")
        assert "(R-13)" in reply
        a.postfix.wait_for_empty_queue()
        assert not b.wire.saw(octets)
    finally:
        shutil.move(kept, right)


def test_the_login_is_judged_by_postfix(a: Company) -> None:
    """A wrong password is refused through the gateway, which knows no passwords."""
    with smtplib.SMTP("127.0.0.1", a.front_port, timeout=60) as client:
        client.starttls(context=ssl.create_default_context(cafile=a.front_ca))
        client.ehlo()
        client.user, client.password = a.user, "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.auth("PLAIN", client.auth_plain)
