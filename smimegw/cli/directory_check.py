"""``smimegw directory check``: whether the directories hold what the gateway needs of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import click

from smimegw.adapters.ldap.survey import Grade, Observation, survey
from smimegw.addresses import Mailbox
from smimegw.app import own_database
from smimegw.cli.exits import Exit, exits
from smimegw.cli.options import config_option, json_option
from smimegw.config.directories import Directory, EmbeddedDirectory, LDAPDirectory
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.directories import ldap_settings, open_directory
from smimegw.errors import ConfigurationError, DirectoryError, UsageError

_WORDS = {Grade.GOOD: "OK", Grade.ODD: "WARN", Grade.BAD: "FAIL"}


@click.command()
@click.argument("address", required=False)
@click.option("--name", "only", metavar="NAME", help="Only the directory of this name.")
@config_option
@json_option
@exits
def check(address: str | None, only: str | None, config: Path, as_json: bool) -> Exit:
    """Look at the directories as the gateway uses them, and as outsiders may.

    Of each LDAP server: bind, TLS, base, how fast it knows that somebody is not there (index), CA
    certificates and revocation lists, and whether anybody may list addresses; of ADDRESS, somebody
    who should be found, the values. Exit 3 with warnings, 4 when a directory cannot be used.

    \b
    Examples:
      smimegw directory check alice@corp.example
      smimegw directory check --name staff --json
    """
    configuration = load(config, check_files=False)
    sample = Mailbox.parse(address) if address else None
    entries = [entry for entry in configuration.directories if only in (None, entry.name)]
    if not entries:
        known = ", ".join(entry.name for entry in configuration.directories)
        raise UsageError(f"no directory is called {only!r}; there are: {known}")
    worst = Exit.YES
    for entry in entries:
        for place, seen in _look(entry, configuration, sample):
            click.echo(_values(place, seen) if as_json else _lines(place, seen))
            worst = max(worst, _exit(seen.grade))
    return worst


def _look(
    entry: Directory, configuration: Configuration, sample: Mailbox | None
) -> Iterator[tuple[str, Observation]]:
    name = f"{entry.kind}:{entry.name}"
    domains = () if isinstance(entry, EmbeddedDirectory) else entry.domains
    if sample and domains and not any(rule.matches(sample.domain) for rule in domains):
        detail = f"is asked about {', '.join(map(str, domains))} only"
        yield name, Observation(what=f"<{sample.address}>", detail=detail)
        sample = None
    if not isinstance(entry, LDAPDirectory):
        yield name, asyncio.run(_ask(entry, configuration, sample))
        return
    settings = ldap_settings(entry)
    for server in settings.servers:
        for seen in survey(server, settings, sample):
            yield f"{name} {server}", seen


async def _ask(
    entry: Directory, configuration: Configuration, sample: Mailbox | None
) -> Observation:
    """Ask a directory of another kind for somebody."""
    wanted = sample or Mailbox.parse(f"postmaster@{_some_domain(entry, configuration)}")
    database = own_database(configuration)
    try:
        directory = open_directory(entry, configuration, database)
        try:
            found = await directory.find(wanted)
        finally:
            await directory.close()
    except (DirectoryError, ConfigurationError) as error:
        remedy = "mail to people who are looked for there waits (R-06)"
        return Observation(what="search", grade=Grade.BAD, detail=str(error), remedy=remedy)
    finally:
        await database.close()
    if sample and not found:
        remedy = f"is that right? smimegw directory find {wanted.address}"
        return Observation(
            what=f"<{wanted.address}>", grade=Grade.ODD, detail="no certificate", remedy=remedy
        )
    return Observation(what=f"<{wanted.address}>", detail=f"{len(found)} certificates")


def _some_domain(entry: Directory, configuration: Configuration) -> str:
    """One that it may be asked about."""
    rules = () if isinstance(entry, EmbeddedDirectory) else entry.domains
    named = [str(rule.domain) for rule in rules if rule.domain]
    return named[0] if named else str(configuration.gateway.internal_domains[0])


def _exit(grade: Grade) -> Exit:
    return {Grade.GOOD: Exit.YES, Grade.ODD: Exit.WARNINGS, Grade.BAD: Exit.CANNOT_TELL}[grade]


def _lines(place: str, seen: Observation) -> str:
    lines = [f"{_WORDS[seen.grade]:<5} {place}  {seen.what}: {seen.detail}"]
    if seen.remedy:
        lines.append(f"      → {seen.remedy}")
    # what a directory says is shown to a terminal
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _values(place: str, seen: Observation) -> str:
    return json.dumps(
        {
            "schema": 1,
            "kind": "directory.check",
            "directory": place,
            "what": seen.what,
            "health": _WORDS[seen.grade],
            "detail": seen.detail,
            "remedy": seen.remedy,
        }
    )
