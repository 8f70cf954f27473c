"""Marks messages that came encrypted, so that no answer to one leaves in clear (R-23)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator

from smimegw.errors import DatabaseError
from smimegw.limits import Limits
from smimegw.memory import SightingKind
from smimegw.mime.headers import HeaderSection, field
from smimegw.policy.answers import ThreadAnswer
from smimegw.ports import Ports
from smimegw.transaction import Transaction

_MESSAGE_ID = re.compile(rb"<([^<>\s]{1,998})>")  # RFC 5322, 3.6.4, without its comments
_ANSWERED = ("in-reply-to", "references")


def own_mark(tx: Transaction) -> tuple[bytes, ...]:
    """What is remembered of a message so that answers to it are known again."""
    return tuple(_digests([_identifier(tx.content.header) or _substitute(tx)]))


def with_identifier(header: HeaderSection, tx: Transaction) -> HeaderSection:
    """*header* with a Message-ID by which answers name *tx*, for mail that was decrypted.

    Without one the next server would give it one that we never learn of, of several a mail
    program takes any.  So who sends stolen ciphertext on (T-05) would have his answer in clear.
    """
    if _identifier(header):
        return header
    others = header.without(lambda entry: entry.lower_name == "message-id")
    return others.append((field("Message-ID", b"<" + _substitute(tx) + b">"),))


def _identifier(header: HeaderSection) -> bytes:
    """The one in the one Message-ID field; empty when there is none, several or nonsense."""
    fields = header.all("message-id")
    found = _MESSAGE_ID.fullmatch(fields[0].body) if len(fields) == 1 else None
    return found[1] if found and not fields[0].flaw else b""


def _substitute(tx: Transaction) -> bytes:
    return f"{tx.id}@opened.invalid".encode("ascii")  # of no host: nobody else writes it


def answered_marks(header: HeaderSection, limits: Limits) -> tuple[bytes, ...]:
    """The marks of the messages that this one answers, the nearest ones of a long thread."""
    named = [
        identifier
        for name in _ANSWERED
        # References has the oldest first (RFC 5322, 3.6.4).
        for identifier in reversed(_named(header, name, limits))
    ]
    nearest = list(dict.fromkeys(named))[: limits.thread_references]
    return tuple(_digests(nearest))


async def thread_answer(tx: Transaction, ports: Ports, limits: Limits) -> ThreadAnswer:
    """Whether *tx* answers a message that came encrypted; never raises for the database."""
    marks = answered_marks(tx.content.header, limits)
    if not marks:
        return ThreadAnswer.CLEAR
    try:
        async with asyncio.timeout(limits.lookup_seconds):
            seen = await ports.sightings.any_seen(SightingKind.THREAD, marks)
    except (DatabaseError, TimeoutError) as exc:
        text = str(exc) or "no answer in time"
        ports.events.emit("memory.error", txn=tx.id, text=text, code="R-22")
        return ThreadAnswer.UNKNOWN
    return ThreadAnswer.ENCRYPTED if seen else ThreadAnswer.CLEAR


def _named(header: HeaderSection, name: str, limits: Limits) -> list[bytes]:
    """Message identifiers, in order; of nonsense the last, as of a long thread."""
    found = [hit for entry in header.all(name) for hit in _MESSAGE_ID.findall(entry.body)]
    return found[-limits.thread_references :]


def _digests(identifiers: list[bytes]) -> Iterator[bytes]:
    return (hashlib.sha256(identifier).digest() for identifier in identifiers)
