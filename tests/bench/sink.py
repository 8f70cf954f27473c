"""Postfix' smtp-sink, which takes everything and counts it."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from types import TracebackType
from typing import Self

from tests.peers.ports import free_port, wait_for_greeting


class CountingSink:
    """smtp-sink, which takes everything and counts; a context manager."""

    def __init__(self) -> None:
        self.port = free_port()
        self.count = 0
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        command = ["smtp-sink", "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "1024"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=with_sbin()
        )
        threading.Thread(target=self._read, daemon=True).start()
        wait_for_greeting(self.port, rb"220 ", alive=lambda: self._process.poll() is None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def wait_for(self, count: int, *, seconds: float = 300.0) -> None:
        """Return when it has taken *count* messages in all."""
        with self._news:
            assert self._news.wait_for(lambda: self.count >= count, seconds), (
                f"{self.count} of {count} messages arrived"
            )

    def _read(self) -> None:
        rest = b""
        assert self._process.stdout
        while octets := os.read(self._process.stdout.fileno(), 65536):
            rest = (rest + octets)[-1000:]
            if found := re.findall(rb"mesg=(\d+)\D", rest):
                with self._news:
                    self.count = int(found[-1])
                    self._news.notify_all()


def with_sbin() -> dict[str, str]:
    """The environment, with the directories of server programs."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
