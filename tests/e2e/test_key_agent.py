"""The gateway with a key agent: it signs, holds no key, and waits while the agent is gone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.node import ALICE, Node, SinkThread
from tests.e2e.programs import BIN, program
from tests.fakes.pki import CA, Issued, make_ca
from tests.fakes.scripted_sink import ScriptedSink
from tests.peers.ports import wait_until

_POLICY = """[[rule]]
name = "signed"
why  = "these tests look at keys"
when = { direction = "outbound" }
then = { protect = "sign" }

[[rule]]
name = "open and report"
why  = "these tests look at keys"
when = { direction = "inbound" }
then = { require = "none" }
"""
_MORE = """[trust]
anchors = ["root.pem"]
[revocation]
mode = "prefer"
"""


class Agent:
    """One ``smimegw key-agent``."""

    def __init__(self, configuration: Path, path: Path) -> None:
        self.configuration, self.path = configuration, path
        self._log = configuration.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and return when it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [BIN / "smimegw", "key-agent", "-c", self.configuration],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        process = self._process

        def listens() -> bool:
            assert process.poll() is None
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
                return probe.connect_ex(str(self.path)) == 0

        wait_until(listens, "the key agent", seconds=120)

    def end(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process
        self._process.terminate()
        return self._process.wait(timeout=60)

    def kill(self) -> None:
        """End it without warning."""
        assert self._process
        self._process.kill()
        self._process.wait(timeout=60)

    def reload(self, told: str) -> None:
        """SIGHUP; returns when the log has *told* once more."""
        assert self._process
        before = self.log.count(told)
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.count(told) > before, told, seconds=120)

    @property
    def log(self) -> str:
        """What it wrote since the first start."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process
        return self._process.pid


class Site:
    """A gateway, its agent, and Alice's key."""

    def __init__(self, directory: Path, sink: int, ca: CA, alice: Issued) -> None:
        self.node = Node(directory / "gw", sink, workers=1, more=_MORE)
        self.node.policy.write_text(_POLICY)
        (self.node.directory / "root.pem").write_bytes(ca.pem)
        self.socket = directory / "agent.sock"
        keys = directory / "agent"
        keys.mkdir(mode=0o700)
        text = self.node.configuration.read_text()
        kek = 'key_encryption_key = { file = "kek" }'
        assert kek in text
        own = self.node.directory / "agent.toml"
        own.write_text(text.replace(kek, f'{kek}\npath = "{keys}"\nagent = "{self.socket}"'))
        self.node.configuration.write_text(text.replace(kek, f'agent = "{self.socket}"'))
        (directory / "alice.pem").write_bytes(alice.key_pem + alice.pem)
        program("smimegw", "key", "import", directory / "alice.pem", "-c", own)
        self.agent = Agent(own, self.socket)

    def send(self, token: str) -> str:
        """The reply to a whole message."""
        with contextlib.closing(self.node.connect()) as client:
            client.begin(token)
            client.smtp.send(b"the end\r\n.\r\n")
            code, text = client.smtp.getreply()
        return f"{code} {text.decode()}"


@pytest.fixture(scope="module")
def ca() -> CA:
    """Whom the gateway trusts."""
    return make_ca("Key agent CA")


@pytest.fixture(scope="module")
def alice(ca: CA) -> Issued:
    """Her certificate and key."""
    return ca.issue(ALICE)


@pytest.fixture(scope="module")
def sink() -> Iterator[ScriptedSink]:
    """The next hop."""
    with SinkThread() as sink:
        yield sink


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, sink: ScriptedSink, ca: CA, alice: Issued
) -> Iterator[Site]:
    """Both processes run."""
    site = Site(tmp_path_factory.mktemp("site"), sink.port, ca, alice)
    site.agent.start()
    try:
        with site.node:
            yield site
    finally:
        site.agent.kill()


def test_gateway_signs_with_the_agent_s_key(site: Site, sink: ScriptedSink) -> None:
    """Mail goes out signed, though the gateway has neither key files nor key-encryption key."""
    assert site.send("first").startswith("250")
    (message,) = [entry for entry in sink.messages if b"first" in entry.content]
    assert b"multipart/signed" in message.content
    assert not (site.node.state / "keys").exists()


def test_only_the_agent_has_the_key_in_memory(site: Site, alice: Issued) -> None:
    """No prime of the key is in the gateway's memory while it signs; the agent has it (M07)."""
    assert site.send("second").startswith("250")
    assert _holds(site.agent.pid, alice)
    assert not _holds(site.node.pid, alice)


def test_mail_waits_while_the_agent_is_gone(site: Site, sink: ScriptedSink) -> None:
    """451 as for any keystore that does not answer (R-14); after its return all goes on."""
    site.agent.kill()
    try:
        reply = site.send("third")
    finally:
        site.agent.start()
    assert reply.startswith("451")
    assert "R-14" in reply
    assert not [entry for entry in sink.messages if b"third" in entry.content]
    assert site.send("fourth").startswith("250")


def test_readiness_follows_the_agent(site: Site) -> None:
    """/ready is 503 while the agent is gone, and 200 again without a restart (R-13)."""
    site.agent.kill()
    try:
        wait_until(lambda: site.node.probe("/ready")[0] == 503, "not ready", seconds=120)
        assert "key agent" in site.node.probe("/ready")[1]
    finally:
        site.agent.start()
    wait_until(lambda: site.node.probe("/ready")[0] == 200, "ready", seconds=120)


def test_agent_tells_each_use(site: Site, alice: Issued) -> None:
    """A line for each signature: whose process, which key, what for (T-17)."""
    before = len(_uses(site))
    assert site.send("fifth").startswith("250")
    (told,) = _uses(site)[before:]
    assert (told["user"], told["process"]) == (os.getuid(), site.node.pid)
    assert told["key_id"] == alice.certificate.fingerprint.removeprefix("sha256:")
    assert told["purpose"] == "sign"


def _uses(site: Site) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in site.agent.log.splitlines()]
    return [entry for entry in told if entry["event"] == "key.used"]


def test_agent_reloads_without_a_gap(site: Site) -> None:
    """SIGHUP: a mistake changes nothing, a right configuration counts (R-14)."""
    own = site.agent.configuration
    good = own.read_text()
    own.write_text(good.replace(site.socket.name, "other.sock"))
    site.agent.reload('"agent.reload_failed"')
    assert site.send("sixth").startswith("250")
    own.write_text(good)
    site.agent.reload('"agent.serving"')
    assert site.send("seventh").startswith("250")


def test_agent_ends_when_it_is_asked_to(site: Site) -> None:
    """SIGTERM ends it with 0, and its socket is gone."""
    assert site.agent.end() == 0
    assert not site.socket.exists()
    site.agent.start()


def _holds(pid: int, issued: Issued) -> bool:
    """Whether a process has a prime or the exponent of that key in its memory.

    Big numbers lie there with the lowest octet first, files with the highest.
    """
    numbers = issued.key.private_numbers()
    needles = [
        secret.to_bytes((secret.bit_length() + 7) // 8, order)[8:-8]
        for secret in (numbers.p, numbers.q, numbers.d)
        for order in ("big", "little")
    ]
    return any(needle in octets for octets in _memory(pid) for needle in needles)


def _memory(pid: int) -> Iterator[bytes]:
    """What the process can write to, mapping by mapping."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not found:
                continue
            begin, end = (int(edge, 16) for edge in found.groups())
            with contextlib.suppress(OSError, OverflowError):
                memory.seek(begin)
                yield memory.read(end - begin)
