"""Mail as people's programs write, send and fetch it, and what they would see of it."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

from tests.interop.openssl import openssl
from tests.peers.dovecot import Dovecot

CLEAR = "the quarterly figures are 4711"
"""Stands in every text; must never be seen on the wire."""


def plain(sender: str, recipient: str, subject: str = "figures") -> bytes:
    """A text of ASCII, with lines that begin with a dot."""
    message = _message(sender, recipient, subject)
    message.set_content(f"Hello,\n\n{CLEAR}\n.\n..and\n\nYours\n", cte="7bit")
    return message.as_bytes()


def awkward(sender: str, recipient: str) -> bytes:
    """What mail servers like to change: spaces at the end of a line, From at its beginning."""
    message = _message(sender, recipient, "awkward")
    message.set_content(f"{CLEAR}\nspaces   \ntab\t\nFrom me\n\n\n", cte="7bit")
    return message.as_bytes()


def rich(sender: str, recipient: str) -> bytes:
    """Text, HTML and an attachment of every octet value."""
    message = _message(sender, recipient, "drawing")
    message.set_content(f"{CLEAR}\n")
    message.add_alternative(f"<p>{CLEAR} – <b>grüße</b></p>\n", subtype="html")
    message.add_attachment(bytes(range(256)) * 64, "application", "pdf", filename="Zeichnung ä.pdf")
    return message.as_bytes()


def chinese(sender: str, recipient: str) -> bytes:
    """Subject and body in Chinese, the body in 8-bit characters."""
    message = _message(sender, recipient, "报价单 2026")
    message.set_content(f"鲍勃，您好：\n\n{CLEAR}\n报价见下。\n", cte="8bit")
    return message.as_bytes()


def large(sender: str, recipient: str, octets: int) -> bytes:
    """A message of about *octets* with a random-looking attachment."""
    message = _message(sender, recipient, "large")
    message.set_content(f"{CLEAR}\n")
    block = bytes((number * 167 + number // 256) % 256 for number in range(65536))
    payload = block * (int(octets * 57 / 78) // len(block))
    message.add_attachment(payload, "application", "octet-stream", filename="large.bin")
    return message.as_bytes()


def _message(sender: str, recipient: str, subject: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    return message


# --- sending -------------------------------------------------------------------------------------


def send(
    port: int,
    sender: str,
    recipients: list[str],
    octets: bytes,
    *,
    login: tuple[str, str] | None = None,
    ca: Path | None = None,
) -> None:
    """Send as a mail program does, over STARTTLS with a login when these are given."""
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
        if ca is not None:
            client.starttls(context=ssl.create_default_context(cafile=ca))
        if login is not None:
            client.login(*login)
        options = () if octets.isascii() else ("BODY=8BITMIME",)
        client.sendmail(sender, recipients, octets, options)


def refusal(
    port: int,
    sender: str,
    recipients: list[str],
    octets: bytes,
    *,
    login: tuple[str, str] | None = None,
    ca: Path | None = None,
) -> tuple[int, str]:
    """Send, expect that it is refused after its end, and return code and text."""
    try:
        send(port, sender, recipients, octets, login=login, ca=ca)
    except smtplib.SMTPResponseException as refused:
        text = refused.smtp_error
        return refused.smtp_code, text.decode() if isinstance(text, bytes) else text
    raise AssertionError("it was accepted")


# --- fetching ------------------------------------------------------------------------------------


def numbers(server: Dovecot, user: str, octets: bytes, *, as_text: bool = False) -> list[int]:
    """Which of *user*'s messages are *octets*, by their Message-ID.

    Args:
        server: Where.
        user: Whose.
        octets: As they were sent.
        as_text: Look for messages that speak of it, as bounces do.
    """
    wanted = f'"{message_id(octets)}"'
    criteria = ["TEXT", wanted] if as_text else ["HEADER", "Message-ID", wanted]
    with imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=60) as client:
        client.login(user, server.password)
        client.select("INBOX", readonly=True)
        return [int(number) for number in client.search(None, *criteria)[1][0].split()]


def by_imap(server: Dovecot, user: str, number: int) -> bytes:
    """Message *number* of *user*."""
    with imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=120) as client:
        client.login(user, server.password)
        client.select("INBOX", readonly=True)
        [part, *_] = client.fetch(str(number), "(BODY.PEEK[])")[1]
        assert isinstance(part, tuple)
        return part[1]


def by_pop3(server: Dovecot, user: str, number: int) -> bytes:
    """Message *number* of *user*."""
    client = poplib.POP3("127.0.0.1", server.pop3_port, timeout=120)
    try:
        client.user(user)
        client.pass_(server.password)
        return b"\r\n".join(client.retr(number)[1]) + b"\r\n"
    finally:
        client.quit()


def header(octets: bytes, name: str) -> list[str]:
    """The values of field *name*, unfolded."""
    return [
        str(value) for value in message_from_bytes(octets, policy=policy.default).get_all(name, [])
    ]


def message_id(octets: bytes) -> str:
    """What tells this message from all others."""
    return header(octets[:4096], "Message-ID")[0].strip("<>")


def subject(octets: bytes) -> str:
    """The Subject as a person reads it."""
    return header(octets, "Subject")[0]


def body(octets: bytes) -> bytes:
    """Everything behind the header section; of a clear-signed message what was signed there."""
    message = message_from_bytes(octets, policy=policy.SMTP)
    whole = octets.partition(b"\r\n\r\n")[2]
    if message.get_content_type() != "multipart/signed":
        return whole
    mark = f"--{message.get_boundary()}".encode()
    return whole.split(mark)[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def parts(octets: bytes) -> list[tuple[str, str | None, bytes]]:
    """Media type, file name and decoded content of whatever a person reads or saves."""
    message = message_from_bytes(octets, policy=policy.default)
    return [
        (part.get_content_type(), part.get_filename(), part.get_payload(decode=True) or b"")
        for part in message.walk()
        if not part.is_multipart() and part.get_content_type() != "application/pkcs7-signature"
    ]


# --- the judge on the wire -----------------------------------------------------------------------


def opened_by_openssl(wire: bytes, recipient: Path, anchor: Path) -> bytes:
    """Decrypt and verify with openssl; return the content that was signed.

    Args:
        wire: As it passed.
        recipient: PEM file with certificate and key.
        anchor: PEM file of the authority of the signer.
    """
    clear = openssl("cms", "-decrypt", "-recip", recipient, stdin=wire)
    return openssl("cms", "-verify", "-CAfile", anchor, stdin=clear)
