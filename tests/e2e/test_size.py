"""The largest message that the gateway announces goes all the way; one octet more is refused."""

from __future__ import annotations

import smtplib
import ssl

import pytest

from tests.e2e import mail
from tests.e2e.company import Company

MIB = 1024 * 1024
LIMIT = 50 * MIB


@pytest.fixture(scope="module", autouse=True)
def placed(companies: tuple[Company, Company]) -> None:
    """Sender's limit as delivered; what protection adds (a half) the receiver has to allow."""
    sender, receiver = companies
    sender.place("front")
    receiver.place("front", message_octets=100 * MIB)


def test_a_message_above_the_announced_size_is_refused_at_mail(a: Company) -> None:
    """552 before a single octet of it is sent (RFC 1870, 6.1)."""
    with smtplib.SMTP("127.0.0.1", a.front_port, timeout=60) as client:
        client.starttls(context=ssl.create_default_context(cafile=a.front_ca))
        client.login(a.user, a.dovecot.password)
        assert client.esmtp_features["size"] == str(LIMIT)
        code, text = client.mail(a.user, [f"SIZE={LIMIT + 1}"])
        assert (code, text[:5]) == (552, b"5.3.4")
        assert client.mail(a.user, [f"SIZE={LIMIT}"])[0] == 250


def test_a_message_just_below_the_announced_size_arrives(a: Company, b: Company) -> None:
    """50 MB are signed, encrypted, carried, opened and verified without a change (cases L01)."""
    octets = mail.large(a.user, b.user, LIMIT - MIB // 4)
    assert LIMIT - MIB < len(octets) <= LIMIT
    a.submit(b.user, octets)
    fetched = b.fetch(octets)
    assert mail.CLEAR.encode() not in b.wire.wait_for(octets)
    assert mail.header(fetched, "X-Smimegw-Status") == [
        "signed=pass; encrypted=yes; integrity=signed"
    ]
    assert mail.body(fetched) == mail.body(octets)
