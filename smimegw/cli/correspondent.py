"""``smimegw correspondent``: what mail taught about those who write to us, and a word on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.addresses import Mailbox
from smimegw.app import own_database
from smimegw.cli.exits import Exit, exits
from smimegw.cli.learned import MEANINGS, lines_of, reads, state_of, values_of
from smimegw.cli.options import config_option, json_option
from smimegw.config.choices import Harvest
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import UsageError
from smimegw.memory import Candidate, CandidateState, Correspondent

T = TypeVar("T")

_LEAST_DIGITS = 8
_NOTHING = "no verified mail has taught anything yet"


@click.group(epilog="Example: smimegw correspondent show bob@partner.example")
def correspondent() -> None:
    """Show what signed mail taught, accept or refuse certificates that came with it.

    Certificates of the configured directories come first; an accepted one is used where they have
    none that is valid. One that contradicts what was known waits until you decide.
    """


@correspondent.command("list")
@click.option("--conflicts", is_flag=True, help="Only those of whom a certificate waits for you.")
@config_option
@json_option
@exits
def list_all(conflicts: bool, config: Path, as_json: bool) -> Exit:
    """List everybody whose signed mail taught something.

    \b
    Examples:
      smimegw correspondent list
      smimegw correspondent list --conflicts
      smimegw correspondent list --json
    """
    configuration = load(config, check_files=False)
    people, learned = _ask(configuration, lambda known: known.everybody())
    known = {person.mailbox_key: person for person in people}
    keys = sorted({*known, *(entry.mailbox_key for entry in learned)})
    grouped = {key: [entry for entry in learned if entry.mailbox_key == key] for key in keys}
    if conflicts:
        keys = [key for key in keys if any(entry.is_conflict for entry in grouped[key])]
    if as_json:
        entries = [values_of(key, known.get(key), grouped[key]) for key in keys]
        click.echo(
            json.dumps({"schema": 1, "kind": "correspondent.list", "correspondents": entries})
        )
        return Exit.YES
    for key in keys:
        states = ", ".join(state_of(entry) for entry in grouped[key]) or "no certificate"
        click.echo(f"{key}  {reads(known.get(key))}  {states}")
    if not keys:
        nothing = "no certificate waits for you" if conflicts else _NOTHING
        click.echo(f"none: {nothing}")
    return Exit.YES


@correspondent.command()
@click.argument("address")
@config_option
@json_option
@exits
def show(address: str, config: Path, as_json: bool) -> Exit:
    """Show what is known of ADDRESS: algorithms and certificates, with their history.

    \b
    Examples:
      smimegw correspondent show bob@partner.example
      smimegw correspondent show bob@partner.example --json
    """
    configuration = load(config, check_files=False)
    mailbox = Mailbox.parse(address)
    person, learned = _known(configuration, mailbox)
    if as_json:
        values = values_of(mailbox.key, person, learned)
        click.echo(json.dumps({"schema": 1, "kind": "correspondent.show", **values}))
    else:
        for line in lines_of(person, learned, configuration.memory.harvest):
            click.echo(line)
    return Exit.YES if person or learned else Exit.NO


@correspondent.command()
@click.argument("address")
@click.argument("fingerprint", required=False, default="")
@config_option
@exits
def accept(address: str, fingerprint: str, config: Path) -> Exit:
    """Let mail to ADDRESS be encrypted to a certificate that came with his mail.

    Compare the fingerprint with its owner first, by telephone or on paper. FINGERPRINT, or its
    first eight digits, is needed when there are several.

    \b
    Examples:
      smimegw correspondent accept bob@partner.example
      smimegw correspondent accept bob@partner.example 3f0a77c1
    """
    return _decide(address, fingerprint, config, CandidateState.ACCEPTED)


@correspondent.command()
@click.argument("address")
@click.argument("fingerprint", required=False, default="")
@config_option
@exits
def refuse(address: str, fingerprint: str, config: Path) -> Exit:
    """Never encrypt mail to ADDRESS to a certificate that came with his mail.

    It holds for this certificate, also when it comes again; `accept` takes it back.

    \b
    Examples:
      smimegw correspondent refuse bob@partner.example
      smimegw correspondent refuse bob@partner.example 3f0a77c1
    """
    return _decide(address, fingerprint, config, CandidateState.REFUSED)


@correspondent.command()
@click.argument("address", required=False, default="")
@click.argument("fingerprint", required=False, default="")
@config_option
@exits
def expire(address: str, fingerprint: str, config: Path) -> Exit:
    """Forget a certificate of ADDRESS, or without ADDRESS all that have ended.

    One that comes with mail again is a candidate again; what was decided on it is forgotten too.
    Ended ones go by themselves after memory.keep.

    \b
    Examples:
      smimegw correspondent expire
      smimegw correspondent expire bob@partner.example 3f0a77c1
    """
    configuration = load(config, check_files=False)
    if address:
        mailbox = Mailbox.parse(address)
        old = [_chosen(_known(configuration, mailbox)[1], fingerprint, mailbox)]
    else:
        now = datetime.now(UTC)
        _, learned = _ask(configuration, lambda known: known.everybody())
        old = [entry for entry in learned if entry.certificate.not_after < now]

    async def forget(known: DatabaseCorrespondents) -> None:
        for entry in old:
            await known.expire(Mailbox.parse(entry.mailbox_key), entry.certificate.fingerprint)

    _ask(configuration, forget)
    for entry in old:
        click.echo(f"forgotten: {entry.mailbox_key}  {entry.certificate.fingerprint}")
    if not old:
        click.echo("none: no certificate that came with mail has ended")
    return Exit.YES


def _decide(address: str, fingerprint: str, config: Path, state: CandidateState) -> Exit:
    configuration = load(config, check_files=False)
    mailbox = Mailbox.parse(address)
    _, learned = _known(configuration, mailbox)
    chosen = _chosen(learned, fingerprint, mailbox)
    found = chosen.certificate.fingerprint
    if not _ask(configuration, lambda known: known.decide(mailbox, found, state)):
        raise UsageError(f"{found} was forgotten just now; look again with: show {mailbox.key}")
    click.echo(f"{MEANINGS[state]}: {found}  {chosen.certificate.subject_text}")
    if configuration.memory.harvest is Harvest.OFF and state is CandidateState.ACCEPTED:
        click.echo('memory.harvest is "off": nothing that came with mail is used', err=True)
    return Exit.YES


def _chosen(learned: Sequence[Candidate], fingerprint: str, mailbox: Mailbox) -> Candidate:
    digits = fingerprint.lower().replace(":", "").removeprefix("sha256")
    if fingerprint and len(digits) < _LEAST_DIGITS:
        raise UsageError(f"{fingerprint!r} is too short; write at least {_LEAST_DIGITS} digits")
    matching = [e for e in learned if e.certificate.fingerprint.startswith(f"sha256:{digits}")]
    if len(matching) == 1:
        return matching[0]
    if not learned:
        raise UsageError(f"no certificate came with verified mail of {mailbox.key} yet")
    choice = ", ".join(entry.certificate.fingerprint[:23] for entry in learned)
    what = "several certificates" if matching else f"no certificate {fingerprint}"
    raise UsageError(f"{mailbox.key} has {what}; name one of: {choice}")


def _known(
    configuration: Configuration, mailbox: Mailbox
) -> tuple[Correspondent | None, tuple[Candidate, ...]]:
    async def work(
        known: DatabaseCorrespondents,
    ) -> tuple[Correspondent | None, tuple[Candidate, ...]]:
        return (await known.find([mailbox])).get(mailbox.key), await known.candidates(mailbox)

    return _ask(configuration, work)


def _ask(
    configuration: Configuration, question: Callable[[DatabaseCorrespondents], Awaitable[T]]
) -> T:
    """Open the database that is there; a question makes none.

    Raises:
        UsageError: There is none yet.
        DatabaseError: It does not answer.
    """
    location = configuration.database_location
    if "://" not in location and not Path(location).exists():
        raise UsageError(f"there is no database {location} yet; has the gateway run?")

    async def work() -> T:
        database = own_database(configuration)
        try:
            return await question(DatabaseCorrespondents(database, limits=configuration.limits))
        finally:
            await database.close()

    return asyncio.run(work())
