"""Two companies exchange real mail, with the gateway in front of Postfix and as its filter."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e import mail
from tests.e2e.company import Company, place

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["front", "lmtp", "smtp"], autouse=True)
def placed(request: pytest.FixtureRequest, companies: tuple[Company, Company]) -> None:
    """Every placement in turn."""
    place(companies, request.param)


def exchange(sender: Company, receiver: Company, octets: bytes) -> tuple[bytes, bytes]:
    """Send *octets* from user to user; return what passed on the wire and what was fetched."""
    sender.submit(receiver.user, octets)
    fetched = receiver.fetch(octets)
    return receiver.wire.wait_for(octets), fetched


def assert_protected(wire: bytes, sender: Company, receiver: Company) -> bytes:
    """On the wire it is enveloped-data; returns the signed content that openssl finds in it."""
    [content_type] = mail.header(wire, "Content-Type")
    assert content_type.startswith("application/pkcs7-mime")
    assert "enveloped-data" in content_type
    assert mail.CLEAR.encode() not in wire
    return mail.opened_by_openssl(
        wire, receiver.authority.pem(receiver.container), sender.authority.anchor
    )


def assert_reported(fetched: bytes, sender: Company, receiver: Company) -> None:
    """The result fields at the recipient say signed by the sender, encrypted, intact."""
    [results] = mail.header(fetched, "Authentication-Results")
    assert results.startswith(f"gw.{receiver.domain};")
    assert "smime=pass" in results
    assert f"body.smime-identifier={sender.user}" in results
    assert mail.header(fetched, "X-Smimegw-Status") == [
        "signed=pass; encrypted=yes; integrity=signed"
    ]
    [encryption] = mail.header(fetched, "X-Smimegw-Encryption")
    assert "result=decrypted" in encryption


@pytest.mark.parametrize("write", [mail.plain, mail.rich, mail.chinese, mail.awkward])
def test_mail_arrives_as_it_was_written(
    a: Company, b: Company, write: Callable[[str, str], bytes]
) -> None:
    """Signed and encrypted in between; everything that people read or save is as it was sent."""
    octets = write(a.user, b.user)
    wire, fetched = exchange(a, b, octets)
    signed = assert_protected(wire, a, b)
    assert mail.parts(signed) == mail.parts(octets)
    assert_reported(fetched, a, b)
    assert mail.parts(fetched) == mail.parts(octets)
    assert mail.subject(fetched) == mail.subject(octets)


def test_the_body_is_the_same_octet_for_octet(a: Company, b: Company) -> None:
    """What needs no other encoding gets none; POP3 and IMAP give the same."""
    octets = mail.plain(a.user, b.user)
    wire, fetched = exchange(a, b, octets)
    assert mail.body(assert_protected(wire, a, b)) == mail.body(octets)
    assert mail.body(fetched) == mail.body(octets)
    assert mail.by_pop3(b.dovecot, b.user, b.number(octets)) == fetched


def test_an_answer_comes_back(a: Company, b: Company) -> None:
    """The other direction, with the other company's keys and directory."""
    octets = mail.plain(b.user, a.user, "answer")
    wire, fetched = exchange(b, a, octets)
    assert_protected(wire, b, a)
    assert_reported(fetched, b, a)
    assert mail.body(fetched) == mail.body(octets)


def test_a_large_attachment_arrives(a: Company, b: Company) -> None:
    """10 MB, octet for octet."""
    octets = mail.large(a.user, b.user, 10 * MIB)
    wire, fetched = exchange(a, b, octets)
    assert_protected(wire, a, b)
    assert_reported(fetched, a, b)
    assert mail.body(fetched) == mail.body(octets)


def test_without_certificate_nothing_leaves(a: Company, b: Company) -> None:
    """In front the client sees 550 R-01; behind Postfix the sender gets a bounce that says it."""
    stranger = f"nobody@{b.domain}"
    octets = mail.plain(a.user, stranger)
    if a.placement == "front":
        code, text = a.submit_refused(stranger, octets)
        assert (code, text.partition(" ")[0]) == (550, "5.7.5")
    else:
        a.submit(stranger, octets)
        text = a.fetch(octets, as_text=True).decode()
        assert "Undelivered Mail" in text
    assert stranger in text
    assert "no usable certificate" in text
    assert "(R-01)" in text
    a.postfix.wait_for_empty_queue()
    assert not b.wire.saw(octets)
