"""Runs our two programs as an administrator does: as processes, by their command lines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tests.peers.ports import wait_until

BIN = Path(sys.executable).parent
PROJECT = Path(__file__).resolve().parents[2]
_SECONDS = 120
_START_SECONDS = 120.0  # a machine that has other work


def program(name: str, *arguments: str | Path, expect: int = 0, stdin: bytes = b"") -> str:
    """Run *name* to its end, expect that exit code, and return its standard output."""
    done = subprocess.run(
        [BIN / name, *(str(argument) for argument in arguments)],
        input=stdin,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    said = done.stderr.decode(errors="replace")
    assert done.returncode == expect, f"{name} {arguments}: {done.returncode}\n{said}"
    return done.stdout.decode()


class GatewayProcess:
    """One ``smimegw run``: started, listened to, signalled, ended."""

    def __init__(self, configuration: Path) -> None:
        self.configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None
        self._reading: threading.Thread | None = None
        self._lines: list[str] = []

    def start(self) -> Self:
        """Start and return when it says that it is listening."""
        self._lines = []
        self._process = subprocess.Popen(
            [BIN / "smimegw", "run", "-c", self.configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._reading = threading.Thread(
            target=self._read, args=(self._process, self._lines), daemon=True
        )
        self._reading.start()

        def listens() -> bool:
            assert self._process
            assert self._process.poll() is None, f"it ended:\n{self.log}"
            return bool(self.events("gateway.ready"))

        wait_until(listens, "the gateway to listen", seconds=_START_SECONDS)
        return self

    def stop(self, *, seconds: float = 60.0) -> int:
        """Ask it to end (SIGTERM) and return its exit code; 0 when it does not run."""
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        return self.wait(seconds=seconds)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and not waited for since."""
        return self._process is not None

    def kill(self) -> None:
        """End it without warning."""
        assert self._process
        self._process.kill()
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send one signal."""
        assert self._process
        os.kill(self._process.pid, number)

    def wait(self, *, seconds: float = 60.0) -> int:
        """Return its exit code as soon as it has ended."""
        assert self._process
        try:
            code = self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
            raise
        finally:
            if self._reading is not None:
                self._reading.join(timeout=10)
            assert self._process.stderr
            self._process.stderr.close()
        self._process = None
        return code

    @property
    def log(self) -> str:
        """Everything it said since it was started."""
        return "\n".join(self._lines)

    def events(self, name: str = "", **members: Any) -> list[dict[str, Any]]:
        """The log entries of that event with these members, oldest first."""
        found = []
        for line in list(self._lines):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if (not name or entry.get("event") == name) and all(
                    entry.get(key) == value for key, value in members.items()
                ):
                    found.append(entry)
        return found

    def wait_for_event(self, name: str, *, seconds: float = 30.0, **members: Any) -> dict[str, Any]:
        """Return the newest such event as soon as there is one."""
        wait_until(
            lambda: bool(self.events(name, **members)),
            f"event {name} {members} in the log:\n{self.log[-2000:]}",
            seconds=seconds,
        )
        return self.events(name, **members)[-1]

    def _read(self, process: subprocess.Popen[bytes], lines: list[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            lines.append(line.decode("utf-8", "replace").rstrip())  # noqa: PERF401 – seen at once
