"""The reply for the client, from what became of every recipient."""

from __future__ import annotations

from collections.abc import Sequence

from smimegw.pipeline.dots import Delivered
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient


def outcome_of(txn: str, delivered: Sequence[Delivered], order: Sequence[Recipient]) -> Outcome:
    """The reply for the client: one for all (SMTP) and one for each in *order* (LMTP).

    Some accepted and some not: the client is asked to send again (451), and the ledger leaves out
    whom it reached.  Who was refused for good and reported needs nobody to come again.
    """
    accepted = Reply(250, "2.0.0", f"OK {txn}")
    fates: dict[str, list[Delivered]] = {}
    for entry in reversed(delivered):
        fates.setdefault(entry.recipient.mailbox.key, []).append(entry)
    # Who was named twice at RCPT has two fates, in that order.
    named = [fates[recipient.mailbox.key] for recipient in order]
    entries = [own.pop() if len(own) > 1 else own[0] for own in named]
    if all(entry.earlier for entry in entries):
        accepted = Reply(250, "2.0.0", f"already accepted {txn}")
    per_recipient = tuple(accepted if entry.reply.is_positive else entry.reply for entry in entries)
    bad = [e.reply for e in entries if not (e.reply.is_positive or e.reported)]
    if not bad:
        return Outcome(reply=accepted, per_recipient=per_recipient)
    good = len(entries) - len(bad)
    transient = [reply for reply in bad if reply.is_transient]
    worst = next((reply for reply in transient if reply.code == 421), (*transient, bad[0])[0])
    if good and worst.code != 421:
        enhanced = worst.enhanced if worst.is_transient else "4.4.0"
        text = f"delivered to {good} of {len(entries)}, send again to finish {txn}"
        worst = Reply(451, enhanced, text)
    return Outcome(reply=worst, per_recipient=per_recipient)
