"""What a single node does about its own disk, database and clock: it says so rather than guess."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import smtplib
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.node import ALICE, BOB, Node, SinkThread, arrived, refuses
from tests.e2e.programs import BIN
from tests.fakes.scripted_sink import ScriptedSink
from tests.peers.ports import free_port


@pytest.fixture(scope="module")
def sink() -> Iterator[ScriptedSink]:
    with SinkThread() as sink:
        yield sink


@pytest.fixture
def node(tmp_path: Path, sink: ScriptedSink) -> Node:
    """A node that was not started yet."""
    return Node(tmp_path / "node", sink.port, workers=1)


def refusal(node: Node) -> str:
    """What a start says that fails for its configuration."""
    done = subprocess.run(
        [BIN / "smimegw", "run", "-c", node.configuration],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert refuses(node.port)
    return done.stderr


def test_a_state_directory_that_cannot_be_written_opens_no_port(node: Node) -> None:
    """Where root may not write either; the line names the directory (E03)."""
    text = node.configuration.read_text()
    node.configuration.write_text(text.replace('"state"', '"/proc/smimegw"'))
    assert "/proc/smimegw" in refusal(node)


def test_a_database_of_a_newer_release_is_not_touched(node: Node) -> None:
    """The node says so and does not start; the tables stay as they are (E08)."""
    with contextlib.closing(sqlite3.connect(node.state / "smimegw.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
        said = refusal(node)
        assert "the database has schema 9999" in said
        assert "a newer release has used it; install that release again" in said
        tables = database.execute("SELECT name FROM sqlite_master").fetchall()
        version = database.execute("SELECT version_num FROM alembic_version").fetchall()
    assert (tables, version) == ([("alembic_version",)], [("9999",)])


def test_a_broken_policy_stays_unused_and_is_told(node: Node, sink: ScriptedSink) -> None:
    """The old one goes on, the metric for alarms falls (E14)."""
    with node:
        node.policy.write_text("[[rule]]\nname = 'broken'\nthen = { protect = 'all' }\n")
        node.signal(signal.SIGHUP)
        event = node.wait_for_event("policy.reload_failed")
        assert event["code"] == "R-15"
        assert node.send("old-policy") == 250
        assert node.metric("smimegw_config_last_reload_successful") == 0
    assert arrived(sink, "old-policy") == 1


def test_log_and_records_count_in_utc(
    node: Node, sink: ScriptedSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the zone of the machine, times are UTC and never go back (E20)."""
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    with node:
        assert [node.send(f"utc-{number}") for number in range(3)] == [250] * 3
        entries = node.events()
    records = (node.state / "decisions.jsonl").read_text().splitlines()
    logged = [datetime.fromisoformat(entry["ts"]) for entry in entries]
    recorded = [datetime.fromisoformat(json.loads(line)["at"]) for line in records]
    assert len(recorded) >= 3
    for times in (logged, recorded):
        assert all(moment.utcoffset() == timedelta(0) for moment in times)
        assert all(earlier <= later for earlier, later in itertools.pairwise(times))


def test_a_process_that_crashes_leaves_no_core(node: Node, sink: ScriptedSink) -> None:
    """Mail and keys are in its memory; what it crashed of is in no file either (G07)."""
    with node:
        limits = Path(f"/proc/{node.pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
        with contextlib.closing(node.connect()) as client:
            client.begin("7e6ddc20-canary")
            node.signal(signal.SIGABRT)
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.smtp.getreply()
        node.wait()
    assert arrived(sink, "7e6ddc20-canary") == 0
    files = [path for path in node.directory.rglob("*") if path.is_file()]
    assert not [path for path in files if b"7e6ddc20-canary\r\n" in path.read_bytes()]


def test_a_next_hop_that_is_down_is_waited_for_by_clients(tmp_path: Path) -> None:
    """All are told 451 4.4.1; when it is back, nobody but clients tries again (O13)."""
    port = free_port()
    with Node(tmp_path / "node", port, workers=1) as node:
        for _ in range(20):
            with contextlib.closing(node.connect()) as client:
                assert client.smtp.mail(ALICE)[0] == 250
                code, text = client.smtp.rcpt(BOB)
                assert (code, text[:5]) == (451, b"4.4.1")
                assert client.smtp.docmd("DATA")[0] == 451
        with SinkThread(ScriptedSink(port=port)) as sink:
            assert node.send("back") == 250
            assert sink.connections == 1
            assert arrived(sink, "back") == len(sink.messages) == 1
        with contextlib.closing(sqlite3.connect(node.state / "smimegw.db")) as database:
            for table in ("ledger_claims", "ledger_accepted"):
                assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
