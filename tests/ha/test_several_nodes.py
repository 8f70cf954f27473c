"""Three nodes as the manual sets them up: whatever ends, nothing is lost and nobody misled."""

from __future__ import annotations

import itertools
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ha.cluster import Cluster
from tests.ha.direct import give, readiness
from tests.ha.load import Load
from tests.ha.mails import PROTECTED, Mail, mixed, outbound
from tests.ha.reckoning import reckon
from tests.peers.ports import wait_until

BOB, CLEAR = "bob@partner.example", "grace@else.example"
ONE_COPY, TWO_COPIES = [BOB], [BOB, CLEAR]
_seeds = itertools.count(1)


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """Three nodes that survive what these tests do to them."""
    with Cluster(3) as cluster:
        for address in PROTECTED[1:]:
            cluster.person(address)
        yield cluster


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """The same, complete."""
    shared.settle()
    shared.next_hop.script = {}
    return shared


def load(cluster: Cluster) -> Load:
    """Clients with mixed mail."""
    return Load(cluster, mixed(next(_seeds), cluster.canary))


def letter(cluster: Cluster, name: str, people: list[str]) -> Mail:
    """One mail to *people*."""
    return outbound(f"{name}@ours.example", people, cluster.canary)


def flaws(cluster: Cluster, *loads: Load) -> list[str]:
    """Promises that were broken, when everybody is back and has explained what he left."""
    cluster.settle()
    return reckon(cluster, *(entry.sent for entry in loads)).flaws


# --- who gets what -------------------------------------------------------------------------------


def test_the_balancer_divides_by_weight(cluster: Cluster) -> None:
    """100, 100 and 50 of 250: of 25 connections 10, 10 and 5."""
    before = cluster.balancer.sessions()
    with Load(cluster, iter([letter(cluster, f"w{n}", ONE_COPY) for n in range(25)])) as clients:
        clients.join()
    after = cluster.balancer.sessions()
    shares = [after[f"relay/gw{n}"] - before[f"relay/gw{n}"] for n in (1, 2, 3)]
    assert shares == [10, 10, 5]
    assert flaws(cluster, clients) == []


def test_the_nodes_know_the_client_not_the_balancer(cluster: Cluster) -> None:
    """The manual's PROXY header: a stranger is logged by his address, and is none of the peers."""
    stranger = ("127.0.0.7", 0)
    for port, greeting in ((cluster.mx_port, b"220 "), (cluster.port, b"554 ")):
        with socket.create_connection(("127.0.0.1", port), 60, source_address=stranger) as wire:
            assert wire.makefile("rb").readline().startswith(greeting)

    def known() -> set[str]:
        entries = [e for node in cluster.nodes for e in node.everything("session.connected")]
        return {entry["listener"] for entry in entries if entry["client"] == stranger[0]}

    wait_until(lambda: known() == {"mx"}, "the stranger in a log")


# --- one message, two nodes ----------------------------------------------------------------------


def test_the_same_octets_at_once_to_two_nodes(cluster: Cluster) -> None:
    """One node delivers, the other says 451 4.3.0; everybody gets it once (C35)."""
    mail = letter(cluster, "at-once", TWO_COPIES)
    first, second, _ = cluster.nodes
    cluster.next_hop.hold()
    with ThreadPoolExecutor(1) as pool:
        try:
            reply = pool.submit(give, first, mail)
            wait_until(lambda: cluster.next_hop.waiting == 1, "the canary's dot")
            assert give(second, mail).startswith("451 4.3.0 the same message is being delivered")
        finally:
            cluster.next_hop.release()
        assert reply.result().startswith("250 2.0.0 OK")
    assert give(second, mail).startswith("250 2.0.0 already accepted")
    assert [cluster.next_hop.times(mail.id, name) for name in TWO_COPIES] == [1, 1]


def test_a_retry_at_another_node_leaves_out_who_has_it(cluster: Cluster) -> None:
    """After "delivered to 1 of 2" the other node sends the missing copy only (T-25)."""
    mail = letter(cluster, "retry", TWO_COPIES)
    first, second, third = cluster.nodes
    cluster.next_hop.script["DOT"] = ["250 2.0.0 OK", "451 4.3.2 not now"]
    assert give(first, mail).startswith("451 4.3.2 delivered to 1 of 2, send again to finish")
    assert sorted(cluster.next_hop.times(mail.id, name) for name in TWO_COPIES) == [0, 1]
    assert give(second, mail).startswith("250 2.0.0 OK")
    assert give(third, mail).startswith("250 2.0.0 already accepted")
    assert [cluster.next_hop.times(mail.id, name) for name in TWO_COPIES] == [1, 1]


# --- nodes come and go ---------------------------------------------------------------------------


def test_a_node_killed_under_load(cluster: Cluster) -> None:
    """Who was on it sends again, who comes later notices nothing, nothing is lost (O15)."""
    victim = cluster.nodes[0]
    with load(cluster) as clients:
        clients.wait_for(20)
        victim.kill()
        killed = time.monotonic()
        clients.wait_for(60)
    later = [a for a in clients.sent.attempts if a.begun > killed and a.number == 1]
    assert len(later) >= 10
    assert {attempt.code for attempt in later} == {250}
    assert sum(attempt.code == 0 for attempt in clients.sent.attempts) <= clients.clients
    assert flaws(cluster, clients) == []


