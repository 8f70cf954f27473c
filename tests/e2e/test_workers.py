"""Several worker processes under the supervisor: what happens when one of them, or it, ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.node import POLICY, Node, SinkThread, arrived, is_running, refuses
from tests.fakes.scripted_sink import HANG, ScriptedSink
from tests.peers.ports import wait_until


@pytest.fixture(scope="module")
def sink() -> Iterator[ScriptedSink]:
    with SinkThread() as sink:
        yield sink


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, sink: ScriptedSink) -> Iterator[Node]:
    """A node with two workers that survives what these tests do to it."""
    with Node(tmp_path_factory.mktemp("node") / "a", sink.port, workers=2) as node:
        yield node


@pytest.fixture
def node(shared: Node) -> Node:
    """The same, complete."""
    wait_until(lambda: shared.metric("smimegw_workers_ready") == 2, "both workers", seconds=60)
    return shared


def test_one_status_port_speaks_for_all(node: Node, sink: ScriptedSink) -> None:
    """The node is ready, and messages are counted over its workers."""
    assert json.loads(node.probe("/ready")[1]) == {"ready": True, "reasons": []}
    before = node.metric("smimegw_messages_total")
    assert [node.send(f"count-{number}") for number in range(6)] == [250] * 6
    wait_until(lambda: node.metric("smimegw_messages_total") == before + 6, "the count")
    assert node.metric("smimegw_ready") == 1
    assert node.metric("smimegw_build_info") == 1
    assert all(arrived(sink, f"count-{number}") == 1 for number in range(6))


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
    event = node.wait_for_event("worker.ended", process=os_pid)
    assert (event["reason"], event["text"]) == ("signal", "ended by SIGKILL")
    assert node.send("meanwhile") == 250
    assert arrived(sink, "killed-in-data") == 0
    assert sink.broken_off == broken
    wait_until(lambda: len(node.workers) == 2, "another worker")
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
        wait_until(lambda: not sink.script["DOT"], "the dot at the next hop")
        os.kill(victim.worker, signal.SIGKILL)
    event = node.wait_for_event("delivery.in_doubt")
    assert (event["reason"], event["message_id"]) == ("crash", "<killed-at-dot@ours.example>")
    wait_until(lambda: node.send("killed-at-dot") == 250, "the retry")
    assert arrived(sink, "killed-at-dot") == 1


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, sink: ScriptedSink) -> Iterator[Node]:
    """A node that waits 3 s for a sign of life; each worker hangs at its first mail."""
    limits = "[limits]\nworker_silence_seconds = 3\n"
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
    event = impatient.wait_for_event("worker.ended", process=victim)
    assert (event["reason"], event["text"]) == ("hung", "no sign of life for 3 s")
    wait_until(lambda: impatient.metric("smimegw_workers_ready") == 2, "both workers", seconds=60)
    assert not is_running(victim)
    assert impatient.metric('smimegw_worker_ends_total{reason="hung"}') >= 1


def test_a_blocked_event_loop_is_named(impatient: Node) -> None:
    """Before a worker that hangs is ended, the log says where its threads stand, not with what."""
    with contextlib.closing(impatient.connect()) as client:
        client.begin("blocked")
        with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
            client.finish()
        assert impatient.wait_for_event("worker.ended", process=client.worker)["reason"] == "hung"
    assert "outbound.py" in impatient.log
    assert "blocked" not in impatient.log.replace("<blocked@ours.example>", "")


# --- reload --------------------------------------------------------------------------------------


def test_a_broken_policy_stays_out_of_every_worker(node: Node) -> None:
    """SIGHUP: all keep the old rules, say why, and the metric of the node shows it (R-15)."""
    node.policy.write_text(POLICY.replace('"none" }', '"nothing" }', 1))
    try:
        node.signal(signal.SIGHUP)
        both = lambda: {e["pid"] for e in node.events("policy.reload_failed")}  # noqa: E731
        wait_until(lambda: both() == node.workers, "the refusal of both")
        assert node.send("with old rules") == 250
        name = "smimegw_config_last_reload_successful"
        wait_until(lambda: node.metric(name) == 0, "the metric")
    finally:
        node.policy.write_text(POLICY)
        node.signal(signal.SIGHUP)
    wait_until(
        lambda: {e["pid"] for e in node.events("policy.reloaded")} == node.workers, "both again"
    )
    wait_until(lambda: node.metric(name) == 1, "the metric again")


# --- the end -------------------------------------------------------------------------------------


def test_sigterm_drains_every_worker(tmp_path: Path, sink: ScriptedSink) -> None:
    """Nobody new is let in, who is idle gets 421 4.3.2, who is in the middle of it finishes."""
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        busy, idle = node.connect(), node.connect()
        busy.begin("drained")
        node.signal(signal.SIGTERM)
        assert idle.smtp.getreply() == (421, b"4.3.2 shutting down, try again")
        wait_until(lambda: refuses(node.port), "no new connections")
        assert node.probe("/ready")[0] == 503
        assert busy.finish() == 250
        assert busy.smtp.getreply()[0] == 421
        for client in (busy, idle):
            client.close()
        assert node.wait() == 0
        assert arrived(sink, "drained") == 1


def test_a_second_sigterm_ends_at_once(tmp_path: Path, sink: ScriptedSink) -> None:
    """Who does not want to wait says it twice; nothing was passed on."""
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        workers = node.workers
        with contextlib.closing(node.connect()) as client:
            client.begin("impatient")
            node.signal(signal.SIGTERM)
            node.wait_for_event("worker.draining")
            node.signal(signal.SIGTERM)
            node.wait(seconds=20)
        assert not any(map(is_running, workers))
        assert arrived(sink, "impatient") == 0


def test_workers_do_not_outlive_the_supervisor(tmp_path: Path, sink: ScriptedSink) -> None:
    """SIGKILL of the supervisor: its workers finish what runs and end."""
    with Node(tmp_path / "a", sink.port, workers=2) as node:
        workers = node.workers
        client = node.connect()
        client.begin("orphan")
        os.kill(node.pid, signal.SIGKILL)
        wait_until(lambda: refuses(node.port), "no new connections")
        assert client.finish() == 250
        client.close()
        wait_until(lambda: not any(map(is_running, workers)), "the end of the workers")
        assert arrived(sink, "orphan") == 1


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
    node = Node(tmp_path / "a", sink.port, workers=2, more="[limits]\nworker_starts = 2\n")
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
