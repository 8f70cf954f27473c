"""``smimegw trace``: what happened to a message, from the decision records."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from smimegw.adapters.logs.privacy import AddressMask
from smimegw.adapters.logs.stored_records import record_files, records_of
from smimegw.addresses import Mailbox
from smimegw.cli.exits import Exit, exits
from smimegw.cli.options import config_option, json_option
from smimegw.cli.story import Story, tell
from smimegw.config.choices import LogAddresses
from smimegw.config.load import load
from smimegw.errors import AddressError, UsageError
from smimegw.regular_files import SECRET_OCTETS, read_regular

_HASHED = re.compile(r"[0-9a-f]{12}@\S+")
_WORDS = re.compile(r"[^\s<>()\[\],;:=\"']+")
_OF_THE_FILE = frozenset({"prev", "torn"})
_ID_LETTERS = 5  # shorter words in a reply are no queue ids

Wanted = Callable[[Mapping[str, Any]], bool]


@click.command()
@click.argument("what")
@click.option(
    "-r",
    "--records",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file of records or a directory of them, instead of the state directory; repeatable.",
)
@click.option("-n", "--last", default=20, show_default=True, help="At most so many, the newest.")
@config_option
@json_option
@exits
def trace(what: str, files: tuple[Path, ...], last: int, config: Path, as_json: bool) -> Exit:
    """Tell what happened to mail: received, decided, protected, relayed, answered.

    WHAT is a transaction id, an address (also as the log shows it with log.addresses = "hash" or
    "domain"), a Message-ID, or a queue id of the server before or behind us.  Files of several
    nodes may be given together.

    \b
    Examples:
      smimegw trace 4ZkRjG3vXpz2T8
      smimegw trace bob@partner.example -n 3
      smimegw trace '<a1@corp.example>' -r node1/decisions.jsonl -r node2/decisions.jsonl
    """
    places, key = _places(files, config, needs_key=bool(_HASHED.fullmatch(what)))
    stories = find_stories(places, wanted(what, key))
    if not stories:
        click.echo(f"nothing about {what} in {len(places)} files of records", err=True)
        click.echo(
            "records begin with the end of a message's data: what was refused at MAIL or RCPT, or "
            "broke off before, is in the log only (message.refused, session.*)",
            err=True,
        )
        return Exit.NO
    shown = stories[-last:] if last > 0 else stories
    if len(shown) < len(stories):
        click.echo(f"{len(stories) - len(shown)} earlier ones are left out; see -n", err=True)
    for number, story in enumerate(shown):
        if as_json:
            values = {"schema": 1, "kind": "trace", "txn": story.txn, "records": story.records}
            click.echo(json.dumps(values))
            continue
        click.echo("\n" * bool(number) + "\n".join(tell(story)))
    return Exit.YES


def _places(
    files: Sequence[Path], config: Path, *, needs_key: bool
) -> tuple[tuple[Path, ...], bytes]:
    """The files to read, and the key of hashed addresses where one is asked for."""
    if files and not needs_key:
        return _expanded(files), b""
    directory = load(config, check_files=False).gateway.state_directory
    places = _expanded(files) if files else record_files(directory)
    if not places:
        raise UsageError(f"{directory} holds no decision records; name the files with --records")
    keys = directory / "address-hash.key"
    return places, read_regular(keys, SECRET_OCTETS)[:32] if needs_key and keys.exists() else b""


def _expanded(places: Sequence[Path]) -> tuple[Path, ...]:
    found: list[Path] = []
    for place in places:
        inside = record_files(place) if place.is_dir() else (place,)
        if not inside:
            raise UsageError(f"{place} holds no decision records; name the files with --records")
        found += inside
    return tuple(dict.fromkeys(found))


def find_stories(places: Sequence[Path], matches: Wanted) -> list[Story]:
    """Every transaction of which a record matches, with all its records, oldest first.

    Raises:
        RecordError: A file cannot be read.
    """
    wanted_ids = {
        txn for record in records_of(places) if (txn := record.get("txn")) and matches(record)
    }
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    if wanted_ids:
        for record in records_of(places):
            told = {key: value for key, value in record.items() if key not in _OF_THE_FILE}
            # In a second place, or a copy of a file, it is no second delivery.
            if record.get("txn") in wanted_ids and told not in found[record["txn"]]:
                found[record["txn"]].append(told)
    stories = [
        Story(txn=txn, records=sorted(entries, key=lambda entry: str(entry.get("at", ""))))
        for txn, entries in found.items()
    ]
    return sorted(stories, key=lambda story: (story.began, story.txn))


def wanted(what: str, hash_key: bytes = b"") -> Wanted:
    """Whether a record is about *what*: an id, an address in any form, a Message-ID."""
    bare = what.strip().removeprefix("<").removesuffix(">")
    is_address = _address_test(bare, hash_key)

    def matches(record: Mapping[str, Any]) -> bool:
        ids = (
            record.get("txn"),
            record.get("upstream_id"),
            str(record.get("message_id", ""))[1:-1],
        )
        if bare in ids or what == record.get("message_id"):
            return True
        entries = [e for e in record.get("recipients", ()) if isinstance(e, dict)]
        addresses = [record.get("from"), record.get("reverse_path")]
        addresses += [entry.get("rcpt") for entry in entries]
        if any(is_address(address) for address in addresses if address):
            return True
        if len(bare) < _ID_LETTERS or record.get("kind") != "delivery":
            return False
        return any(bare in _WORDS.findall(str(entry.get("reply"))) for entry in entries)

    return matches


def _address_test(bare: str, hash_key: bytes) -> Callable[[str], bool]:
    if "@" not in bare:
        return lambda _: False
    if bare.startswith("*@"):
        mask = AddressMask(LogAddresses.DOMAIN)
        return lambda address: mask(address) == bare.lower()
    try:
        key = Mailbox.parse(bare).key
    except AddressError:
        return lambda _: False
    hidden = AddressMask(LogAddresses.HASH, hash_key) if hash_key else None

    def same(address: str) -> bool:
        if hidden is not None and hidden(address) == bare.lower():
            return True
        try:
            return Mailbox.parse(address).key == key
        except AddressError:
            return False

    return same
