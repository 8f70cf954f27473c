"""Nodes that share a ledger are restarted one after the other while mail goes through them."""

from __future__ import annotations

import contextlib
import itertools
import signal
import smtplib
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.publisher import publish_authority, publish_crl
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from tests.e2e.node import ALICE, BOB, POLICY, Node, SinkThread
from tests.fakes.pki import NOW, make_ca
from tests.fakes.scripted_sink import ScriptedSink
from tests.peers.ports import wait_until

SIGNED = "sig@signed.example"
_SIGNED_RULE = """[[rule]]
name = "signed"
why  = "so that a message has two copies, and the ledger something to do"
when = { direction = "outbound", recipient_domain = ["signed.example"] }
then = { protect = "sign" }

"""
_MORE = """[database]
url = "../shared.db"
[trust]
anchors = ["../ca.pem"]
"""


@pytest.fixture
def sink() -> Iterator[ScriptedSink]:
    with SinkThread() as sink:
        yield sink


@pytest.fixture
def nodes(tmp_path: Path, sink: ScriptedSink) -> Iterator[list[Node]]:
    """Three nodes with one database."""
    ca = make_ca("CA of the nodes")
    alice = ca.issue(ALICE, key="p256")
    (tmp_path / "ca.pem").write_bytes(ca.certificate.parsed.public_bytes(Encoding.PEM))
    engine = open_database(tmp_path / "shared.db")
    publish_authority(engine, ca.certificate.der, now=NOW)
    publish_crl(engine, ca.crl())
    engine.dispose()
    with contextlib.ExitStack() as stack:
        found = []
        for name in ("a", "b", "c"):
            node = Node(tmp_path / name, sink.port, workers=1, more=_MORE)
            node.policy.write_text(_SIGNED_RULE + POLICY)
            kek = KeyEncryptionKey.load((node.directory / "kek").read_bytes())
            keystore = FilesKeystore(node.state / "keys", kek)
            keystore.prepare()
            keystore.add(
                KeyMaterial(certificate=alice.certificate, chain=alice.chain, private_key=alice.key)
            )
            found.append(stack.enter_context(node))
        yield found


class Load(threading.Thread):
    """A mail server that tries every node until its message is accepted, again and again."""

    def __init__(self, name: str, nodes: list[Node]) -> None:
        super().__init__(name=name)
        self._nodes = itertools.cycle(nodes)
        self.ended = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.put_off: Counter[int] = Counter()

    def run(self) -> None:
        for number in itertools.count():
            if self.ended.is_set():
                return
            self._deliver(f"{self.name}-{number}")

    def _deliver(self, token: str) -> None:
        content = (
            f"From: {ALICE}\r\nTo: {BOB}, {SIGNED}\r\nMessage-ID: <{token}@ours.example>\r\n"
            f"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n{token}\r\n"
        )
        for _ in range(200):
            code, text = self._attempt(next(self._nodes), content)
            if code == 250:
                self.accepted.append(token)
                return
            self.put_off[code] += 1
            if code >= 500:
                self.refused.append(f"{token}: {code} {text}")
                return
        self.refused.append(f"{token}: given up")

    def _attempt(self, node: Node, content: str) -> tuple[int, str]:
        """Code and text of the reply that mattered; 0 when the connection was."""
        try:
            with contextlib.closing(smtplib.SMTP("127.0.0.1", node.port, timeout=60)) as client:
                client.sendmail(ALICE, [BOB, SIGNED], content)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            return code, text.decode()
        except smtplib.SMTPResponseException as error:
            return error.smtp_code, str(error.smtp_error)
        except (OSError, smtplib.SMTPServerDisconnected):
            return 0, ""
        return 250, ""


def test_nothing_is_lost_when_nodes_are_restarted_one_by_one(
    nodes: list[Node], sink: ScriptedSink
) -> None:
    """SIGTERM and a new start of each: every 250 arrived once, no 5xx, no claim is left (C39)."""
    loads = [Load(name, nodes) for name in ("first", "second")]
    for load in loads:
        load.start()
    try:
        for node in nodes:
            before = [len(load.accepted) for load in loads]
            node.signal(signal.SIGTERM)
            assert node.wait() == 0
            node.start()
            wait_until(
                lambda before=before: all(  # type: ignore[misc]
                    len(load.accepted) > count + 3
                    for load, count in zip(loads, before, strict=True)
                ),
                "mail with all nodes again",
                seconds=60,
            )
    finally:
        for load in loads:
            load.ended.set()
        for load in loads:
            load.join(timeout=60)
    assert [line for load in loads for line in load.refused] == []
    came = Counter(
        (token, name)
        for message in sink.messages
        for name in message.recipients
        for token in (_token(message.content),)
    )
    assert came == Counter((t, f"<{n}>") for x in loads for t in x.accepted for n in (BOB, SIGNED))
    with contextlib.closing(sqlite3.connect(nodes[0].directory.parent / "shared.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM ledger_claims").fetchone() == (0,)


def _token(content: bytes) -> str:
    """Which message this is a copy of."""
    return content.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()
