"""Several worker processes under the supervisor: what happens when one of them, or it, ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smimegw.adapters.journal.lines import sent_line
from smimegw.custody import Dot
from tests.e2e.node import BOB, POLICY, Node, SinkThread, arrived, is_running, refuses
from tests.fakes.scripted_sink import HANG, ScriptedSink
from tests.peers.ports import wait_until

_SECONDS = 90.0  # for a new process on a machine that has other work
LOST = Dot(
    id="lost/1", txn="lost", message_id="<lost@ours.example>", relay="out", recipients=(BOB,)
)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait, also on a machine that has other work."""
    wait_until(condition, what, seconds=_SECONDS)


@pytest.fixture(scope="module")
def sink() -> Iterator[ScriptedSink]:
    with SinkThread() as sink:
        yield sink


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """The socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path_factory.mktemp("systemd") / "notify"))
        listening.settimeout(30)
        yield listening


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, sink: ScriptedSink, systemd: socket.socket
) -> Iterator[Node]:
    """A node with two workers that survives what these tests do to it.

    A third one died at a dot before there were only two.
    """
    node = Node(tmp_path_factory.mktemp("node") / "a", sink.port, workers=2)
    (node.state / "dots-3.jsonl").write_bytes(sent_line(LOST))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", systemd.getsockname())
        node.start()
    with contextlib.closing(node):
        yield node


@pytest.fixture
def node(shared: Node) -> Node:
    """The same, complete."""
    until(lambda: shared.metric("smimegw_workers_ready") == 2, "both workers")
    return shared


def test_one_status_port_speaks_for_all(node: Node, sink: ScriptedSink) -> None:
    """The node is ready, and messages are counted over its workers."""
    assert json.loads(node.probe("/ready")[1]) == {"ready": True, "reasons": []}
    before = node.metric("smimegw_messages_total")
    assert [node.send(f"count-{number}") for number in range(6)] == [250] * 6
    until(lambda: node.metric("smimegw_messages_total") == before + 6, "the count")
    assert node.metric("smimegw_ready") == 1
    assert node.metric("smimegw_build_info") == 1
    assert all(arrived(sink, f"count-{number}") == 1 for number in range(6))


def test_the_journal_of_a_worker_that_is_gone_is_explained(node: Node) -> None:
    """Fewer workers than before: what the missing ones left is told and their files go (T-24)."""
    [event] = [e for e in node.events("delivery.in_doubt") if e["message_id"] == LOST.message_id]
    assert (event["reason"], event["to"]) == ("crash", "bob@partner.example")
    assert {path.name for path in node.state.glob("dots*.jsonl")} == {"dots.jsonl", "dots-2.jsonl"}


def test_systemd_is_told_by_the_supervisor_alone(node: Node, systemd: socket.socket) -> None:
    """READY=1 when the whole node is ready, RELOADING=1 and READY=1 around a reload."""
    told: list[str] = []

    def hears(word: str) -> bool:
        while word not in told:
            told.extend(systemd.recv(4096).decode().splitlines())
        return True

    assert hears("READY=1")
    assert told.count("READY=1") == 1
    told.clear()
    node.signal(signal.SIGHUP)
    assert hears("RELOADING=1")
    assert hears("READY=1")
    assert told.count("RELOADING=1") == 1


def test_connections_go_to_every_worker(node: Node) -> None:
    """The kernel spreads connections over the processes that share the port."""
    reached = set()
    for _ in range(40):
        with contextlib.closing(node.connect()) as client:
            reached.add(client.worker)
        if len(reached) == 2:
            break
    assert reached == node.workers


def test_a_killed_worker_is_replaced(node: Node, sink: ScriptedSink) -> None:
    """SIGKILL in the middle of DATA: nothing passed on, the others go on, a new one comes (C01)."""
    sessions = node.metric("smimegw_smtp_sessions_total")
    with contextlib.closing(node.connect()) as victim:
        victim.begin("killed-in-data")
        broken, os_pid = sink.broken_off, victim.worker
        os.kill(os_pid, signal.SIGKILL)
        with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
            victim.finish()
    event = node.wait_for_event("worker.ended", process=os_pid, seconds=_SECONDS)
    assert (event["reason"], event["text"]) == ("signal", "ended by SIGKILL")
    assert node.send("meanwhile") == 250
    assert arrived(sink, "killed-in-data") == 0
    assert sink.broken_off == broken
    until(lambda: len(node.workers) == 2, "another worker")
    assert os_pid not in node.workers
    assert node.send("killed-in-data") == 250
    assert arrived(sink, "killed-in-data") == 1
    assert node.metric('smimegw_worker_ends_total{reason="signal"}') >= 1
    assert node.metric("smimegw_smtp_sessions_total") >= sessions  # no counter ever falls


def test_a_worker_killed_at_the_dot_is_explained(node: Node, sink: ScriptedSink) -> None:
    """SIGKILL between dot and answer: the successor says in doubt, the retry is delivered."""
    sink.script["DOT"] = [HANG]
    with contextlib.closing(node.connect()) as victim:
        victim.begin("killed-at-dot")
        victim.smtp.send(b"the end\r\n.\r\n")
        until(lambda: not sink.script["DOT"], "the dot at the next hop")
        os.kill(victim.worker, signal.SIGKILL)
    name = "<killed-at-dot@ours.example>"
    event = node.wait_for_event("delivery.in_doubt", message_id=name, seconds=_SECONDS)
    assert event["reason"] == "crash"
    until(lambda: node.send("killed-at-dot") == 250, "the retry")
    assert arrived(sink, "killed-at-dot") == 1


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, sink: ScriptedSink) -> Iterator[Node]:
    """A node that waits 5 s for a sign of life; each worker hangs at its first mail."""
    limits = "worker_silence_seconds = 5\n"
    directory = tmp_path_factory.mktemp("impatient") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMIMEGW_FAILPOINTS", "outbound.decided=hang")
        node = Node(directory, sink.port, workers=2, more=limits).start()
    with contextlib.closing(node):
        yield node


def test_a_stopped_worker_is_killed_and_replaced(impatient: Node) -> None:
    """A process that shows no sign of life is ended and another one takes its place."""
    victim = min(impatient.workers)
    os.kill(victim, signal.SIGSTOP)
    event = impatient.wait_for_event("worker.ended", process=victim, seconds=_SECONDS)
    assert (event["reason"], event["text"]) == ("hung", "no sign of life for 5 s")
    until(lambda: impatient.metric("smimegw_workers_ready") == 2, "both workers")
    assert not is_running(victim)
    assert impatient.metric('smimegw_worker_ends_total{reason="hung"}') >= 1


def test_a_blocked_event_loop_is_named(impatient: Node) -> None:
    """Before a worker that hangs is ended, the log says where its threads stand, not with what."""
    with contextlib.closing(impatient.connect()) as client:
        client.begin("blocked")
        with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
            client.finish()
        event = impatient.wait_for_event("worker.ended", process=client.worker, seconds=_SECONDS)
        assert event["reason"] == "hung"
    assert "outbound.py" in impatient.log
    assert "blocked" not in impatient.log.replace("<blocked@ours.example>", "")


# --- reload --------------------------------------------------------------------------------------


def reload(node: Node, policy: str, event: str) -> None:
    """Put *policy* there, send SIGHUP and wait until every worker tells *event*."""
    before = len(node.events(event))
    node.policy.write_text(policy)
    node.signal(signal.SIGHUP)

    def all_told() -> bool:
        return {told["pid"] for told in node.events(event)[before:]} == node.workers

    until(all_told, f"{event} of every worker")


def test_a_broken_policy_stays_out_of_every_worker(node: Node) -> None:
    """SIGHUP: all keep the old rules, say why, and the metric of the node shows it (R-15)."""
    name = "smimegw_config_last_reload_successful"
    reload(node, POLICY.replace('"none" }', '"nothing" }', 1), "policy.reload_failed")
    try:
        assert node.send("with-old-rules") == 250
        until(lambda: node.metric(name) == 0, "the metric")
    finally:
        reload(node, POLICY, "policy.reloaded")
    until(lambda: node.metric(name) == 1, "the metric again")


# --- the end -------------------------------------------------------------------------------------


def test_sigterm_drains_every_worker(tmp_path: Path, sink: ScriptedSink) -> None:
    """Nobody new is let in, who is idle gets 421 4.3.2, who is in the midst finishes (N-25)."""
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        busy, idle = node.connect(), node.connect()
        busy.begin("drained")
        node.signal(signal.SIGTERM)
        assert idle.smtp.getreply() == (421, b"4.3.2 shutting down, try again")
        until(lambda: refuses(node.port), "no new connections")
        assert node.probe("/ready")[0] == 503
        assert busy.finish() == 250
        assert busy.smtp.getreply()[0] == 421
        for client in (busy, idle):
            client.close()
        assert node.wait() == 0
        assert arrived(sink, "drained") == 1


def test_workers_keep_the_limit_of_sessions_together(tmp_path: Path, sink: ScriptedSink) -> None:
    """Each admits its share of what the node may (T-10)."""
    with Node(tmp_path / "node", sink.port, workers=2, more="sessions = 2") as node:
        clients = [
            socket.create_connection(("127.0.0.1", node.port), timeout=60) for _ in range(30)
        ]
        codes = [client.recv(3) for client in clients]
        for client in clients:
            client.close()
    assert sorted(codes) == [b"220"] * 2 + [b"421"] * 28


def test_a_second_sigterm_ends_at_once(tmp_path: Path, sink: ScriptedSink) -> None:
    """Who does not want to wait says it twice; nothing was passed on."""
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        workers = node.workers
        with contextlib.closing(node.connect()) as client:
            client.begin("impatient")
            node.signal(signal.SIGTERM)
            node.wait_for_event("worker.draining", seconds=_SECONDS)
            node.signal(signal.SIGTERM)
            node.wait()
        assert not any(map(is_running, workers))
        assert arrived(sink, "impatient") == 0


def test_workers_do_not_outlive_the_supervisor(tmp_path: Path, sink: ScriptedSink) -> None:
    """SIGKILL of the supervisor: its workers finish what runs and end."""
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        workers = node.workers
        client = node.connect()
        client.begin("orphan")
        os.kill(node.pid, signal.SIGKILL)
        until(lambda: refuses(node.port), "no new connections")
        assert client.finish() == 250
        client.close()
        until(lambda: not any(map(is_running, workers)), "the end of the workers")
        assert arrived(sink, "orphan") == 1


def test_a_failing_disk_ends_every_worker(
    tmp_path: Path, sink: ScriptedSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO from the journal of one worker is everybody's: 421, exit code 4, the reason (C27)."""
    monkeypatch.setenv("SMIMEGW_FAILPOINTS", "journal.before-sync=eio")
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        workers = node.workers
        assert node.send("on-a-failing-disk") == 421
        assert node.wait() == 4
        assert "the disk is failing" in node.log.splitlines()[-1]
        assert not any(map(is_running, workers))
        assert arrived(sink, "on-a-failing-disk") == 0


