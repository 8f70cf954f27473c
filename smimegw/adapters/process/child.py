"""One worker process, as its supervisor sees it: started, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from smimegw.adapters.process.channel import (
    BEAT_SECONDS,
    LINE_OCTETS,
    Order,
    Report,
    order_octets,
    parse_report,
)
from smimegw.limits import Limits

_ABORT_SECONDS = 2.0  # for the places in the log where its threads stand
_NOT_FOR_WORKERS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # the supervisor's matter


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a worker process ended.

    Attributes:
        reason: ``exit``, ``signal`` or ``hung``.
        text: For the log.
        code: Its own exit code, or 1.
        pid: Its process id.
    """

    reason: str
    text: str
    code: int
    pid: int


class Child:
    """One worker process."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: Limits,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._silent_seconds = 0.0
        self._heard = False
        self._hung = False
        self._failure: Report | None = None
        self.has_begun = False
        self.ready = asyncio.Event()
        """It lets clients in."""
        self.reloads = 0
        """How often it has read policy and trust again."""
        self.last = Report(what="beat", reasons=("starting",))
        """The newest report that has a condition."""

    @classmethod
    async def start(cls, module: str, limits: Limits) -> Self:
        """Start a process of its own that runs *module*, loads it, and waits for its order.

        It is not forked: a copy of a process with threads and open connections is not to be
        trusted (and keys in hardware do not survive it).

        Raises:
            OSError: The system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the directory we happen to be in
                "-m",
                module,
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env={key: text for key, text in os.environ.items() if key not in _NOT_FOR_WORKERS},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_OCTETS)
        return cls(process, reader, writer, limits)

    def begin(self, order: Order) -> None:
        """Let it work by *order*; `watch` it from now on."""
        self._writer.write(order_octets(order))
        self.has_begun = True

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def watch(self, told: Callable[[Report], None]) -> End:
        """Return when the process has ended; end it when it hangs.

        Args:
            told: Called for every report.
        """
        listening = asyncio.create_task(self._listen(told))
        ended = asyncio.create_task(self._process.wait())
        try:
            # Turns are counted, not time: a machine that slept must not find everybody hanging.
            while not (await asyncio.wait({ended}, timeout=BEAT_SECONDS))[0]:
                self._silent_seconds += BEAT_SECONDS
                if self._silent_seconds > self._patience() and not self._hung:
                    self._hung = True
                    await self._abort(ended)
            await asyncio.wait({listening}, timeout=BEAT_SECONDS)  # its last words
        finally:
            listening.cancel()
            ended.cancel()
            self._writer.close()
        return self._end()

    def say(self, word: str) -> None:
        """Give a word: ``stop`` or ``reload``; one that has not begun needs none."""
        if self.has_begun and not self._writer.transport.is_closing():
            self._writer.write(word.encode() + b"\n")

    def kill(self) -> None:
        """End it without warning."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _listen(self, told: Callable[[Report], None]) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: a line that never ends
            async for line in self._reader:
                try:
                    report = parse_report(line)
                except ValueError:  # a library that writes where it should not
                    continue
                self._silent_seconds, self._heard = 0.0, True
                if report.what == "failed":
                    self._failure = report
                    continue
                self.last = report
                self.reloads += report.what == "reloaded"
                if report.what == "ready":
                    self.ready.set()
                told(report)

    def _patience(self) -> float:
        limits = self._limits
        return limits.worker_silence_seconds if self._heard else limits.worker_start_seconds

    async def _abort(self, ended: asyncio.Task[int]) -> None:
        """Let it say where its threads stand, if it still can, and end it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGABRT)
        await asyncio.wait({ended}, timeout=_ABORT_SECONDS)
        self.kill()

    def _end(self) -> End:
        code = self._process.returncode or 0
        if self._hung:
            silence = f"no sign of life for {self._patience():g} s"
            return End(reason="hung", text=silence, code=1, pid=self.pid)
        if code < 0:
            name = signal.Signals(-code).name
            return End(reason="signal", text=f"ended by {name}", code=1, pid=self.pid)
        text = self._failure.text if self._failure else f"ended with exit code {code}"
        return End(reason="exit", text=text, code=code, pid=self.pid)
