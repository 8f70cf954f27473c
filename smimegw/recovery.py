"""At the start, explains what processes that ended left in their journals."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from smimegw.adapters.journal.file import FileJournal
from smimegw.app import Assembled
from smimegw.errors import ConfigurationError, JournalError, Problem
from smimegw.pipeline.unfinished import explain

_NUMBERED = re.compile(r"dots-([1-9][0-9]{0,4})\.jsonl")


async def recover(assembled: Assembled, on_failure: Callable[[str], None]) -> None:
    """Explain what the process before left unfinished, before anybody comes again.

    Args:
        assembled: With the journal to be opened.
        on_failure: Called in the event loop when the disk fails later.

    Raises:
        ConfigurationError: The journal belongs to another process, or cannot be used.
    """
    journal = assembled.journal
    try:
        left = await explain(journal.recover(), assembled.ports)
        journal.begin(left)
    except JournalError as exc:
        problem = Problem(
            file="configuration", line=None, key="gateway.state_directory", message=str(exc)
        )
        raise ConfigurationError((problem,)) from exc
    loop = asyncio.get_running_loop()

    def failed(text: str) -> None:  # in the journal's thread
        loop.call_soon_threadsafe(on_failure, text)

    journal.on_failure = failed


async def take_over(assembled: Assembled, workers: int) -> None:
    """Explain the journals of worker processes that do not exist any more: there were more once.

    Args:
        assembled: Whose ports explain.
        workers: How many there are now; their journals are theirs.
    """
    directory = assembled.configuration.gateway.state_directory
    for path in sorted(_abandoned(directory, workers)):
        journal = FileJournal(path)
        try:
            unfinished = journal.recover()
        except JournalError as exc:  # such as one that still drains: the next start takes it over
            assembled.events.emit("journal.error", text=str(exc))
            continue
        try:
            if not await explain(unfinished, assembled.ports):
                path.unlink()
        finally:
            await journal.close()


def _abandoned(directory: Path, workers: int) -> Iterator[Path]:
    for path in directory.glob("dots-*.jsonl"):
        found = _NUMBERED.fullmatch(path.name)
        if found and int(found[1]) > workers:
            yield path
