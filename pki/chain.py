"""Chains the ledger's entries: each digest covers its entry and the digest before it.

So a changed, removed or inserted entry shows; `pki.ledger` keeps the entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

START = hashlib.sha256(b"smimegw-ca ledger 1").digest()
Detail = str | int | bool
Details = Mapping[str, Detail]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the book.

    Attributes:
        serial: The certificate it is about, hexadecimal; empty when about none.
        der: A certificate or CRL, else empty.
    """

    number: int
    at: str
    kind: str
    serial: str
    details: Details
    der: bytes
    previous: bytes
    digest: bytes

    @property
    def row(self) -> tuple[Any, ...]:
        """The members in their order, the details as text."""
        return (
            self.number,
            self.at,
            self.kind,
            self.serial,
            _text(self.details),
            self.der,
            self.previous,
            self.digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry that is not written yet; the book adds number, time and chain."""

    kind: str
    serial: str = ""
    details: Details = field(default_factory=dict)
    der: bytes = b""


def chained(draft: Draft, number: int, previous: bytes, at: datetime) -> Entry:
    """Return *draft* as entry *number*, behind the one whose digest is *previous*."""
    when = at.isoformat(timespec="seconds")
    text = _text(draft.details)
    return Entry(
        number=number,
        at=when,
        kind=draft.kind,
        serial=draft.serial,
        details=draft.details,
        der=draft.der,
        previous=previous,
        digest=_digest(previous, number, when, draft.kind, draft.serial, text, draft.der),
    )


def linked(row: tuple[Any, ...], after: int, head: bytes) -> Entry | None:
    """Return the entry that *row* is, or None when it does not follow.

    Args:
        row: What `Entry.row` gave.
        after: The number of the entry before.
        head: Its digest.
    """
    number, at, kind, serial, text, der, claimed, digest = row
    held = (
        number == after + 1
        and claimed == head
        and digest == _digest(head, number, at, kind, serial, text, der)
    )
    if not held:
        return None
    return Entry(
        number=number,
        at=at,
        kind=kind,
        serial=serial,
        details=json.loads(text),
        der=der,
        previous=claimed,
        digest=digest,
    )


def _text(details: Details) -> str:
    return json.dumps(dict(details), sort_keys=True, ensure_ascii=False)


def _digest(
    previous: bytes, number: int, at: str, kind: str, serial: str, details: str, der: bytes
) -> bytes:
    state = hashlib.sha256(previous)
    for part in (
        str(number).encode(),
        at.encode(),
        kind.encode(),
        serial.encode(),
        details.encode(),
        der,
    ):
        state.update(len(part).to_bytes(8, "big"))  # so that no two splits look the same
        state.update(part)
    return state.digest()
