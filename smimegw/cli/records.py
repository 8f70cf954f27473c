"""``smimegw records``: decision records as evidence."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from smimegw.adapters.logs.open_decisions import open_decisions, recorded_at
from smimegw.adapters.logs.record_chain import BEGINNING, ChainReport, verify
from smimegw.adapters.logs.stored_records import chain_name, lines_of, record_files, records_of
from smimegw.cli.exits import Exit, exits
from smimegw.cli.options import config_option, json_option
from smimegw.config.load import load
from smimegw.errors import UsageError

_WORKED_ON = timedelta(minutes=10)  # longer than any message is


@click.group(epilog="Example: smimegw records verify")
def records() -> None:
    """Check the decision records."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file, what its chain says, and what comes before it."""

    path: Path
    report: ChainReport
    before: str


@records.command("verify")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--tip", metavar="SHA256", help="A tip noted earlier; it must still be in the chain.")
@config_option
@json_option
@exits
def verify_files(files: tuple[Path, ...], tip: str | None, config: Path, as_json: bool) -> Exit:
    """Find the first record that was changed, removed or inserted.

    Without FILES those in the state directory are read.  Each record holds the SHA-256 of the one
    before it; so only the end can be cut off unseen.  Note the tip elsewhere now and then, and
    give it as --tip later.

    \b
    Examples:
      smimegw records verify
      smimegw records verify decisions.jsonl.1 decisions.jsonl --tip 5f0c…
    """
    checked = check_chains(files or _own(config))
    missing = tip is not None and not any(_holds(entry.path, tip) for entry in checked)
    for entry in checked:
        click.echo(json.dumps(_values(entry)) if as_json else _sentence(entry))
    if missing:
        click.echo(f"FAIL  tip {tip}: no record has it any more; the end was cut off", err=True)
    for text in (gaps := chain_gaps(checked)):
        click.echo(f"FAIL  {text}", err=True)
    broken = [entry for entry in checked if entry.report.broken_line]
    return Exit.NO if broken or missing or gaps else Exit.YES


@records.command("unfinished")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@config_option
@json_option
@exits
def unfinished(files: tuple[Path, ...], config: Path, as_json: bool) -> Exit:
    """List decisions of which no outcome is recorded.

    Without FILES those in the state directory are read.  What a process was at when it ended is
    closed by its next start, as aborted or in doubt; so only messages that are being worked on just
    now should stand here.  The exit is 1 when one is older than ten minutes.

    \b
    Examples:
      smimegw records unfinished
      smimegw records unfinished node1/decisions.jsonl node2/decisions.jsonl
    """
    found = open_decisions(records_of(files or _own(config)))
    now = datetime.now(UTC)
    for record in found:
        click.echo(json.dumps(_open_values(record)) if as_json else _open_sentence(record))
    return Exit.NO if any(now - recorded_at(entry) > _WORKED_ON for entry in found) else Exit.YES


def _open_values(record: Mapping[str, Any]) -> dict[str, object]:
    values = {key: record.get(key, "") for key in ("txn", "at", "node", "from", "message_id")}
    recipients = [entry.get("rcpt", "") for entry in record.get("recipients", ())]
    return {"schema": 1, "kind": "records.unfinished", **values, "recipients": recipients}


def _open_sentence(record: Mapping[str, Any]) -> str:
    values = _open_values(record)
    who = " ".join(f"<{entry.get('rcpt', '')}>" for entry in record.get("recipients", ()))
    text = f"{values['txn']}  {values['at']}  from <{values['from']}> to {who}: no outcome"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _own(config: Path) -> Sequence[Path]:
    directory = load(config, check_files=False).gateway.state_directory
    found = record_files(directory)
    if not found:
        raise UsageError(f"{directory} holds no decision records; name the files")
    return found


def check_chains(paths: Sequence[Path]) -> tuple[Checked, ...]:
    """Verify each of *paths*, and find which one goes on where another ends.

    Raises:
        RecordError: A file cannot be read.
    """
    reports = {path: verify(lines_of(path)) for path in paths}
    ends = {report.tip: path for path, report in reports.items() if report.tip}
    return tuple(
        Checked(path, report, _before(path, report, ends)) for path, report in reports.items()
    )


def _before(path: Path, report: ChainReport, ends: dict[str, Path]) -> str:
    if not report.begins:
        return ""
    if report.begins == BEGINNING or report.unchained:
        return "begins the chain"
    before = ends.get(report.begins)
    return f"goes on from {before.name}" if before not in (None, path) else ""


def chain_gaps(checked: Sequence[Checked]) -> list[str]:
    """Chains of which a file in the middle is missing: only the oldest may lack what was before."""
    chains: dict[str, list[Checked]] = defaultdict(list)
    for entry in checked:
        if entry.report.begins and not entry.before:
            chains[chain_name(entry.path)].append(entry)
    for entry in checked:
        if entry.before == "begins the chain" and chain_name(entry.path) in chains:
            chains[chain_name(entry.path)].insert(0, entry)
    return [
        *_same_place(checked),
        *(
            f"{', '.join(entry.path.name for entry in entries)}: records between them are missing"
            for entries in chains.values()
            if len(entries) > 1
        ),
    ]


def _same_place(checked: Sequence[Checked]) -> Iterator[str]:
    """Files of one chain that end with the same record, or go on from the same one."""
    seen: dict[tuple[str, ...], Path] = {}
    for entry in checked:
        name, report = chain_name(entry.path), entry.report
        places = (("after", report.begins), ("until", report.tip))
        keys = [(name, *place) for place in places if place[1] not in {"", BEGINNING}]
        other = next((seen[key] for key in keys if key in seen), None)
        if other is not None:
            text = "have the same place in the chain; one is a copy, or was put there"
            yield f"{other.name}, {entry.path.name}: {text}"
        seen.update((key, entry.path) for key in keys)


def _holds(path: Path, tip: str) -> bool:
    wanted = f'"prev": "{tip}"'.encode()
    return verify(lines_of(path)).tip == tip or any(wanted in line for line in lines_of(path))


def _sentence(entry: Checked) -> str:
    report = entry.report
    if report.broken_line:
        return f"FAIL  {entry.path}:{report.broken_line}: {report.reason}"
    remarks = [
        f"{report.records} records",
        f"{report.unchained} from before there was a chain" if report.unchained else "",
        f"{report.torn} torn by a crash" if report.torn else "",
        entry.before or ("what was before is not here" if report.begins else ""),
        f"tip {report.tip}" if report.tip else "",
    ]
    return f"OK    {entry.path}: {', '.join(filter(None, remarks))}"


def _values(entry: Checked) -> dict[str, object]:
    report = entry.report
    return {
        "schema": 1,
        "kind": "records.verify",
        "file": str(entry.path),
        "ok": not report.broken_line,
        "records": report.records,
        "unchained": report.unchained,
        "torn": report.torn,
        "begins": report.begins,
        "tip": report.tip,
        "before": entry.before,
        "broken_line": report.broken_line,
        "reason": report.reason,
    }
