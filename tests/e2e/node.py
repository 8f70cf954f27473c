"""A gateway that passes mail to a sink: the least that is needed to look at its processes."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.programs import GatewayProcess
from tests.fakes.scripted_sink import ScriptedSink
from tests.peers.ports import free_port

ALICE, BOB = "alice@ours.example", "bob@partner.example"
POLICY = """[[rule]]
name = "as it is"
why  = "these tests look at processes"
when = { direction = "outbound" }
then = { protect = "none" }

[[rule]]
name = "open and report"
why  = "these tests look at processes"
when = { direction = "inbound" }
then = { require = "none" }
"""
_CONFIGURATION = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "state"
workers = {workers}
[listener.relay]
address = "127.0.0.1:{port}"
peers = ["127.0.0.1"]
[next_hop.out]
address = "127.0.0.1:{sink}"
tls = {{ mode = "none" }}
[keystore]
key_encryption_key = {{ file = "kek" }}
[policies]
path = "policies"
[log]
format = "json"
[metrics]
address = "127.0.0.1:{status}"
[limits]
loop_lag_seconds = 60
{more}
"""


class SinkThread:
    """A scripted sink in a thread of its own; a context manager."""

    def __init__(self, sink: ScriptedSink | None = None) -> None:
        self._sink = sink or ScriptedSink()

    def __enter__(self) -> ScriptedSink:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._sink.start())
        return self._sink

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._sink.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)


class Node(GatewayProcess):
    """One gateway with *workers* processes; a context manager that starts and ends it.

    Args:
        directory: Of its own, made here.
        sink: Port of the next hop.
        workers: How many processes.
        more: Further lines of ``[limits]``, then further tables.
    """

    def __init__(self, directory: Path, sink: int, *, workers: int, more: str = "") -> None:
        super().__init__(directory / "smimegw.toml")
        self.directory = directory
        self.state = directory / "state"
        self.port, self.status = free_port(), free_port()
        (directory / "policies").mkdir(parents=True)
        self.state.mkdir(mode=0o700)
        self.policy = directory / "policies" / "rules.toml"
        self.policy.write_text(POLICY)
        (directory / "kek").write_bytes(b"A" * 43 + b"=")
        (directory / "kek").chmod(0o600)
        self.configuration.write_text(
            _CONFIGURATION.format(
                workers=workers, port=self.port, sink=sink, status=self.status, more=more
            )
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, if it runs."""
        if self.runs:
            self.kill()

    @property
    def workers(self) -> set[int]:
        """Process ids of the workers that run."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return {int(child) for child in children if is_running(int(child))}

    def probe(self, path: str) -> tuple[int, str]:
        """Ask the status port."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.status}{path}", timeout=10
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; *name* may end in the midst of the labels."""
        lines = self.probe("/metrics")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def connect(self) -> Client:
        """A client that has said EHLO."""
        return Client(self)

    def send(self, token: str) -> int:
        """The code that a whole message is answered with."""
        with contextlib.closing(self.connect()) as client:
            client.begin(token)
            return client.finish()


class Client:
    """One connection, which knows the process that has it."""

    def __init__(self, node: Node) -> None:
        before = len(node.events("session.connected"))
        self.smtp = smtplib.SMTP("127.0.0.1", node.port, timeout=60)
        self.smtp.ehlo()
        self._node, self._before = node, before

    @property
    def worker(self) -> int:
        """Process id of the worker, when nobody else connected at the same time."""
        self._node.wait_for_event("session.connected")
        return int(self._node.events("session.connected")[self._before]["pid"])

    def begin(self, token: str) -> None:
        """Send everything up to the middle of the content."""
        assert self.smtp.mail(ALICE)[0] == 250
        assert self.smtp.rcpt(BOB)[0] == 250
        assert self.smtp.docmd("DATA")[0] == 354
        head = f"From: {ALICE}\r\nTo: {BOB}\r\nMessage-ID: <{token}@ours.example>\r\n"
        self.smtp.send(f"{head}Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n{token}\r\n")

    def finish(self) -> int:
        """Send the rest; the code of the reply."""
        self.smtp.send(b"the end\r\n.\r\n")
        return self.smtp.getreply()[0]

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self.smtp.close()


def arrived(sink: ScriptedSink, token: str) -> int:
    """How often that message came to the next hop."""
    return sum(f"\r\n{token}\r\n".encode() in message.content for message in sink.messages)


def is_running(pid: int) -> bool:
    """Whether there is such a process, a dead one that waits for its parent aside."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def refuses(port: int) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return True
    return False
