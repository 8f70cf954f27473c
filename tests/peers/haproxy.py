"""Runs a private HAProxy with a given configuration, and asks it what it thinks of its servers.

with HAProxy(text, port) as balancer:
    balancer.servers()      # {"relay/gw1": "UP", "relay/gw2": "DOWN"}
"""

from __future__ import annotations

import csv
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.ports import ProcessGroup, wait_until

_GLOBAL = "global\n"


class HAProxy:
    """One balancer; a context manager.

    Args:
        configuration: Of which ``global`` is the first section.
        port: On which it listens.
    """

    def __init__(self, configuration: str, port: int) -> None:
        self.port = port
        self._configuration = configuration

    def __enter__(self) -> Self:
        # A Unix socket's path is short, and pytest's directories are not.
        self.directory = Path(tempfile.mkdtemp(prefix="haproxy-"))
        assert _GLOBAL in self._configuration
        control = f"{_GLOBAL}  stats socket {self.directory}/control mode 600 level admin\n"
        path = self.directory / "haproxy.cfg"
        path.write_text(self._configuration.replace(_GLOBAL, control, 1))
        log = self.directory / "log"
        self._process = ProcessGroup([_program(), "-db", "-f", str(path)], log=log)

        def answers() -> bool:
            assert self._process.alive(), f"haproxy ended:\n{log.read_text()}"
            try:
                return bool(self.servers())
            except OSError:
                return False

        try:
            wait_until(answers, "HAProxy")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def servers(self) -> dict[str, str]:
        """State of every server: ``UP``, ``DOWN``, ``UP 1/2`` while it is changing."""
        return {row["name"]: row["status"] for row in self._rows()}

    def sessions(self) -> dict[str, int]:
        """How many connections every server was given so far."""
        return {row["name"]: int(row["stot"]) for row in self._rows()}

    def wait_for(self, state: str, *servers: str, seconds: float = 60.0) -> None:
        """Return when all these servers are in that state; all there are, when none is named."""
        servers = servers or tuple(self.servers())
        wait_until(
            lambda: all(self.servers()[server] == state for server in servers),
            f"{servers} to be {state}, but {self.servers()}",
            seconds=seconds,
        )

    def _rows(self) -> list[dict[str, str]]:
        text = self._ask("show stat").lstrip("# ")
        sides = {"FRONTEND", "BACKEND"}
        rows = [row for row in csv.DictReader(text.splitlines()) if row["svname"] not in sides]
        return [{**row, "name": f"{row['pxname']}/{row['svname']}"} for row in rows]

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.directory / "control"))
            control.sendall(command.encode() + b"\n")
            octets = b""
            while more := control.recv(65536):
                octets += more
            return octets.decode()


def _program() -> str:
    path = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert path, "haproxy is missing: apt-get install haproxy"
    return path
