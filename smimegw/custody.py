"""Who answers for a message at every moment: fingerprints, final dots, and where both are kept.

A fingerprint names one message of one sender, so that a retry is known as one on every node.  A
`Dot` is one final dot, written down before it is sent, so that a crash cannot hide what it did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from smimegw.limits import DEFAULT_LIMITS
from smimegw.transaction import Transaction

KEPT_SECONDS = 7 * 24 * 3600  # RFC 5321, 4.5.4.1: clients try for four to five days
LEASE_SECONDS = DEFAULT_LIMITS.claim_seconds  # longer than any reply may take

_LINE_OCTETS = 998  # RFC 5322, 2.1.1


def fingerprint_of(tx: Transaction) -> str:
    """Name *tx* by its sender identity, reverse-path, Message-ID and every octet of its content.

    A client that comes again after 4yz sends the same octets.  Whoever writes the same text again
    makes another Message-ID or Date, and mail servers add another Received.
    """
    content, path = tx.content, tx.envelope.reverse_path.mailbox
    octets = hashlib.sha256()
    for piece in content.pieces():
        octets.update(piece)
    identity = f"user {tx.session.user}" if tx.session.user else f"role {tx.session.role.value}"
    named = [identity, path.key if path else "", message_id_of(tx), octets.hexdigest()]
    return hashlib.sha256("\0".join(named).encode("utf-8", "surrogateescape")).hexdigest()


def message_id_of(tx: Transaction) -> str:
    """The Message-ID field's text; empty when there is none.

    Cut where no line may be longer: it goes into log, journal and records several times over.
    """
    found = tx.content.header.all("message-id")
    text = found[0].body.decode("ascii", "replace").strip() if found else ""
    return text[:_LINE_OCTETS]


def token_of(fingerprint: str, recipient_key: str) -> str:
    """The recipient as the ledger knows it: nobody reads from it who wrote to whom."""
    return hashlib.sha256(f"{fingerprint}\0{recipient_key}".encode()).hexdigest()


def claim_of(fingerprint: str, tokens: Iterable[str]) -> str:
    """What one transaction claims: this message for these recipients.

    A mail server sends one message with many recipients in several transactions at the same time;
    they must not wait for one another.
    """
    return hashlib.sha256("\0".join([fingerprint, *sorted(tokens)]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One final dot that is about to be sent, or was.

    Attributes:
        id: Unique; begins with the transaction id.
        txn: The transaction id.
        message_id: For the log.
        relay: The next hop.
        recipients: Addresses in RCPT order.
        fingerprint: Of the message; empty for reports that we wrote ourselves.
        tokens: The ledger's name of each recipient.
        claim: What the transaction has claimed in the ledger.
        at: When, ISO 8601.
    """

    id: str
    txn: str
    message_id: str
    relay: str
    recipients: tuple[str, ...]
    fingerprint: str = ""
    tokens: tuple[str, ...] = ()
    claim: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What the journal of a process that ended says about it.

    Attributes:
        in_doubt: Dots without an answer: nobody knows whether the next hop has these copies.
        untold: Dots that were accepted, and the tokens of the accepted; the client may not know.
        torn: Lines that could not be read; the last one is torn when the machine lost power.
    """

    in_doubt: tuple[Dot, ...] = ()
    untold: tuple[tuple[Dot, tuple[str, ...]], ...] = ()
    torn: int = 0


def accepted_of(
    fingerprint: str, accepted: Iterable[Sequence[tuple[Dot, tuple[str, ...]]]]
) -> frozenset[str]:
    """The tokens of one message among *accepted* dots."""
    return frozenset(
        token
        for dots in accepted
        for dot, tokens in dots
        if dot.fingerprint == fingerprint
        for token in tokens
    )


class Ledger(Protocol):
    """Which recipients already have which message; shared by all nodes, kept for seven days."""

    async def accepted(self, fingerprint: str) -> frozenset[str]:
        """Tokens of the recipients whom the next hop has accepted before.

        Raises:
            LedgerError: The ledger could not answer; never "nobody".
        """
        ...

    async def claim(self, fingerprint: str, holder: str, *, key: str = "") -> frozenset[str]:
        """Let nobody else deliver this message for `LEASE_SECONDS`; returns what `accepted` does.

        *key* names what is claimed, where it is less than the message: see `claim_of`.

        Raises:
            LedgerBusyError: Another holder delivers it now.
            LedgerError: The ledger could not be written.
        """
        ...

    async def accept(
        self, fingerprint: str, tokens: Collection[str], *, holder: str = "", key: str = ""
    ) -> None:
        """Write durably that the recipients of *tokens* have their copy.

        Raises:
            LedgerBusyError: *holder* was given and has lost its claim; nothing was written.
            LedgerError: The ledger could not be written.
        """
        ...

    async def release(
        self, fingerprint: str, holder: str, *, key: str = "", forget: bool = False
    ) -> None:
        """Give the claim back; with *forget* the message may be sent anew in full.

        Raises:
            LedgerError: The ledger could not be written; the claim ends by itself.
        """
        ...

    async def release_all(self, holders: Collection[str]) -> None:
        """Give back every claim of *holders*, who ended.

        Raises:
            LedgerError: The ledger could not be written; the claims end by themselves.
        """
        ...


class Journal(Protocol):
    """One line on the local disk before every final dot, and what became of it."""

    async def sending(self, dots: Sequence[Dot]) -> None:
        """Write durably that *dots* are about to be sent.

        Raises:
            JournalError: They must not be sent.
        """
        ...

    def answered(self, dot: Dot, outcome: str, tokens: Iterable[str] = ()) -> None:
        """Note what the next hop said; *tokens* are those of the accepted recipients."""
        ...

    def told(self, txn: str) -> None:
        """The client has its reply: nothing of this transaction is open any more."""
        ...

    def untold(self, txn: str) -> tuple[tuple[Dot, tuple[str, ...]], ...]:
        """Accepted dots of a transaction whose client was not told; they stay open until `told`."""
        ...

    def accepted(self, fingerprint: str) -> frozenset[str]:
        """Tokens of the accepted of one message, whose client may still not know."""
        ...


@dataclass
class NoLedger:
    """Implements `Ledger` where nothing is delivered: it remembers nothing."""

    async def accepted(self, fingerprint: str) -> frozenset[str]:  # noqa: ARG002
        """Nobody."""
        return frozenset()

    async def claim(self, fingerprint: str, holder: str, *, key: str = "") -> frozenset[str]:  # noqa: ARG002
        """Nobody."""
        return frozenset()

    async def accept(
        self, fingerprint: str, tokens: Collection[str], *, holder: str = "", key: str = ""
    ) -> None:
        """Nothing."""

    async def release(
        self, fingerprint: str, holder: str, *, key: str = "", forget: bool = False
    ) -> None:
        """Nothing."""

    async def release_all(self, holders: Collection[str]) -> None:
        """Nothing."""


@dataclass
class NoJournal:
    """Implements `Journal` where nothing is delivered: it keeps what is open in memory only."""

    open: dict[str, list[tuple[Dot, tuple[str, ...]]]] = field(default_factory=dict)

    async def sending(self, dots: Sequence[Dot]) -> None:
        """Nothing."""

    def answered(self, dot: Dot, outcome: str, tokens: Iterable[str] = ()) -> None:  # noqa: ARG002
        """Keep the accepted."""
        if kept := tuple(tokens):
            self.open.setdefault(dot.txn, []).append((dot, kept))

    def told(self, txn: str) -> None:
        """Forget."""
        self.open.pop(txn, None)

    def untold(self, txn: str) -> tuple[tuple[Dot, tuple[str, ...]], ...]:
        """What was accepted."""
        return tuple(self.open.get(txn, ()))

    def accepted(self, fingerprint: str) -> frozenset[str]:
        """What was accepted of one message."""
        return accepted_of(fingerprint, self.open.values())
