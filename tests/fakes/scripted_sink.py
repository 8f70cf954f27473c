"""A sink that misbehaves as a script says: other replies, silence, closing, garbage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from smimegw.adapters.smtp.sink import Sink

CLOSE = b""
HANG = None
Step = str | bytes | None


class ScriptedSink(Sink):
    """Takes the next entry of ``script[step]`` for each reply; without one it behaves.

    An entry is a reply line, octets as they are, `CLOSE` or `HANG`.  Steps are verbs, ``CONNECT``
    and ``DOT``.
    """

    def __init__(self, script: Mapping[str, Sequence[Step]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.script = {step: list(entries) for step, entries in (script or {}).items()}
        self.steps: list[str] = []

    async def reply_to(self, step: str, usual: str) -> bytes:
        self.steps.append(step)
        entries = self.script.get(step)
        if not entries:
            return await super().reply_to(step, usual)
        entry = entries.pop(0)
        if entry is HANG:
            await asyncio.Event().wait()
        return f"{entry}\r\n".encode() if isinstance(entry, str) else entry or b""


@contextlib.asynccontextmanager
async def scripted_sink(
    script: Mapping[str, Sequence[Step]] | None = None, **options: Any
) -> AsyncIterator[ScriptedSink]:
    """Run one for the time of a test."""
    sink = ScriptedSink(script, **options)
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()
