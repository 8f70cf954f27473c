"""The chain of decision records: each line holds the SHA-256 of the line before it.

Whoever changes, removes or inserts a line breaks the chain at that place.  Whoever removes the
newest lines does not: keep the last link elsewhere to see that, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

BEGINNING = "0" * 64  # what the first line of a chain says came before it
_FIRST = f'{{"prev": "{BEGINNING}", '.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """How a file of records ends.

    Attributes:
        tip: SHA-256 of the last whole line; empty when there is none.
        torn: SHA-256 of what stands behind it, half of a line after a crash; empty for nothing.
        open_line: The file does not end with a line end.
    """

    tip: str = ""
    torn: str = ""
    open_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """What the lines of one file say about their chain.

    Attributes:
        records: Whole records, chained or not.
        unchained: Those at the beginning that were written before there was a chain.
        torn: Places where a crash left half a line.
        begins: What the first chained record says came before it; empty without one.
        tip: SHA-256 of the last whole line; empty without one.
        broken_line: Number of the first line that does not fit; 0 when all do.
        reason: Why it does not.
    """

    records: int = 0
    unchained: int = 0
    torn: int = 0
    begins: str = ""
    tip: str = ""
    broken_line: int = 0
    reason: str = ""


def link_of(line: bytes) -> str:
    """What the next line says of *line* (without its line end)."""
    return hashlib.sha256(line).hexdigest()


def chained(tip: str, bodies: Sequence[bytes], torn: str = "") -> tuple[bytes, str]:
    """The lines of *bodies* (JSON objects) behind *tip*, and the new tip."""
    lines = []
    for body in bodies:
        head = f'{{"prev": "{tip or BEGINNING}", '
        if torn:
            head, torn = f'{head}"torn": "{torn}", ', ""
        line = head.encode("ascii") + body[1:]
        lines.append(line + b"\n")
        tip = link_of(line)
    return b"".join(lines), tip


def tail_of(octets: bytes) -> Tail:
    """How *octets*, the end of a file, end."""
    end = len(octets)
    last = octets[octets.rfind(b"\n") + 1 :]
    if last and parsed(last) is not None:  # nothing but its line end did not get to the disk
        return Tail(tip=link_of(last), open_line=True)
    while end > 0:
        begin = octets.rfind(b"\n", 0, end - 1) + 1 if end > 1 else 0
        line = octets[begin:end]
        if line.endswith(b"\n") and parsed(line) is not None:
            rest = octets[end:]
            return Tail(
                tip=link_of(line[:-1]),
                torn=link_of(rest.removesuffix(b"\n")) if rest else "",
                open_line=bool(rest) and not rest.endswith(b"\n"),
            )
        end = begin
    if not octets:
        return Tail()
    return Tail(torn=link_of(octets.removesuffix(b"\n")), open_line=not octets.endswith(b"\n"))


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record in *line*; None when it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def verify(lines: Iterable[bytes]) -> ChainReport:
    """Follow the chain through *lines* of one file up to its first broken link."""
    walk = _Walk()
    for number, line in enumerate(lines, 1):
        reason = walk.step(line)
        if reason:
            return walk.report(broken_line=number, reason=reason)
    if not walk.records and not _is_half_a_record(walk.rubbish):
        return walk.report(broken_line=1, reason="no line of it is a decision record")
    # What a crash left at the end is told by the next record; there is none yet.
    walk.torn += bool(walk.rubbish)
    return walk.report()


def _is_half_a_record(rubbish: Sequence[bytes]) -> bool:
    """Whether a crash at the first record can have left no more than *rubbish*."""
    left = b"".join(rubbish).rstrip(b"\0")  # blocks that did not get to the disk
    return len(rubbish) < 2 and left.startswith(_FIRST[: len(left)])


class _Walk:
    """The state between two lines."""

    def __init__(self) -> None:
        self.records = self.unchained = self.torn = 0
        self.begins = self.tip = ""
        self.rubbish: list[bytes] = []

    def step(self, line: bytes) -> str:
        """Take one line; returns why it does not fit."""
        whole = line.endswith(b"\n")
        bare = line.removesuffix(b"\n")
        record = parsed(bare) if whole else None
        if record is None:
            self.rubbish.append(bare)
            return ""
        found = record.get("prev")
        if found is None:
            return self._unchained(bare)
        told = record.get("torn", "")
        rubbish = link_of(b"\n".join(self.rubbish)) if self.rubbish else ""
        if told != rubbish:
            return (
                "half a line that the crash before this record did not leave"
                if rubbish
                else "half a line that stood before this record is gone"
            )
        if self.tip and found != self.tip:
            return "it does not follow the line before it: one of them was changed or removed"
        self.begins = self.begins or str(found)
        self.torn += bool(told)
        self._take(bare)
        return ""

    def _unchained(self, bare: bytes) -> str:
        if self.begins or self.rubbish:
            return "a record without a link behind records that have one"
        self.unchained += 1
        self._take(bare)
        return ""

    def _take(self, bare: bytes) -> None:
        self.records += 1
        self.rubbish = []
        self.tip = link_of(bare)

    def report(self, broken_line: int = 0, reason: str = "") -> ChainReport:
        """All of it."""
        return ChainReport(
            records=self.records,
            unchained=self.unchained,
            torn=self.torn,
            begins=self.begins,
            tip=self.tip,
            broken_line=broken_line,
            reason=reason,
        )
