"""``smimegw policy diff``: whom another policy would treat differently, by stored decisions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from smimegw.adapters.logs.stored_records import record_files, records_of
from smimegw.cli.exits import Exit, exits
from smimegw.cli.options import config_option, json_option
from smimegw.config.load import load
from smimegw.config.policies import PolicyFolder
from smimegw.errors import RecordError, UsageError
from smimegw.pipeline.known_facts import known_facts
from smimegw.policy.model import Policy
from smimegw.policy.replay import Answer, Known, ask_again

_LAST = re.compile(r"last-(\d+)([dh])")


@dataclass(frozen=True, slots=True)
class Difference:
    """One recipient of one message whom the two policies treat differently."""

    record: dict[str, Any]
    known: Known
    old: Answer
    new: Answer

    @property
    def change(self) -> str:
        """Such as ``clear→sign-then-encrypt``."""
        if self.old.label == self.new.label:
            return f"{self.new.label}, made differently"
        return f"{self.old.label}→{self.new.label}"


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--on",
    "on",
    multiple=True,
    required=True,
    metavar="RECORDS",
    help="A file of decision records, a directory of them, or last-7d, last-12h; repeatable.",
)
@click.option(
    "-n",
    "--list",
    "listed",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Differences to show.",
)
@config_option
@json_option
@exits
def diff(
    old: Path, new: Path, on: tuple[str, ...], listed: int, config: Path, as_json: bool
) -> Exit:
    """Replay stored decisions through the policies OLD and NEW and show whom NEW treats otherwise.

    A record holds what the policy of its time asked: no Subject, no other header fields, no
    certificate that no rule wanted.  Where a policy asks more, all that may be is shown ("or").
    Sizes, media types and look-ups are those of then; what algorithms are chosen by certificates
    and what old_ciphers opens is not replayed.  Ends with 1 when there are differences.

    \b
    Examples:
      smimegw policy diff /etc/smimegw/policies ./draft --on last-7d
      smimegw policy diff old.toml new.toml --on decisions.jsonl --json
    """
    policies = PolicyFolder(old).parse(), PolicyFolder(new).parse()
    counts: Counter[str] = Counter()
    differences: list[Difference] = []
    for record in _decisions(on, config):
        counts["records"] += 1
        try:
            found = list(_compared(record, *policies))
        except RecordError:
            counts["unknown"] += 1
            continue
        counts["decisions"] += len(found)
        differences += [entry for entry in found if _differs(entry)]
    if as_json:
        for entry in differences:
            click.echo(json.dumps(_values(entry)))
    else:
        for entry in differences[: max(listed, 0)]:
            click.echo(_sentence(entry))
    _summary(counts, differences, listed, as_json=as_json)
    return Exit.NO if differences else Exit.YES


def _decisions(on: Sequence[str], config: Path) -> Iterator[dict[str, Any]]:
    for place in on:
        since = ""
        paths: tuple[Path, ...] = (Path(place),)
        if found := _LAST.fullmatch(place):
            unit = timedelta(days=1) if found[2] == "d" else timedelta(hours=1)
            try:
                since = (datetime.now(UTC) - int(found[1]) * unit).isoformat()
            except OverflowError:
                raise UsageError(f"{place}: nobody has records of so long ago") from None
            paths = record_files(load(config, check_files=False).gateway.state_directory)
        elif Path(place).is_dir():
            paths = record_files(Path(place))
        if not paths:
            raise UsageError(f"{place}: there are no decision records")
        for record in records_of(paths):
            if record.get("kind", "decision") == "decision" and str(record.get("at", "")) >= since:
                yield record


def _compared(record: dict[str, Any], old: Policy, new: Policy) -> Iterator[Difference]:
    for known in known_facts(record):
        yield Difference(record, known, ask_again(old, known), ask_again(new, known))


def _differs(entry: Difference) -> bool:
    return entry.old.fates != entry.new.fates


def _sentence(entry: Difference) -> str:
    sure = "" if entry.old.is_certain and entry.new.is_certain else "  (the record cannot tell)"
    rules = f'"{entry.old.rules[-1]}" → "{entry.new.rules[-1]}"'
    at, txn = str(entry.record.get("at", ""))[:19], entry.record.get("txn", "")
    who = f"<{entry.record.get('from', '')}> to <{entry.known.recipient.address}>"
    text = f"{at}  {txn}  {who}  {entry.change}  {rules}{sure}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _values(entry: Difference) -> dict[str, object]:
    return {
        "schema": 1,
        "kind": "policy.diff",
        "txn": entry.record.get("txn", ""),
        "at": entry.record.get("at", ""),
        "from": entry.record.get("from", ""),
        "rcpt": entry.known.recipient.address,
        "old": sorted({fate.label for fate in entry.old.fates}),
        "new": sorted({fate.label for fate in entry.new.fates}),
        "old_rules": list(entry.old.rules),
        "new_rules": list(entry.new.rules),
        "certain": entry.old.is_certain and entry.new.is_certain,
    }


def _summary(
    counts: Counter[str], differences: Sequence[Difference], listed: int, *, as_json: bool
) -> None:
    changes = Counter(entry.change for entry in differences)
    parts = [f"{counts['decisions'] - len(differences):,} same"]
    parts += [f"{number:,} {change}" for change, number in changes.most_common()]
    if counts["unknown"]:
        parts.append(f"{counts['unknown']:,} records without the facts that rules look at")
    text = f"{counts['records']:,} records, {counts['decisions']:,} decisions: {' · '.join(parts)}"
    click.echo(text, err=as_json)
    if len(differences) > listed and not as_json:
        click.echo(f"{len(differences) - listed:,} differences are not shown; see -n", err=True)
