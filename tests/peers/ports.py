"""Free ports, greetings and process groups for the real servers that tests start."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_NAP = 0.02
# Below the range that the kernel gives to outgoing connections and to port 0, so that nobody but
# another caller of free_port() can take a port between its choice and its use.
_FIRST, _LAST = 18000, 32000
_given: dict[int, socket.socket] = {}


def free_port() -> int:
    """A loopback port that nobody listens on, ours until this process ends.

    A server that restarts leaves its port alone for a moment. So that no other test run takes it
    then, a socket with an abstract name stands for the port in all of them.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(_FIRST, _LAST)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket() as probe, contextlib.suppress(OSError):
            claim.bind(f"\0smimegw-test-port-{port}")
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _given[port] = claim
            return port
        claim.close()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 20.0) -> None:
    """Return as soon as *condition* holds.

    Raises:
        TimeoutError: It did not within *seconds*; *what* says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(_NAP)


def wait_for_greeting(
    port: int, pattern: bytes, *, alive: Callable[[], bool], seconds: float = 20.0
) -> None:
    """Return when the server on *port* says a line that matches; a port alone proves nothing.

    Raises:
        RuntimeError: The server is not alive any more.
        TimeoutError: It did not greet.
    """

    def greets() -> bool:
        if not alive():
            raise RuntimeError(f"the server that should answer on port {port} has ended")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                return re.match(pattern, connection.recv(512)) is not None
        except OSError:
            return False

    wait_until(greets, f"a greeting on port {port}", seconds=seconds)


class ProcessGroup:
    """A server with its children, ended together by the id of the group that we made."""

    def __init__(self, command: list[str], *, log: Path, env: dict[str, str] | None = None) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def alive(self) -> bool:
        """The first process of the group runs."""
        return self._process.poll() is None

    def stop(self, *, seconds: float = 15.0) -> None:
        """Ask every process to end and wait for the last: children hold sockets a little longer."""
        self._signal(signal.SIGTERM)
        try:
            wait_until(lambda: not self._members(), "the end of a server", seconds=seconds)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            raise
        finally:
            self._process.wait(timeout=seconds)

    def kill(self) -> None:
        """End the first process without warning; the others follow by `stop`."""
        self._process.kill()
        self._process.wait(timeout=10)

    def _signal(self, number: signal.Signals) -> None:
        # The group's number is not given to anybody else as long as it has members.
        if self._members():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _members(self) -> list[int]:
        self._process.poll()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                # An orphan stays a zombie until process 1 looks after it: dead for us.
                if int(group) == self.pid and state not in "ZX":
                    found.append(int(entry.name))
        return found
