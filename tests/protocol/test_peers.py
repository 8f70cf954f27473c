"""The private Postfix and Dovecot carry mail in every arrangement that other tests build on."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator

import pytest

from tests.peers.dovecot import Dovecot
from tests.peers.postfix import Postfix

MESSAGE = b"From: <alice@corp.example>\r\nTo: <bob@partner.example>\r\nSubject: x\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def mailboxes() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


def test_two_companies_exchange_mail(mailboxes: Dovecot) -> None:
    """Two Postfix and two Dovecot run side by side; submission with AUTH over STARTTLS."""
    partner = Postfix("partner.example")
    corp = Postfix("corp.example", sasl_port=mailboxes.sasl_port)
    corp.outbound["partner.example"] = partner.smtp_port
    with Dovecot() as others:
        partner.deliver_to = others.lmtp_port
        with partner, corp:
            with smtplib.SMTP("127.0.0.1", corp.submission_port, timeout=20) as client:
                client.starttls(context=ssl.create_default_context(cafile=corp.ca))
                client.login("alice@corp.example", mailboxes.password)
                client.sendmail("alice@corp.example", ["bob@partner.example"], MESSAGE)
            [message] = others.wait_for("bob@partner.example", 1)
            assert message.endswith(b"\r\n\r\nhello\r\n")
            corp.wait_for_empty_queue()


def test_relayhost_takes_what_is_for_others(mailboxes: Dovecot) -> None:
    """The smarthost's port is used for foreign domains, LMTP for the own one."""
    with Postfix("partner.example", deliver_to=mailboxes.lmtp_port) as smarthost:
        corp = Postfix(deliver_to=mailboxes.lmtp_port, relayhost=smarthost.smtp_port)
        with corp, smtplib.SMTP("127.0.0.1", corp.smtp_port, timeout=20) as client:
            client.sendmail(
                "alice@corp.example", ["carol@partner.example", "dave@corp.example"], MESSAGE
            )
            mailboxes.wait_for("carol@partner.example", 1)
            mailboxes.wait_for("dave@corp.example", 1)
            assert "to=<carol@partner.example>" in smarthost.log
            assert "to=<dave@corp.example>" not in smarthost.log
