"""Two companies exchange real mail, with the gateway in front of Postfix and as its filter."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.e2e import mail
from tests.e2e.company import Company, place
from tests.peers.ports import wait_until

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
    """On the wire it is encrypted; returns the signed content that openssl finds in it."""
    [content_type] = mail.header(wire, "Content-Type")
    assert content_type.startswith("application/pkcs7-mime")
    assert re.search(r'smime-type="?(enveloped|authEnveloped)-data', content_type)
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
    """The other direction, with the other company's keys and directory.

    What came was signed by a gateway that reads AES-GCM, so that is what the answer has.
    """
    exchange(a, b, mail.plain(a.user, b.user, "question"))
    octets = mail.plain(b.user, a.user, "answer")
    wire, fetched = exchange(b, a, octets)
    assert_protected(wire, b, a)
    assert "authEnveloped-data" in mail.header(wire, "Content-Type")[0]
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


def test_one_recipient_without_certificate(a: Company, b: Company) -> None:
    """SMTP has one reply for all: nothing leaves.  LMTP has one each: the other gets the mail."""
    stranger = f"nobody@{b.domain}"
    octets = mail.plain(a.user, b.user, "both")
    if a.placement == "front":
        assert "(R-01)" in a.submit_refused([b.user, stranger], octets)[1]
    else:
        a.submit([b.user, stranger], octets)
        bounce = a.fetch(octets, as_text=True).decode()
        assert f"<{stranger}>: host" in bounce
        assert (f"<{b.user}>: host" in bounce) is (a.placement == "smtp")
    a.postfix.wait_for_empty_queue()
    if a.placement == "lmtp":
        assert_protected(b.wire.wait_for(octets), a, b)
    else:
        assert not b.wire.saw(octets)


def test_a_stopped_directory_delays_and_loses_nothing(a: Company, b: Company) -> None:
    """451 4.4.3 (R-06): client or Postfix keep the mail, nothing leaves; later all arrives."""
    sent: list[bytes] = []

    def the_last_is_held_back() -> bool:
        sent.append(mail.plain(a.user, b.user, "delayed"))
        return held_back(a, sent[-1])

    b.slapd.stop()
    try:
        wait_until(the_last_is_held_back, "a mail that is held back", seconds=60)
        assert not b.wire.saw(sent[-1])
    finally:
        b.slapd.start()
    if a.placement == "front":
        wait_until(lambda: not a.try_to_submit(b.user, sent[-1]), "the client's next try")
    for octets in sent:
        assert_reported(b.fetch(octets), a, b)
        assert not mail.numbers(a.dovecot, a.user, octets, as_text=True)


def held_back(a: Company, octets: bytes) -> bool:
    """Submit; whether the reply, or the one that Postfix got, is 451 for the directory."""
    assert a.partner
    reply = a.try_to_submit(a.partner.user, octets)
    if a.placement == "front":
        return reply.startswith("451 4.4.3")
    named = f": message-id=<{mail.message_id(octets)}>"
    queued = re.search(rf"(\w+){re.escape(named)}", a.postfix.wait_for_log(named))
    assert queued
    log = a.postfix.wait_for_log(f"{queued[1]}: to=<{a.partner.user}>")
    [line] = [line for line in log.splitlines() if f"{queued[1]}: to=<" in line][:1]
    return "status=deferred" in line and "451 4.4.3" in line


def test_forged_results_do_not_reach_the_recipient(b: Company) -> None:
    """A stranger's own Authentication-Results and X-Smimegw-* are removed (RFC 8601, 5)."""
    forged = (
        f"Authentication-Results: gw.{b.domain}; smime=pass\r\n"
        "X-Smimegw-Status: signed=pass; encrypted=yes; integrity=signed\r\n"
    )
    octets = forged.encode() + mail.plain("ceo@stranger.example", b.user)
    mail.send(b.wire.port, "ceo@stranger.example", [b.user], octets)
    fetched = b.fetch(octets)
    [results] = mail.header(fetched, "Authentication-Results")
    assert "smime=none" in results
    assert mail.header(fetched, "X-Smimegw-Status") == ["signed=none; encrypted=no; integrity=none"]
    assert mail.body(fetched) == mail.body(octets)


def test_what_cannot_be_opened_is_delivered_as_it_came(a: Company, b: Company) -> None:
    """Encrypted to somebody else: unchanged, with the reason in its fields."""
    wire, _ = exchange(a, b, mail.plain(a.user, b.user))
    identifier = mail.message_id(wire)
    stray = wire.replace(identifier.encode(), b"stray-" + identifier.encode())
    mail.send(b.wire.port, a.user, [f"other@{b.domain}"], stray)
    fetched = b.fetch(stray, f"other@{b.domain}")
    assert mail.body(fetched) == mail.body(stray)
    [reason] = mail.header(fetched, "X-Smimegw-Encrypted")
    assert reason.startswith("not-decrypted; reason=")