# --- the start -----------------------------------------------------------------------------------


def test_a_port_that_is_taken_ends_the_start(
    node: Node, tmp_path: Path, sink: ScriptedSink
) -> None:
    """Another gateway on the port, even one that shares it: exit code 2 and the reason."""
    second = Node(tmp_path / "b", sink.port, workers=2)
    text = second.configuration.read_text()
    second.configuration.write_text(text.replace(str(second.port), str(node.port)))
    with pytest.raises(AssertionError, match=r"listener\.relay\.address.*already in use"):
        second.start()
    assert second.wait() == 2


def test_workers_that_die_at_the_start_end_the_supervisor(
    tmp_path: Path, sink: ScriptedSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many tries in a row it ends, not in peace, and says what they died of."""
    monkeypatch.setenv("SMIMEGW_FAILPOINTS", "recover.read=kill")
    node = Node(tmp_path / "a", sink.port, workers=2, more="worker_starts = 2\n")
    with pytest.raises(AssertionError, match="ended by SIGKILL"):
        node.start()
    assert node.wait() == 1
    assert [event["worker"] for event in node.events("worker.ended")] == [1, 1]


def test_a_mistake_in_the_policy_ends_the_start_at_once(tmp_path: Path, sink: ScriptedSink) -> None:
    """What a second try would not change is not tried again: exit code 2 (R-15)."""
    node = Node(tmp_path / "a", sink.port, workers=2)
    node.policy.write_text(POLICY.replace('"none" }', '"nothing" }', 1))
    with pytest.raises(AssertionError, match="nothing"):
        node.start()
    assert node.wait() == 2
    assert len(node.events("worker.ended")) == 1
