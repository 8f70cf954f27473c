"""Commits the copies of one message that are held: one dot goes alone, the canary.

After its 250 the ledger learns who has the message, and the others follow together.  Who was
refused for good, when others have it, is reported to the sender.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from smimegw.failpoints import reach
from smimegw.next_hop import RelaySession
from smimegw.pipeline.dots import IN_DOUBT, Delivered, Dots, Fates, Held, all_alike, same
from smimegw.pipeline.hold import ours
from smimegw.pipeline.ledger_entry import LedgerEntry
from smimegw.pipeline.reply_time import reply_deadline
from smimegw.pipeline.reports import tell_of
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Recipient, Transaction

NO_LEDGER = Reply(451, "4.3.0", "ledger not reachable, try later (R-22)")
UNDOTTED = Reply(451, "4.4.2", "outcome of another copy unknown, send again")

DOTS_SHARE = 0.85  # of the time for the whole reply; the rest is for the ledger and a report
_REPORT_SHARE = 0.95

Report = Callable[[Fates], None]


def is_independent(tx: Transaction, entry: LedgerEntry) -> bool:
    """Each copy has a fate of its own: LMTP has a reply for each recipient (RFC 2033), and
    in a retry the way back is closed already."""
    return tx.session.is_lmtp or bool(entry.prior)


@dataclass(frozen=True, slots=True)
class Commit:
    """The last step of one try to deliver."""

    tx: Transaction
    entry: LedgerEntry
    ports: Ports
    settings: Settings
    report: Report

    async def of(
        self,
        pairs: Sequence[tuple[Delivery, RelaySession | Reply]],
        earlier: Fates,
    ) -> Fates:
        """Send the dots of what is held; what is not has the reply in its place.

        Args:
            pairs: Every copy that the ledger does not name yet.
            earlier: Of whoever had the message before.
        """
        held: list[Held] = []
        fates: list[Delivered] = []
        for delivery, entry in pairs:
            if isinstance(entry, Reply):
                fates += same(delivery, ours(entry), entry)
            else:
                held.append(Held(delivery, entry))
        tried = (*fates, *await self._dots(held))
        self.report(tried)
        return (*earlier, *await self._settled(tried, len(earlier)))

    async def _dots(self, held: Sequence[Held]) -> Fates:
        until = reply_deadline(self.tx, DOTS_SHARE, self.ports, self.settings)
        dots = Dots(self.tx, self.entry, self.ports, until)
        if len(held) < 2 or is_independent(self.tx, self.entry):
            fates = await dots.send(held) if held else ()
            await self.entry.try_to_accept(_accepted(fates))
            return fates
        canary, others = held[0], held[1:]
        first = await dots.send([canary])
        reach("deliver.after-canary")
        if not _accepted(first):
            rest = first[0]
            if rest.reply == IN_DOUBT:  # only the canary is: nobody else's dot went out
                return (*first, *all_alike(others, UNDOTTED))
            return (*first, *all_alike(others, rest.reply, rest.upstream))
        if not await self.entry.try_to_accept(_accepted(first)):
            # A retry would not know whom to leave out: the copies that are held stay undotted.
            return (*first, *all_alike(others, NO_LEDGER))
        reach("deliver.after-entry")
        rest_fates = await dots.send(others)
        reach("deliver.after-dots")
        await self.entry.try_to_accept(_accepted(rest_fates))
        return (*first, *rest_fates)

    async def _settled(self, tried: Fates, earlier: int) -> Fates:
        """Report those who were refused for good, when the others have it and nobody may get it
        yet: the client's 250 then speaks for everybody."""
        refused = [fate for fate in tried if fate.reply.is_permanent]
        accepted = earlier + len(_accepted(tried))
        if self.tx.session.is_lmtp or not (refused and accepted):
            return tried
        if any(fate.reply.is_transient for fate in tried):
            return tried  # the retry will come to this
        until = reply_deadline(self.tx, _REPORT_SHARE, self.ports, self.settings)
        told = await tell_of(self.tx, refused, accepted, self.ports, self.settings, until=until)
        reach("deliver.after-report")
        if not told:
            return tried
        await self.entry.try_to_accept(fate.recipient for fate in refused)
        return tuple(replace(f, reported=True) if f.reply.is_permanent else f for f in tried)


def _accepted(fates: Fates) -> list[Recipient]:
    return [fate.recipient for fate in fates if fate.reply.is_positive]
