"""Delivery status notifications: what RFC 3464 wants, and nothing that was secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message

import pytest

from smimegw.addresses import Mailbox
from smimegw.mime.entity import Entity
from smimegw.smtp.dsn import (
    FailedMessage,
    FailedRecipient,
    notice_inside,
    notice_to_postmaster,
    report_to_sender,
    wants_report,
)
from smimegw.smtp.reply import Reply

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HEADER = Entity.parse(b"From: alice@ours.example\r\nMessage-ID: <1@test>\r\n\r\n").header


def failed(address: str = "bob@partner.example", orcpt: str = "") -> FailedRecipient:
    return FailedRecipient(
        mailbox=Mailbox.parse(address),
        orcpt=orcpt,
        reply=Reply(550, "5.7.1", "not here"),
        remote="mail.ours.example",
    )


MESSAGE = FailedMessage(
    transaction_id="0123456789BCDF",
    hostname="gw.ours.example",
    postmaster=Mailbox.parse("postmaster@ours.example"),
    reverse_path=Mailbox.parse("alice@ours.example"),
    envid="",
    header=HEADER,
    arrived_at=NOON,
    now=NOON,
    accepted=1,
    failed=(failed(),),
    boundary="=_mark",
)


def parsed(message: FailedMessage) -> Message:
    octets = b"".join(report_to_sender(message))
    assert b"\n" not in octets.replace(b"\r\n", b"")
    return message_from_bytes(octets)


def test_the_report_is_a_multipart_of_three() -> None:
    """Text for people, delivery-status for programs, the header section (RFC 6522, 3)."""
    report = parsed(MESSAGE)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    parts = report.get_payload()
    kinds = [part.get_content_type() for part in parts]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert parts[2].get_payload() == HEADER.raw.decode()


def test_a_program_can_read_what_happened_to_whom() -> None:
    """One group for the message, one per recipient (RFC 3464, 2.1)."""
    about, one, other = (
        parsed(replace(MESSAGE, failed=(failed(), failed("eva@partner.example"))))
        .get_payload()[1]
        .get_payload()
    )
    assert about["Reporting-MTA"] == "dns; gw.ours.example"
    assert about["Arrival-Date"] == "Mon, 23 Nov 2026 12:00:00 +0000"
    assert one["Final-Recipient"] == "rfc822; bob@partner.example"
    assert other["Final-Recipient"] == "rfc822; eva@partner.example"
    assert (one["Action"], one["Status"]) == ("failed", "5.7.1")
    assert one["Remote-MTA"] == "dns; mail.ours.example"
    assert one["Diagnostic-Code"] == "smtp; 550 5.7.1 not here"


def test_no_remote_server_is_named_when_none_was_asked() -> None:
    """The refusal was ours, and the field is for somebody else's name (RFC 3464, 2.3.5)."""
    ours = replace(failed(), remote="", reply=Reply(550, "5.7.5", "no certificate"))
    status = parsed(replace(MESSAGE, failed=(ours,))).get_payload()[1]
    group = status.get_payload()[1]
    assert group["Remote-MTA"] is None
    assert group["Diagnostic-Code"] == "smtp; 550 5.7.5 no certificate"


def test_an_international_original_recipient_is_written_in_seven_bits() -> None:
    """Its letters are kept, in the form for 7 bits (RFC 6533, 3)."""
    entry = failed(orcpt="utf-8;jos\u00e9@partner.example")
    status = parsed(replace(MESSAGE, failed=(entry,))).get_payload()[1]
    group = status.get_payload()[1]
    assert group["Original-Recipient"] == r"utf-8; jos\x{E9}@partner.example"


def test_the_notice_about_mail_without_a_return_path_says_so() -> None:
    """It was not from outside, and no server of ours need have refused it (P06)."""
    octets = b"".join(notice_to_postmaster(replace(MESSAGE, reverse_path=None)))
    report = message_from_bytes(octets)
    assert report["To"] == "<postmaster@ours.example>"
    text = report.get_payload()[0].get_payload()
    assert "without a return path" in text
    assert "from outside" not in text


def test_it_is_known_as_written_by_a_program() -> None:
    """So that no out-of-office answer comes back (RFC 3834, 5)."""
    report = parsed(MESSAGE)
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["From"] == "Mail gateway <postmaster@ours.example>"
    assert report["To"] == "<alice@ours.example>"


def test_envelope_id_and_original_recipient_are_decoded() -> None:
    """P08: they came as xtext and stand in the report as themselves (RFC 3464, 2.2.1)."""
    message = replace(
        MESSAGE, envid="QQ+3D3", failed=(failed(orcpt="rfc822;list+2Bx@partner.example"),)
    )
    about, one = parsed(message).get_payload()[1].get_payload()
    assert about["Original-Envelope-Id"] == "QQ=3"
    assert one["Original-Recipient"] == "rfc822; list+x@partner.example"


@pytest.mark.parametrize("hidden", ["+0D+0ABcc: eve@evil.example", "\r\nX-Evil: 1", "\x1b[2J"])
def test_no_parameter_breaks_out_of_its_line(hidden: str) -> None:
    """Line ends in xtext or in a reply stay spaces (T-12, D17)."""
    recipient = replace(
        failed(orcpt=f"rfc822;a{hidden}"), reply=Reply(550, "5.7.1", f"no{hidden}"), remote=hidden
    )
    octets = b"".join(report_to_sender(replace(MESSAGE, envid=hidden, failed=(recipient,))))
    assert b"\r\nBcc:" not in octets
    assert b"\r\nX-Evil:" not in octets
    assert b"\x1b" not in octets


def test_an_international_address_gets_the_report_for_it() -> None:
    """RFC 6533, 3 and 4: address type utf-8, message/global-delivery-status."""
    octets = b"".join(report_to_sender(replace(MESSAGE, failed=(failed("jürgen@ours.example"),))))
    assert b"Content-Type: message/global-delivery-status" in octets
    assert "Final-Recipient: utf-8; jürgen@ours.example\r\n".encode() in octets


def test_header_fields_in_eight_bits_travel_encoded() -> None:
    """The next hop may take seven only."""
    header = Entity.parse("From: Jürgen <a@ours.example>\r\n\r\n".encode()).header
    report = parsed(replace(MESSAGE, header=header))
    part = report.get_payload()[2]
    assert part["Content-Transfer-Encoding"] == "base64"
    assert part.get_payload(decode=True) == header.raw


def test_the_notice_inside_names_the_sender_and_writes_to_ours() -> None:
    """T-26: he may be forged, so he is told nothing."""
    readers = [Mailbox.parse("bob@ours.example"), MESSAGE.postmaster]
    message = replace(MESSAGE, reverse_path=Mailbox.parse("mallory@evil.example"))
    notice = message_from_bytes(b"".join(notice_inside(message, readers)))
    assert notice["To"].split() == ["<bob@ours.example>,", "<postmaster@ours.example>"]
    text = notice.get_payload()[0].get_payload()
    assert "sent as <mallory@evil.example>" in text


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [(None, True), ("FAILURE", True), ("delay,failure", True), ("NEVER", False), ("DELAY", False)],
)
def test_notify_says_whether_a_report_is_wanted(notify: str | None, wanted: bool) -> None:
    """RFC 3461, 4.1."""
    assert wants_report(notify) is wanted
