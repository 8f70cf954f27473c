"""Mixed mail through two nodes that are killed at random; prints what was lost, doubled, read.

python -m tests.soak --messages 100000 --kills 500 --seed 1
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import sys
import time
from typing import Any

from tests.ha.cluster import Cluster
from tests.ha.load import Load
from tests.ha.mails import PROTECTED, mixed
from tests.ha.reckoning import Reckoning, reckon

_CAUSES = (
    *("node killed",) * 3,
    *("node drained", "PostgreSQL restarted", "PostgreSQL hangs", "slapd stopped", "slapd hangs"),
)
_WITHOUT_SECONDS = 4.0  # at most, while mail goes on


def main() -> int:
    """Run it; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20, help="faults of all kinds, evenly spread")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=0, help="begin no message after that")
    options = parser.parse_args()
    began = time.monotonic()
    with Cluster(2) as cluster:
        for address in PROTECTED[1:]:
            cluster.person(address)
        mails = itertools.islice(mixed(options.seed, cluster.canary), options.messages)
        faults: dict[str, int] = dict.fromkeys(_CAUSES, 0)
        with Load(cluster, mails, clients=options.clients) as load:
            disturb(cluster, load, options, faults, began)
            load.join()
        cluster.settle()
        reckoned = reckon(cluster, load.sent)
        show(cluster, reckoned, load, faults, time.monotonic() - began)
    return 1 if reckoned.flaws else 0


def disturb(
    cluster: Cluster,
    load: Load,
    options: argparse.Namespace,
    faults: dict[str, int],
    began: float,
) -> None:
    """Let something end at even distances of messages until there are no more."""
    chance = random.Random(options.seed)
    every = max(1, options.messages // (options.kills + 1))
    for number in range(1, options.kills + 1):
        while load.running and load.sent.begun < number * every:
            time.sleep(0.05)  # the clients set the pace, here is only looked
            if options.minutes and time.monotonic() - began > options.minutes * 60:
                load.stop()
        if not load.running:
            return
        cause = chance.choice(_CAUSES)
        faults[cause] += 1
        _fault(cause, cluster, chance)
        so_far = reckon(cluster, load.sent, places=False)
        flaws = "; ".join(so_far.flaws) or "nothing broken"
        print(
            f"{time.monotonic() - began:7.0f} s  {so_far.messages:6} messages, {cause}:"
            f" {so_far.duplicates} duplicates, {flaws}",
            file=sys.stderr,
            flush=True,
        )


def _fault(cause: str, cluster: Cluster, chance: random.Random) -> None:
    node = chance.choice(cluster.nodes)
    directory = chance.choice((cluster.primary, cluster.replica))
    match cause:
        case "node killed":
            node.kill()
        case "node drained":
            node.signal(signal.SIGTERM)
            node.wait(seconds=90)
        case "PostgreSQL restarted":
            cluster.postgres.stop()
            cluster.postgres.start()
        case "PostgreSQL hangs":
            cluster.postgres.freeze()
            time.sleep(chance.random() * _WITHOUT_SECONDS)
            cluster.postgres.thaw()
        case "slapd stopped":
            directory.stop()
            time.sleep(chance.random() * _WITHOUT_SECONDS)
            directory.start()
        case _:
            directory.freeze()
            time.sleep(chance.random() * _WITHOUT_SECONDS)
            directory.thaw()
    cluster.settle()


def said_of(cluster: Cluster, mail: str) -> list[dict[str, Any]]:
    """What the nodes' logs say of that message."""
    entries = [entry for node in cluster.nodes for entry in node.everything()]
    txns = {e.get("txn") for e in entries if e.get("message_id") == f"<{mail}>"}
    return [entry for entry in entries if entry.get("txn") in txns]


def show(
    cluster: Cluster, reckoned: Reckoning, load: Load, faults: dict[str, int], seconds: float
) -> None:
    """The figures."""
    attempts = load.sent.attempts
    explained = ", ".join(f"{count} {kind}" for kind, count in reckoned.explained.items())
    rows = [
        ("messages sent", reckoned.messages),
        ("recipients told 250", reckoned.copies),
        ("attempts, and those that broke off", f"{len(attempts)}, {_with(load, 0)}"),
        ("attempts answered 4yz / 5yz", f"{_with(load, 4)} / {len(reckoned.bounced)}"),
        ("faults", ", ".join(f"{count} {cause}" for cause, count in faults.items())),
        ("lost", len(reckoned.lost)),
        ("duplicates", f"{reckoned.duplicates} ({explained or 'none'})"),
        ("duplicates that no line explains", len(reckoned.unexplained)),
        ("readable copies where the rule encrypts", reckoned.readable),
        ("files with content", len(reckoned.places)),
        ("seconds", round(seconds)),
    ]
    for name, value in rows:
        print(f"{name:42} {value}")
    for flaw in reckoned.flaws:
        print(f"BROKEN: {flaw}")
    for mail, _, _ in reckoned.bounced:
        for entry in said_of(cluster, mail):
            print(f"    {entry}")


def _with(load: Load, hundreds: int) -> int:
    return sum(attempt.code // 100 == hundreds for attempt in load.sent.attempts)


if __name__ == "__main__":
    sys.exit(main())
