"""One message's page in the ledger, from before its first dot until its reply is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from smimegw.custody import Journal, claim_of, fingerprint_of, message_id_of, token_of
from smimegw.errors import LedgerBusyError, LedgerError
from smimegw.failpoints import reach
from smimegw.ports import Ports
from smimegw.transaction import Delivery, Recipient, Transaction

_LARGE_OCTETS = 256 * 1024  # larger content is hashed in a worker


_Key = tuple[int, str]


class _Alone:
    """One message in a single copy that this process delivers, and whether another came."""

    _under_way: ClassVar[dict[_Key, _Alone]] = {}

    def __init__(self, key: _Key) -> None:
        self._key = key
        self._wanted = False

    @classmethod
    def enter(cls, journal: Journal, claim: str) -> _Alone:
        """Begin with what *claim* names.

        Raises:
            LedgerBusyError: It is under way.
        """
        key = (id(journal), claim)  # a process has one journal
        other = cls._under_way.get(key)
        if other is not None:
            other._wanted = True
            raise LedgerBusyError("the same message is being delivered by another transaction")
        cls._under_way[key] = cls(key)
        return cls._under_way[key]

    def leave(self) -> bool:
        """End; whether another one was sent away meanwhile."""
        del self._under_way[self._key]
        return self._wanted


class LedgerEntry:
    """What is known and written of one message.

    A message in several copies is claimed, so that no two nodes deliver it at once (C35), and
    cannot do without the ledger (R-22).  One in a single copy only asks, for its reply is mirrored;
    of two in this process at once one proceeds, and what became of it is written for the other.

    Attributes:
        fingerprint: Of the message.
        claim: What is claimed, when it is.
        prior: Tokens of the recipients here who had it before this transaction.
    """

    def __init__(self, tx: Transaction, ports: Ports) -> None:
        self._tx = tx
        self._ports = ports
        self._claimed = False
        self._alone: _Alone | None = None
        self._accepted: list[str] = []
        self.fingerprint = ""
        self.claim = ""
        self.prior: frozenset[str] = frozenset()

    async def open(self, *, several: bool) -> None:
        """Ask who has it; with *several* copies also claim it.

        Raises:
            LedgerError: It is needed and cannot be used.
            LedgerBusyError: The same message is being delivered just now.
        """
        self.fingerprint = await self._fingerprint()
        if not several:
            self._alone = _Alone.enter(self._ports.journal, self._only())
            await self.ask()
        if several or self.prior:
            self._claimed = True  # before the answer: a claim whose answer is lost is given back
            tokens = [self.token(recipient) for recipient in self._tx.envelope.recipients]
            self.claim = claim_of(self.fingerprint, tokens)
            untold = self._untold()
            known = await self._ports.ledger.claim(self.fingerprint, self._tx.id, key=self.claim)
            self.prior = (known | untold).intersection(tokens)

    def _only(self) -> str:
        """What nobody else in this process may deliver at the same time."""
        return claim_of(self.fingerprint, map(self.token, self._tx.envelope.recipients))

    async def ask(self) -> frozenset[str]:
        """Only ask who has it; nobody as far as we know, when the ledger does not answer."""
        self.fingerprint = self.fingerprint or await self._fingerprint()
        untold = self._untold()
        try:
            known = await self._ports.ledger.accepted(self.fingerprint)
        except LedgerError as exc:
            # Nearly every message has one copy and no past: it does not wait for a database.
            self._trouble(exc)
            known = frozenset()
        known |= untold
        self.prior = known.intersection(map(self.token, self._tx.envelope.recipients))
        return self.prior

    def _untold(self) -> frozenset[str]:
        """Who has it by a transaction here whose client may have vanished with the reply.

        Look before the ledger is asked: what leaves the one is in the other by then.
        Without a Message-ID the second one may be meant, as in `close`.
        """
        if not message_id_of(self._tx):
            return frozenset()
        return self._ports.journal.accepted(self.fingerprint)

    async def _fingerprint(self) -> str:
        if self._tx.size <= _LARGE_OCTETS:
            return fingerprint_of(self._tx)
        return await self._ports.workers.run(fingerprint_of, self._tx)

    def token(self, recipient: Recipient) -> str:
        """The ledger's name of *recipient*."""
        return token_of(self.fingerprint, recipient.mailbox.key)

    def remaining(self, deliveries: Sequence[Delivery]) -> tuple[Delivery, ...]:
        """*deliveries* without the recipients who have theirs."""
        kept = []
        for delivery in deliveries:
            waiting = tuple(r for r in delivery.recipients if self.token(r) not in self.prior)
            if waiting:
                kept.append(replace(delivery, recipients=waiting))
        return tuple(kept)

    async def accept(self, recipients: Iterable[Recipient]) -> None:
        """Write that *recipients* have their copy; nothing where nothing was claimed.

        Raises:
            LedgerError: It could not be written, or another node has taken the message over.
        """
        tokens = [self.token(recipient) for recipient in recipients]
        self._accepted += tokens
        if self._claimed and tokens:
            await self._ports.ledger.accept(
                self.fingerprint, tokens, holder=self._tx.id, key=self.claim
            )

    async def try_to_accept(self, recipients: Iterable[Recipient]) -> bool:
        """The same when nothing can be held back any more; False was logged."""
        try:
            await self.accept(recipients)
        except Exception as exc:  # noqa: BLE001 – what was accepted stays so, whatever breaks now
            self._trouble(exc)
            return False
        return True

    async def accept_late(self, recipients: Iterable[Recipient]) -> None:
        """Write what was learned when the claim, if there was one, may be another's."""
        tokens = [self.token(recipient) for recipient in recipients]
        try:
            if tokens:
                await self._ports.ledger.accept(self.fingerprint, tokens)
        except Exception as exc:  # noqa: BLE001 – what was accepted stays so, whatever breaks now
            self._trouble(exc)

    async def close(self, *, complete: bool) -> None:
        """Give the claim back; never raises what the ledger raises.

        A message without Message-ID is forgotten when everybody has it: a program may well write
        the same again and mean it.
        """
        if self._alone is not None and self._alone.leave() and message_id_of(self._tx):
            await self._tell_the_other()
        if not self._claimed:
            return
        reach("deliver.before-release")
        forget = complete and not message_id_of(self._tx)
        try:
            await self._ports.ledger.release(
                self.fingerprint, self._tx.id, key=self.claim, forget=forget
            )
        except Exception as exc:  # noqa: BLE001 – what was accepted stays so, whatever breaks now
            self._trouble(exc)

    async def _tell_the_other(self) -> None:
        """Whoever was sent away meanwhile comes again, here or at another node."""
        try:
            if self._accepted:
                await self._ports.ledger.accept(self.fingerprint, self._accepted)
        except Exception as exc:  # noqa: BLE001 – what was accepted stays so, whatever breaks now
            self._trouble(exc)

    def _trouble(self, error: Exception) -> None:
        text = str(error) if isinstance(error, LedgerError) else type(error).__name__
        self._ports.events.emit("ledger.error", txn=self._tx.id, text=text, code="R-22")
