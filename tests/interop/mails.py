"""Mails as programs write them, made by the standard library, to be protected as a whole."""

from __future__ import annotations

import random
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from smimegw.mime.entity import Entity

CHINESE = "主题:合同和付款\n\n您好,\n\n请查收附件中的合同。谢谢!\n此致 敬礼\n"
_PNG = bytes.fromhex("89504e470d0a1a0a") + random.Random(7).randbytes(5000)


def _mail(subject: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address("Alice Abel", "alice", "ours.example")
    mail["To"] = Address("Bob Baker", "bob", "partner.example")
    mail["Subject"] = subject
    mail["Date"] = "Mon, 23 Nov 2026 12:00:00 +0000"
    mail["Message-ID"] = "<1@ours.example>"
    return mail


def _text() -> EmailMessage:
    mail = _mail("plain")
    mail.set_content("Hello Bob,\nFrom now on we sign.\n-- \nAlice\n")
    return mail


def _eight_bit() -> EmailMessage:
    mail = _mail("8bit")
    mail.set_content("Grüße aus Köln \nund zurück\t\n", cte="8bit")
    return mail


def _html_with_attachment() -> EmailMessage:
    mail = _mail("Angebot für März")
    mail.set_content("See the attachment.\n")
    mail.add_alternative(
        "<p>See <b>the</b> attachment – <img src='cid:logo'></p>\n", subtype="html"
    )
    mail.get_payload()[1].add_related(_PNG, "image", "png", cid="<logo>")  # type: ignore[union-attr]
    mail.add_attachment(b"%PDF-1.7\n" + _PNG, "application", "pdf", filename="Vertrag März.pdf")
    return mail


def _chinese() -> EmailMessage:
    mail = _mail("合同")
    mail.set_content(CHINESE)
    mail.add_attachment("附件\n", filename="合同.txt")
    return mail


def _forwarded() -> EmailMessage:
    mail = _mail("Fwd: 合同")
    mail.set_content("fyi\n")
    mail.add_attachment(_chinese())
    return mail


def _empty() -> EmailMessage:
    mail = _mail("nothing")
    mail.set_content("")
    return mail


MAILS: dict[str, bytes] = {
    name: make().as_bytes()
    for name, make in {
        "text": _text,
        "8bit": _eight_bit,
        "html and attachment": _html_with_attachment,
        "chinese": _chinese,
        "forwarded": _forwarded,
        "empty": _empty,
    }.items()
}
"""Whole messages, CRLF line ends."""


def mail(name: str) -> Entity:
    """One of them, parsed by us."""
    return Entity.parse(MAILS[name])
