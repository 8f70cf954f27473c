"""A key agent in a thread of its own, for tests that ask it as a gateway does."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from smimegw.adapters.agent.server import AgentKeys, AgentSettings, KeyAgent


class RunningAgent:
    """Serves *keys* on *path* until the end of the with statement."""

    def __init__(
        self, keys: AgentKeys, path: Path, *, users: frozenset[int] | None = None, **more: float
    ) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []
        who = frozenset({os.geteuid()}) if users is None else users
        settings = AgentSettings(path=path, users=who, **more)
        self._agent = KeyAgent(keys, settings, self)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def emit(self, event: str, **values: object) -> None:
        """Implements `Events`."""
        self.told.append((event, values))

    @property
    def refusals(self) -> list[str]:
        """Why it sent somebody away."""
        return [str(values["text"]) for event, values in self.told if event == "agent.refused"]

    def replace(self, keys: AgentKeys, users: frozenset[int]) -> None:
        """Reload."""
        self._loop.call_soon_threadsafe(self._agent.replace, keys, users)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._agent.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._agent.stop())
        self._run(self._rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _rest(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
