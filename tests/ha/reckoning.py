"""Matches what clients were told with what arrived, and every duplicate with a line of a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.ha.cluster import PARTNER, Cluster
from tests.ha.load import Sent

_EXPLAINING = ("delivery.in_doubt", "delivery.untold")


@dataclass(slots=True, kw_only=True)
class Reckoning:
    """What came of it; *flaws* is empty when every promise was kept.

    Attributes:
        messages: That clients began to send.
        copies: Recipients who were told 250.
        lost: 250 without an arrival.
        duplicates: Arrivals of what had arrived.
        explained: Duplicates with a line of their own, by the line's event.
        readable: Copies for protected recipients in which the canary can be read.
        bounced: Attempts that were answered with 5yz: message, number, code.
        places: Files in which the canary can be read.
    """

    messages: int
    copies: int
    lost: list[tuple[str, str]]
    duplicates: int
    explained: Counter[str]
    unexplained: list[tuple[str, str]]
    readable: int
    bounced: list[tuple[str, int, int]]
    places: list[str] = field(default_factory=list)

    @property
    def flaws(self) -> list[str]:
        """Broken promises."""
        found = {
            "lost": self.lost,
            "duplicates that nothing explains": self.unexplained,
            "readable copies": self.readable,
            "bounced": self.bounced,
            "content in files": self.places,
        }
        return [f"{what}: {how}" for what, how in found.items() if how]


def reckon(cluster: Cluster, *sent: Sent, places: bool = True) -> Reckoning:
    """Compare; every node must have been started again after it was killed.

    Args:
        cluster: Where it happened.
        sent: By all clients.
        places: Read every file, too.
    """
    # While clients still send, first what they were told: it has arrived before.
    told = [copy for entry in sent for copy in tuple(entry.told)]
    theirs = {attempt.mail for entry in sent for attempt in tuple(entry.attempts)}
    arrivals = tuple(cluster.next_hop.arrivals)
    arrived = Counter(
        (arrival.message, recipient)
        for arrival in arrivals
        for recipient in arrival.recipients
        if arrival.message in theirs
    )
    explained: Counter[str] = Counter()
    unexplained = []
    lines = _lines(cluster)
    for copy, count in arrived.items():
        for _ in range(count - 1):
            kind = next((kind for kind in _EXPLAINING if lines[kind, *copy]), "")
            if kind:
                lines[kind, *copy] -= 1
                explained[kind] += 1
            else:
                unexplained.append(copy)
    return Reckoning(
        messages=sum(entry.begun for entry in sent),
        copies=len(told),
        lost=[copy for copy in told if not arrived[copy]],
        duplicates=sum(count - 1 for count in arrived.values()),
        explained=explained,
        unexplained=unexplained,
        readable=sum(a.readable for a in arrivals if _is_protected(a.recipients)),
        bounced=[
            (attempt.mail, attempt.number, attempt.code)
            for entry in sent
            for attempt in tuple(entry.attempts)
            if attempt.code >= 500
        ],
        places=cluster.readable_places() if places else [],
    )


def _is_protected(recipients: Iterable[str]) -> bool:
    return any(recipient.endswith(f"@{PARTNER}") for recipient in recipients)


def _lines(cluster: Cluster) -> Counter[tuple[str, ...]]:
    return Counter(
        (kind, entry["message_id"].strip("<>"), entry["to"])
        for node in cluster.nodes
        for kind in _EXPLAINING
        for entry in node.everything(kind)
    )
