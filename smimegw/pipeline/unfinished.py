"""Explain what was left unfinished: by a client that could not be told, or by a crash.

What the next hop accepted and the client does not know of goes into the ledger, so that the retry
leaves it out on every node.  A dot without an answer is named in the log; it is the only licensed
source of a duplicate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from smimegw.custody import Dot, Unfinished
from smimegw.errors import LedgerError
from smimegw.failpoints import reach
from smimegw.pipeline.late_news import News, note_late
from smimegw.ports import Ports

_Accepted = tuple[Dot, tuple[str, ...]]


async def remember_untold(txn: str, ports: Ports) -> None:
    """Enter the accepted dots of a transaction whose client was not told 250; never raises."""
    if not await remember(ports.journal.untold(txn), ports):
        ports.journal.told(txn)


async def explain(unfinished: Unfinished, ports: Ports) -> tuple[_Accepted, ...]:
    """Log and enter what a process that ended has left; returns what is to be tried again."""
    if unfinished.in_doubt or unfinished.untold or unfinished.torn:
        ports.events.emit(
            "journal.recovered",
            in_doubt=len(unfinished.in_doubt),
            untold=len(unfinished.untold),
            torn=unfinished.torn,
        )
    reach("recover.read")
    for dot in unfinished.in_doubt:
        _in_doubt(dot, News.CRASH, ports)
    left = await remember(unfinished.untold, ports)
    for dot in (*unfinished.in_doubt, *(dot for dot, _ in unfinished.untold)):
        # The claim of the dead is given back at once, so that a retry need not wait for its end.
        with contextlib.suppress(LedgerError):
            await ports.ledger.release(dot.fingerprint, dot.txn, key=dot.claim)
    reach("recover.explained")
    return left


async def remember(accepted: Iterable[_Accepted], ports: Ports) -> tuple[_Accepted, ...]:
    """Enter *accepted* in the ledger; returns those for which that failed, which are logged."""
    left = []
    for dot, tokens in accepted:
        for address in dot.recipients:
            values = {"to": address, "relay": dot.relay, "message-id": dot.message_id}
            ports.events.emit("delivery.untold", txn=dot.txn, **values)
        note_late(dot.txn, dot.relay, _unanswered(dot), News.UNTOLD, ports)
        try:
            await ports.ledger.accept(dot.fingerprint, tokens)
        except Exception as exc:  # noqa: BLE001 – whatever it was, it is told and tried again
            left.append((dot, tokens))
            text = str(exc) if isinstance(exc, LedgerError) else type(exc).__name__
            ports.events.emit("ledger.error", txn=dot.txn, text=text, code="R-22")
            _in_doubt(dot, News.LEDGER, ports)
    return tuple(left)


def _in_doubt(dot: Dot, reason: News, ports: Ports) -> None:
    for address in dot.recipients:
        values = {"to": address, "relay": dot.relay, "message-id": dot.message_id}
        ports.events.emit("delivery.in_doubt", txn=dot.txn, **values, reason=reason.value)
    note_late(dot.txn, dot.relay, _unanswered(dot), reason, ports)


def _unanswered(dot: Dot) -> list[tuple[str, str]]:
    return [(address, "") for address in dot.recipients]