def test_a_node_killed_at_its_final_dots(cluster: Cluster) -> None:
    """A duplicate comes with a line that says so, as soon as the node is back (C08)."""
    mail = letter(cluster, "doubt", ONE_COPY)
    first, second, _ = cluster.nodes
    cluster.next_hop.hold()
    with ThreadPoolExecutor(1) as pool:
        try:
            reply = pool.submit(give, first, mail)
            wait_until(lambda: cluster.next_hop.waiting == 1, "the dot")
            first.kill()
        finally:
            cluster.next_hop.release()
        assert reply.result() == ""
    wait_until(lambda: cluster.next_hop.times(mail.id, BOB) == 1, "what was in doubt")
    assert give(second, mail).startswith("250 2.0.0 OK")
    assert cluster.next_hop.times(mail.id, BOB) == 2
    first.start()
    line = first.wait_for_event("delivery.in_doubt", to=BOB)
    assert (line["message_id"], line["reason"]) == (f"<{mail.id}>", "crash")


def test_a_rolling_restart_under_load(cluster: Cluster) -> None:
    """Each node in turn drains, ends and comes back: no 5yz, nothing twice (C39)."""
    with load(cluster) as clients:
        for number, node in enumerate(cluster.nodes, 1):
            clients.wait_for(10)
            node.signal(signal.SIGTERM)
            assert node.wait() == 0
            clients.wait_for(10)
            node.start()
            cluster.balancer.wait_for("UP", f"relay/gw{number}", f"mx/gw{number}")
    reckoned = reckon(cluster, clients.sent)
    assert reckoned.flaws == []
    assert reckoned.duplicates == 0
    assert {attempt.code for attempt in clients.sent.attempts} <= {250, 421, 0}


def test_a_node_that_drains_finishes_what_it_has(cluster: Cluster) -> None:
    """SIGTERM while the next hop thinks: not ready, nobody new, and the client gets its 250."""
    mail = letter(cluster, "drained", ONE_COPY)
    node = cluster.nodes[1]
    cluster.next_hop.hold()
    with ThreadPoolExecutor(1) as pool:
        try:
            reply = pool.submit(give, node, mail)
            wait_until(lambda: cluster.next_hop.waiting == 1, "the dot")
            node.signal(signal.SIGTERM)
            cluster.balancer.wait_for("DOWN", "relay/gw2", "mx/gw2")
            assert readiness(node) == (503, ["draining"])
        finally:
            cluster.next_hop.release()
        assert reply.result().startswith("250 2.0.0 OK")
    assert node.wait() == 0
    assert cluster.next_hop.times(mail.id, BOB) == 1


# --- what the nodes share ------------------------------------------------------------------------


def test_the_first_directory_server_stops_under_load(cluster: Cluster) -> None:
    """The copy answers instead, also for who was published a moment before."""
    with load(cluster) as clients:
        clients.wait_for(10)
        cluster.person("new@partner.example")
        wait_until(lambda: "new@partner" in cluster.replica.search("(mail=new@*)"), "the copy")
        cluster.primary.stop()
        try:
            mail = letter(cluster, "published", ["new@partner.example"])
            assert give(cluster.nodes[0], mail).startswith("250 2.0.0 OK")
            clients.wait_for(40)
        finally:
            cluster.primary.start()
    assert {attempt.code for attempt in clients.sent.attempts} == {250}
    assert flaws(cluster, clients) == []


def test_the_first_directory_server_hangs_under_load(cluster: Cluster) -> None:
    """It accepts connections and says nothing: the other one is asked in time, on every node."""
    with load(cluster) as clients:
        clients.wait_for(10)
        cluster.primary.freeze()
        try:
            for number, node in enumerate(cluster.nodes):
                mail = letter(cluster, f"hanging-{number}", ONE_COPY)
                assert give(node, mail).startswith("250 2.0.0 OK")
            clients.wait_for(20)
        finally:
            cluster.primary.thaw()
    assert flaws(cluster, clients) == []


def test_postgresql_restarts_under_load(cluster: Cluster) -> None:
    """What needs it waits, nothing is lost, nothing comes twice without a line."""
    with load(cluster) as clients:
        clients.wait_for(20)
        cluster.postgres.stop()
        cluster.balancer.wait_for("DOWN")
        cluster.postgres.start()
        cluster.balancer.wait_for("UP")
        clients.wait_for(20)
    assert flaws(cluster, clients) == []


def test_without_the_database_a_node_says_so(cluster: Cluster) -> None:
    """Several copies: 451 4.3.0, and /ready is 503 until it is back (R-22)."""
    mail = letter(cluster, "no-database", TWO_COPIES)
    node = cluster.nodes[0]
    cluster.postgres.stop()
    try:
        assert give(node, mail).startswith("451 4.3.0 ledger not reachable, try later (R-22)")
        wait_until(lambda: readiness(node)[0] == 503, "the node to know")
        assert "PostgreSQL" in readiness(node)[1][0] or "database" in readiness(node)[1][0]
    finally:
        cluster.postgres.start()
    wait_until(lambda: readiness(node) == (200, []), "the node to be ready again")
    assert give(node, mail).startswith("250 2.0.0 OK")
    assert [cluster.next_hop.times(mail.id, name) for name in TWO_COPIES] == [1, 1]
