"""Fakes of ledger and journal: in memory, breakable, and they remember what happened."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from smimegw.custody import KEPT_SECONDS, LEASE_SECONDS, Dot, NoJournal
from smimegw.errors import JournalError, LedgerBusyError, LedgerError


@dataclass
class MemoryLedger:
    """Ledger over dictionaries; *broken_from* counts calls: from that one on it is down."""

    lease_seconds: int = LEASE_SECONDS
    kept_seconds: int = KEPT_SECONDS
    entries: dict[str, dict[str, float]] = field(default_factory=dict)
    claims: dict[str, tuple[str, float]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    broken_from: int | None = None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.broken_from is not None and len(self.calls) >= self.broken_from:
            raise LedgerError("connection refused", server="memory")

    def _of(self, fingerprint: str) -> frozenset[str]:
        oldest = time.time() - self.kept_seconds
        found = self.entries.get(fingerprint, {})
        return frozenset(token for token, at in found.items() if at > oldest)

    async def accepted(self, fingerprint: str) -> frozenset[str]:
        self._call("accepted")
        return self._of(fingerprint)

    async def claim(self, fingerprint: str, holder: str, *, key: str = "") -> frozenset[str]:
        self._call("claim")
        held_by, until = self.claims.get(key or fingerprint, ("", 0.0))
        if held_by not in {"", holder} and until > time.time():
            raise LedgerBusyError("held by another")
        self.claims[key or fingerprint] = (holder, time.time() + self.lease_seconds)
        return self._of(fingerprint)

    async def accept(
        self, fingerprint: str, tokens: Collection[str], *, holder: str = "", key: str = ""
    ) -> None:
        self._call("accept")
        if holder and self.claims.get(key or fingerprint, ("", 0.0))[0] != holder:
            raise LedgerBusyError("taken over")
        found = self.entries.setdefault(fingerprint, {})
        for token in tokens:
            found.setdefault(token, time.time())

    async def release(
        self, fingerprint: str, holder: str, *, key: str = "", forget: bool = False
    ) -> None:
        self._call("release")
        if self.claims.get(key or fingerprint, ("", 0.0))[0] != holder:
            return
        del self.claims[key or fingerprint]
        if forget:
            self.entries.pop(fingerprint, None)

    async def release_all(self, holders: Collection[str]) -> None:
        self._call("release")
        self.claims = {key: held for key, held in self.claims.items() if held[0] not in holders}


@dataclass
class MemoryJournal(NoJournal):
    """Journal that remembers every line; *fail_at* names the call of `sending` that fails."""

    dots: list[Dot] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    calls: int = 0
    fail_at: int | None = None
    fatal: bool = False

    async def sending(self, dots: Sequence[Dot]) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise JournalError("input/output error", fatal=self.fatal)
        self.dots.extend(dots)

    def answered(self, dot: Dot, outcome: str, tokens: Iterable[str] = ()) -> None:
        self.answers.append((dot.id, outcome))
        super().answered(dot, outcome, tokens)

    def told(self, txn: str) -> None:
        self.closed.append(txn)
        super().told(txn)
