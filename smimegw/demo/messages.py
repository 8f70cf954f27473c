"""What the people of the demonstration write: the mail that gateways get wrong most easily."""

from __future__ import annotations

from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import make_msgid

ALICE = "alice@ours.example"
BOB = "bob@partner.example"

# The smallest well-formed PDF would be longer than this page; the octets only have to arrive.
_ATTACHMENT = bytes(range(256)) * 40


@dataclass(frozen=True, slots=True)
class Letter:
    """One message and what is special about it."""

    title: str
    sender: str
    recipient: str
    message: EmailMessage

    @property
    def octets(self) -> bytes:
        """As a mail program sends it."""
        return self.message.as_bytes(policy=policy.SMTP)


def letters() -> tuple[Letter, ...]:
    """Plain text, HTML with attachment, Chinese, and an answer the other way."""
    plain = _message(ALICE, BOB, "The offer")
    plain.set_content("Dear Bob,\n\n10,000 pieces at 3.50 each, until Friday.\n\nAlice\n")

    rich = _message(ALICE, BOB, "The drawing")
    rich.set_content("Dear Bob, the drawing is attached. Alice\n")
    rich.add_alternative("<p>Dear Bob, the <b>drawing</b> is attached. Alice</p>\n", subtype="html")
    rich.add_attachment(_ATTACHMENT, "application", "pdf", filename="drawing-1.pdf")

    chinese = _message(ALICE, BOB, "报价单 2026-11")
    chinese.set_content("鲍勃,您好:\n\n报价见下:每件 3.50,有效期至星期五。\n\n爱丽丝\n", cte="8bit")

    answer = _message(BOB, ALICE, "Re: The offer")
    answer.set_content("Dear Alice,\n\nagreed. Please send 10,000.\n\nBob\n")

    return (
        Letter("plain text", ALICE, BOB, plain),
        Letter("HTML with an attachment", ALICE, BOB, rich),
        Letter("Chinese subject and body, 8-bit", ALICE, BOB, chinese),
        Letter("an answer, the other way", BOB, ALICE, answer),
    )


def _message(sender: str, recipient: str, subject: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = "Mon, 23 Nov 2026 09:00:00 +0000"
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    return message
