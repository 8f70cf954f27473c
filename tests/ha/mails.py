"""Mixed mail, the same for the same seed: sizes, one to five recipients, both directions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from smimegw.mime.entity import Entity
from tests.fakes.smime import ALICE, BOB, clear_signed, encrypted

US, THEM = "alice@ours.example", "bob@partner.example"
PROTECTED = ("bob@partner.example", "carol@partner.example", "dave@partner.example")
"""Who has a certificate, and gets nothing in clear."""
OTHERS = ("erin@signed.example", "frank@signed.example", "grace@else.example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message.

    Attributes:
        id: Its Message-ID, without the angle brackets.
        sender: The reverse-path.
        recipients: Of the envelope.
        content: What is sent, each time the same.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def outbound(self) -> bool:
        """From our own people."""
        return self.sender == US


def mixed(seed: int, canary: str) -> Iterator[Mail]:
    """Messages without end; each says *canary*."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        size = chance.choice((200, 2_000, 2_000, 20_000, 20_000, 150_000))
        if chance.random() < 0.3:
            yield _from_outside(f"{seed}.{number}@{THEM}", canary, size, chance)
        else:
            people = chance.sample(PROTECTED + OTHERS, chance.randint(1, 5))
            yield outbound(f"{seed}.{number}@{US}", people, canary, size=size)


def outbound(name: str, people: list[str], canary: str, *, size: int = 200) -> Mail:
    """A message of Alice's with about *size* octets."""
    text = _head(name, US, people) + b"\r\n" + _text(canary, size)
    return Mail(id=name, sender=US, recipients=tuple(people), content=text)


def _from_outside(name: str, canary: str, size: int, chance: random.Random) -> Mail:
    entity = Entity.parse(b"Content-Type: text/plain\r\n\r\n" + _text(canary, size))
    match chance.choice(("encrypted", "signed", "both", "plain")):
        case "encrypted":
            entity = encrypted(entity, to=[ALICE])
        case "signed":
            entity = clear_signed(entity, by=BOB)
        case "both":
            entity = encrypted(clear_signed(entity, by=BOB), to=[ALICE])
    head = _head(name, THEM, [US])
    return Mail(id=name, sender=THEM, recipients=(US,), content=head + entity.raw)


def _head(name: str, sender: str, people: list[str]) -> bytes:
    return (
        f"From: {sender}\r\nTo: {', '.join(people)}\r\nMessage-ID: <{name}>\r\n"
        "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: figures\r\nMIME-Version: 1.0\r\n"
    ).encode()


def _text(canary: str, size: int) -> bytes:
    line = f"{canary}\r\n".encode()
    return line * max(1, size // len(line))
