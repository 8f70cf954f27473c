"""``smimegw doctor``: is everything well, and if not, what is to be done."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from smimegw.adapters.logs.events import LoggedEvents
from smimegw.addresses import Mailbox
from smimegw.app import assemble
from smimegw.cli.checks_around import Surroundings
from smimegw.cli.checks_here import CHECKS
from smimegw.cli.exits import Exit, exits
from smimegw.cli.finding import Check, Finding, Health
from smimegw.cli.options import config_option, json_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import ConfigurationError, SmimegwError, UsageError

_AREAS = tuple(check.area for check in (*CHECKS, *Surroundings().checks))
_CHECK_SECONDS = 60.0
_WIDTH = 44
_EXITS = {Health.OK: Exit.YES, Health.WARN: Exit.WARNINGS, Health.FAIL: Exit.NO}
_NAGIOS = {Health.OK: "OK", Health.WARN: "WARNING", Health.FAIL: "CRITICAL"}


@click.command()
@click.argument("areas", nargs=-1, metavar="[AREA]...")
@click.option("--sample", metavar="ADDRESS", help="Somebody whose certificate must be found.")
@click.option("--nagios", is_flag=True, help="One line and the exit codes of monitoring plugins.")
@config_option
@json_option
@exits
def doctor(
    areas: tuple[str, ...], sample: str | None, nagios: bool, config: Path, as_json: bool
) -> Exit:
    """Look at everything the gateway needs and say OK, WARN or FAIL, and what to do.

    AREA is one of: config, policy, files, host, database, keys, trust, records, directory,
    revocation, next-hop, listener.  Nothing is changed and no mail is sent.  Run it as the
    gateway's user.  Ends with 0 when all is well, 3 after a WARN, 1 after a FAIL.

    \b
    Examples:
      smimegw doctor
      smimegw doctor directory trust --sample bob@partner.example
      smimegw doctor --nagios
    """
    for area in areas:
        if area not in _AREAS:
            raise UsageError(f'there is no area "{area}"; there are: {", ".join(_AREAS)}')
    wanted = Mailbox.parse(sample) if sample else None
    findings = examine(config, areas or _AREAS, wanted)
    worst = max((finding.health for finding in findings), default=Health.OK)
    if nagios:
        click.echo(_nagios(findings, worst))
        return Exit(int(worst))  # 0, 1 and 2 of the plugins, whatever ours are called
    for finding in findings:
        click.echo(json.dumps(_values(finding)) if as_json else _lines(finding))
    if not as_json:
        counts = Counter(finding.health for finding in findings)
        click.echo(" · ".join(f"{counts[health]} {health.name}" for health in Health))
    return _EXITS[worst]


def examine(config: Path, areas: Sequence[str], sample: Mailbox | None) -> tuple[Finding, ...]:
    """What is found in *areas*; a configuration that does not load is all that is said."""
    try:
        configuration = load(config)
    except ConfigurationError as exc:
        remedy = "correct it; a running gateway goes on with what it read at its start"
        return _all_of(exc, "config", str(config), remedy)
    try:
        return asyncio.run(_examine(configuration, areas, sample))
    except ConfigurationError as exc:
        # Such as a database that is down, which is no mistake in a file.
        remedy = "nothing else could be looked at; a gateway would not start now, one that runs may"
        return _all_of(exc, "start", "gateway", f"{remedy} go on")


def _all_of(error: ConfigurationError, area: str, what: str, remedy: str) -> tuple[Finding, ...]:
    return tuple(
        Finding(area=area, what=what, health=Health.FAIL, detail=str(problem), remedy=remedy)
        for problem in error.problems
    )


async def _examine(
    configuration: Configuration, areas: Sequence[str], sample: Mailbox | None
) -> tuple[Finding, ...]:
    assembled = assemble(configuration, events=LoggedEvents(stream=io.StringIO()))
    checks = (*CHECKS, *Surroundings(sample).checks)
    found: list[Finding] = []
    try:
        for check in checks:
            if check.area not in areas:
                continue
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    found += await check.examine(assembled)
            except Exception as exc:  # noqa: BLE001 – the other areas are looked at all the same
                found.append(_failed(check, exc))
    finally:
        await assembled.close()
    return tuple(found)


def _failed(check: Check, error: Exception) -> Finding:
    """Texts of our own errors are for people; others may hold anything."""
    known = isinstance(error, (SmimegwError, OSError))
    detail = str(error) if known and str(error) else type(error).__name__
    return Finding(area=check.area, what="examination", health=Health.FAIL, detail=detail)


def _lines(finding: Finding) -> str:
    line = f"{finding.area:<11} {finding.what:<{_WIDTH}} {finding.health.name:<5} {finding.detail}"
    lines = [line.rstrip()]
    if finding.remedy:
        lines.append(f"{'':<{_WIDTH + 18}} → {finding.remedy}")
    return "\n".join("".join(c if c.isprintable() else "?" for c in entry) for entry in lines)


def _nagios(findings: Sequence[Finding], worst: Health) -> str:
    bad = [f"{entry.area}: {entry.detail}" for entry in findings if entry.health is worst]
    text = "; ".join(bad) if worst else f"{len(findings)} checks"
    text = text.replace("|", "/").replace("\n", " ")  # what follows a bar is performance data
    return f"SMIMEGW {_NAGIOS[worst]} - {text}"


def _values(finding: Finding) -> dict[str, object]:
    return {
        "schema": 1,
        "kind": "doctor",
        "at": datetime.now(UTC).isoformat(),
        "area": finding.area,
        "what": finding.what,
        "health": finding.health.name,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }
