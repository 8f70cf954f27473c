"""At the start, explains what processes that ended left in their journals."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from smimegw.adapters.journal.file import FileJournal
from smimegw.adapters.logs.open_decisions import newest_records, open_decisions
from smimegw.app import Assembled
from smimegw.errors import ConfigurationError, JournalError, LedgerError, Problem, RecordError
from smimegw.pipeline.decision_record import note_aborted
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
        await _close_decisions(assembled.decisions, assembled)
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
            left = await explain(unfinished, assembled.ports)
            await _close_decisions(
                path.with_name(path.name.replace("dots", "decisions")), assembled
            )
            if not left:
                path.unlink()
        finally:
            await journal.close()


async def _close_decisions(path: Path, assembled: Assembled) -> None:
    """Record of what was decided and never tried that it was aborted (C06).

    Dots that were tried have their line in the journal, and by now an outcome in the records.
    """
    try:
        found = open_decisions(newest_records(path))
    except RecordError as exc:
        assembled.events.emit("record.error", text=str(exc), code="R-20")
        return
    if found:
        with contextlib.suppress(LedgerError):  # then their claims end by themselves
            await assembled.ports.ledger.release_all([str(record["txn"]) for record in found])
    for record in found:
        txn, addresses = str(record["txn"]), [str(r["rcpt"]) for r in record["recipients"]]
        note_aborted(txn, addresses, "crash", assembled.ports, assembled.settings)
        assembled.events.emit(
            "record.aborted",
            txn=txn,
            **{"from": record.get("from", ""), "to": ",".join(addresses)},
            text="decided when the process ended, and not sent; the client comes again",
        )


def _abandoned(directory: Path, workers: int) -> Iterator[Path]:
    for path in directory.glob("dots-*.jsonl"):
        found = _NUMBERED.fullmatch(path.name)
        if found and int(found[1]) > workers:
            yield path
