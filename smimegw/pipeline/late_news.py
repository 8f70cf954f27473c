"""Notes in the records what became known of final dots after the client had its answer."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from smimegw.ports import Ports

_SCHEMA = 1


class News(StrEnum):
    """How it became known."""

    ANSWER = "answer"  # the next hop answered after its time
    CRASH = "crash"  # the process ended before an answer came
    UNTOLD = "untold"  # accepted, and the client does not know
    LEDGER = "ledger"  # accepted, and a retry cannot know


def note_late(
    txn: str, relay: str, fates: Iterable[tuple[str, str]], news: News, ports: Ports
) -> None:
    """Note what is known now.

    Args:
        txn: The transaction.
        relay: Where the dot went.
        fates: Addresses, and the next hop's reply to each as far as it is known.
        news: How this became known.
        ports: With the records.
    """
    doubt = news in (News.CRASH, News.LEDGER)
    ports.records.note(
        {
            "schema": _SCHEMA,
            "kind": "late",
            "txn": txn,
            "at": ports.clock.now().isoformat(),
            "news": news.value,
            "recipients": [
                {
                    "rcpt": address,
                    "relay": relay,
                    **({"reply": reply} if reply else {}),
                    **({"in_doubt": True} if doubt else {}),
                }
                for address, reply in fates
            ],
        }
    )
