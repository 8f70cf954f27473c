"""Writes delivery status notifications (RFC 3464) and notices about mail that was refused late.

A report holds the header section of the message at most, never its body, so that nothing that was
protected comes back in clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from smimegw.addresses import Mailbox
from smimegw.mime import base64
from smimegw.mime.headers import HeaderSection
from smimegw.smtp.reply import Reply
from smimegw.smtp.trace import date_time

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_TEXT_OCTETS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRecipient:
    """One recipient who will not get the message.

    Attributes:
        mailbox: As in RCPT.
        orcpt: The ORCPT parameter as it came; empty without one.
        reply: The next hop's own.
        remote: The next hop's host name; empty when the reply is not its but ours.
    """

    mailbox: Mailbox
    orcpt: str
    reply: Reply
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedMessage:
    """The message that a report is about, and who reports.

    Attributes:
        transaction_id: Ours.
        hostname: Ours.
        postmaster: From whom the report is.
        reverse_path: Of the message; None is the null path.
        envid: The ENVID parameter as it came; empty without one.
        header: What may be shown of the message.
        arrived_at: When its data ended.
        now: When the report is written.
        accepted: How many others have the message.
        failed: Who has not.
        boundary: Occurs nowhere else.
    """

    transaction_id: str
    hostname: str
    postmaster: Mailbox
    reverse_path: Mailbox | None
    envid: str
    header: HeaderSection
    arrived_at: datetime
    now: datetime
    accepted: int
    failed: tuple[FailedRecipient, ...]
    boundary: str


def wants_report(notify: str | None) -> bool:
    """Whether a NOTIFY parameter asks to hear of failures, as its absence does (RFC 3461, 4.1)."""
    return notify is None or "FAILURE" in notify.upper().split(",")


def report_to_sender(message: FailedMessage) -> tuple[bytes, ...]:
    """A multipart/report for the reverse-path: text, delivery-status, header section."""
    assert message.reverse_path is not None
    words = "could not be delivered to the recipients below.  All others have it."
    if not message.accepted:
        words = "could not be delivered to the recipients below."
    text = [
        f"This is the mail gateway {message.hostname}.",
        "",
        f"Your message {words}",
        "It will not be tried again.",
        "",
        *_reasons(message),
    ]
    head = _head(message, [message.reverse_path], "Undelivered mail")
    return (*head, *_report(message, text))


def notice_to_postmaster(message: FailedMessage) -> tuple[bytes, ...]:
    """The same about our own mail with the null path, which nobody else may hear of."""
    text = [
        f"This is the mail gateway {message.hostname}.",
        "",
        "A message of ours without a return path, such as a report, could not be delivered to the",
        "recipients below.  It will not be tried again.",
        "",
        *_reasons(message),
    ]
    head = _head(message, [message.postmaster], "Undelivered mail without a return path")
    return (*head, *_report(message, text))


def notice_inside(message: FailedMessage, readers: Sequence[Mailbox]) -> tuple[bytes, ...]:
    """The same for our own people, about mail from outside; its sender hears nothing (T-26)."""
    sender = f"<{message.reverse_path.address}>" if message.reverse_path else "<>"
    text = [
        f"This is the mail gateway {message.hostname}.",
        "",
        f"A message from outside, sent as {sender}, was refused by our own mail server for the",
        "recipients below, after others had been given it.  Its sender, who may be forged, was",
        "told nothing: please ask for it again if it is missing.",
        "",
        *_reasons(message),
    ]
    head = _head(message, readers, "Mail from outside that was not delivered")
    return (*head, *_report(message, text))


def _reasons(message: FailedMessage) -> list[str]:
    lines = [f"<{entry.mailbox.address}>: {_diagnostic(entry.reply)}" for entry in message.failed]
    return [*lines, "", f"Transaction {message.transaction_id}"]


def _head(message: FailedMessage, readers: Sequence[Mailbox], subject: str) -> list[bytes]:
    to = ",\r\n ".join(f"<{mailbox.address}>" for mailbox in readers)
    lines = [
        f"Date: {date_time(message.now)}",
        f"From: Mail gateway <{message.postmaster.address}>",
        f"To: {to}",
        f"Subject: {subject}",
        f"Message-ID: <{message.transaction_id}.report@{message.hostname}>",
        "Auto-Submitted: auto-replied",  # RFC 3834, 5
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f' boundary="{message.boundary}"',
        "",
    ]
    return [f"{line}\r\n".encode() for line in lines]


def _report(message: FailedMessage, text: Iterable[str]) -> list[bytes]:
    eight_bit = any(entry.mailbox.needs_smtputf8 for entry in message.failed)  # RFC 6533, 4
    status = "message/global-delivery-status" if eight_bit else "message/delivery-status"
    parts = [
        ("text/plain; charset=utf-8", "\r\n".join(text).encode() + b"\r\n"),
        (status, _status(message).encode()),
        ("text/rfc822-headers; charset=utf-8", message.header.raw),
    ]
    mark = f"--{message.boundary}"
    pieces = []
    for kind, octets in parts:
        encoded = not octets.isascii() and not kind.startswith("message/")
        lines = [mark, f"Content-Type: {kind}"]
        if encoded:
            lines.append("Content-Transfer-Encoding: base64")
        elif not octets.isascii():
            lines.append("Content-Transfer-Encoding: 8bit")
        pieces.append(("\r\n".join(lines) + "\r\n\r\n").encode())
        pieces.append(b"".join(base64.encode_lines([octets])) if encoded else octets)
        pieces.append(b"\r\n")
    return [*pieces, f"{mark}--\r\n".encode()]


def _status(message: FailedMessage) -> str:
    """The machine's part (RFC 3464, 2): one group for the message, one for each recipient."""
    about = [f"Reporting-MTA: dns; {message.hostname}"]
    if message.envid:
        about.append(f"Original-Envelope-Id: {_plain(message.envid)}")
    about.append(f"Arrival-Date: {date_time(message.arrived_at)}")
    groups = [about, *(_recipient(entry, message.now) for entry in message.failed)]
    return "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups)


def _recipient(entry: FailedRecipient, now: datetime) -> list[str]:
    lines = []
    kind, semicolon, original = entry.orcpt.partition(";")
    if semicolon:
        lines.append(f"Original-Recipient: {_plain(kind)}; {_plain(_seven_bit(original))}")
    address_type = "utf-8" if entry.mailbox.needs_smtputf8 else "rfc822"  # RFC 6533, 3
    status = entry.reply.enhanced or f"{entry.reply.code // 100}.0.0"
    lines += [
        f"Final-Recipient: {address_type}; {entry.mailbox.address}",
        "Action: failed",
        f"Status: {status}",
    ]
    if entry.remote:  # RFC 3464, 2.3.5: not there when no other server was asked
        lines.append(f"Remote-MTA: dns; {_one_line(entry.remote)}")
    return [
        *lines,
        f"Diagnostic-Code: smtp; {_diagnostic(entry.reply)}",
        f"Last-Attempt-Date: {date_time(now)}",
    ]


def _seven_bit(address: str) -> str:
    """An internationalized address in the form that needs no 8 bits (RFC 6533, 3)."""
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _diagnostic(reply: Reply) -> str:
    """The next hop's words as one bounded line; they are in our own people's interest."""
    return _one_line(str(reply))


def _plain(text: str) -> str:
    """A parameter's value with its xtext undone (RFC 3461, 4)."""
    return _one_line(_XTEXT.sub(lambda match: chr(int(match[1], 16)), text))


def _one_line(text: str) -> str:
    return "".join(c if " " <= c <= "~" else " " for c in text)[:_TEXT_OCTETS].strip()
