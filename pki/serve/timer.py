"""Makes lists and responders when they are due, in processes of their own.

The network service must not hold a key of the CA.  So now and then it starts the commands that a
timer of the system would start; each opens the key, signs, and is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

_SECONDS = 600.0
_DEADLINE_SECONDS = 300.0
_PROGRAM = (sys.executable, "-c", "from pki.cli import main; main()")
_OPTIONS = ("--no-input", "--quiet")

Report = Callable[[str], None]


@contextlib.asynccontextmanager
async def making_due(
    directory: Path,
    passphrase_file: str,
    commands: Sequence[Sequence[str]],
    report: Report,
    *,
    seconds: float = _SECONDS,
) -> AsyncIterator[None]:
    """Run *commands* of smimegw-ca at once and then every *seconds*, one after the other.

    Args:
        directory: The CA's.
        passphrase_file: Where they read its passphrase.
        commands: Such as ``("crl", "make", "--due")``.
        report: Takes a text for the administrator when one fails.
        seconds: Between two rounds.
    """
    where = (*_OPTIONS, "--directory", str(directory))
    secret = ("--passphrase-file", passphrase_file)

    async def rounds() -> None:
        while True:
            for command in commands:
                trouble = await _run((*_PROGRAM, *command, *where, *secret))
                if trouble:
                    report(f"smimegw-ca {' '.join(command)}: {trouble}")
            await asyncio.sleep(seconds)

    task = asyncio.create_task(rounds())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class AfterEach:
    """Runs one command after something happened; what happens meanwhile is one more run.

    Args:
        directory: The CA's.
        command: Of smimegw-ca; empty runs nothing.
        report: Takes a text for the administrator when it fails.
    """

    def __init__(self, directory: Path, command: Sequence[str], report: Report) -> None:
        self._command = command
        self._line = (*_PROGRAM, *command, *_OPTIONS, "--directory", str(directory))
        self._report = report
        self._wanted = False
        self._ends = False
        self._wake = asyncio.Event()

    def wanted(self) -> None:
        """Something happened."""
        self._wanted = True
        self._wake.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it when wanted; the end waits for the last run."""
        task = asyncio.create_task(self._rounds())
        try:
            yield
        finally:
            self._ends = True
            self._wake.set()
            await task

    async def _rounds(self) -> None:
        while self._wanted or not self._ends:
            await self._wake.wait()
            self._wake.clear()
            if self._wanted:
                self._wanted = False
                await self._round()

    async def _round(self) -> None:
        trouble = await _run(self._line) if self._command else ""
        if trouble:
            self._report(f"smimegw-ca {self._command[0]}: {trouble}")


async def _run(command: Sequence[str]) -> str:
    """Run one command; what it complained about, "" when it did well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
        start_new_session=True,  # a signal to our group is for us: what was begun is finished
    )
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            _, complaint = await process.communicate()
    except TimeoutError:
        return f"took longer than {_DEADLINE_SECONDS:.0f} s and was ended"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ""
    return complaint.decode("utf-8", "replace").strip() or f"exit code {process.returncode}"
