"""The doctor's checks of this machine: files, clock, disk, database, keys, trust and records."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from smimegw.adapters.files.advice import advice
from smimegw.adapters.logs.stored_records import record_files
from smimegw.app import Assembled
from smimegw.cli.checks_files import files
from smimegw.cli.checks_keys import keys
from smimegw.cli.checks_trust import trust_anchors
from smimegw.cli.finding import Check, Finding, Health
from smimegw.cli.records import chain_gaps, check_chains
from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError, RecordError

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_OCTETS = 256  # more than struct timex has on any machine


async def _configuration(assembled: Assembled) -> Iterable[Finding]:
    configuration = assembled.configuration
    count = f"{len(configuration.listener)} listeners, {len(configuration.next_hop)} next hops"
    anchors = assembled.settings.trust.anchors
    now = assembled.ports.clock.now()
    return (
        Finding(area="config", what="files", detail=count),
        *(
            Finding(area="config", what="advice", health=Health.WARN, detail=sentence)
            for sentence in advice(configuration, anchors, now=now)
        ),
    )


async def _policy(assembled: Assembled) -> Iterable[Finding]:
    policies = assembled.configuration.policies
    path = policies.path
    try:
        policy = PolicyFolder.configured(policies).load()
    except ConfigurationError as exc:
        return [
            Finding(
                area="policy",
                what=str(path),
                health=Health.FAIL,
                detail=str(problem),
                remedy="a running gateway keeps its policy; see: smimegw policy check",
            )
            for problem in exc.problems
        ]
    detail = f"{len(policy.rules)} rules, {len(policy.cases)} cases passed"
    good = Finding(area="policy", what=str(path), detail=detail)
    warnings = (
        Finding(area="policy", what=str(path), health=Health.WARN, detail=text)
        for text in policy.warnings
    )
    return (good, *warnings)


# --- the machine ---------------------------------------------------------------------------------


async def _host(assembled: Assembled) -> Iterable[Finding]:
    trouble = assembled.ports.host.trouble()
    if trouble is not None:
        what = "clock" if trouble.row == "R-24" else "disk"
        text = f"{trouble.text} ({trouble.row})"
        return [Finding(area="host", what=what, health=Health.FAIL, detail=text)]
    directory = assembled.configuration.gateway.state_directory
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize >> 20
    disk = Finding(area="host", what="disk", detail=f"{free:,} MiB free at {directory}")
    return [disk, _clock(assembled.ports.clock.now())]


def _clock(now: datetime) -> Finding:
    state = _kernel_clock()
    if state == _TIME_ERROR:
        return Finding(
            area="host",
            what="clock",
            health=Health.WARN,
            detail=f"{now:%Y-%m-%d %H:%M:%S}Z, and nothing keeps it right",
            remedy="certificates are judged by it: run chrony or systemd-timesyncd",
        )
    known = "synchronised" if state >= 0 else "the kernel does not tell whether it is right"
    return Finding(area="host", what="clock", detail=f"{now:%Y-%m-%d %H:%M:%S}Z, {known}")


def _kernel_clock() -> int:
    """The state that adjtimex(2) returns when nothing is to be changed; -1 when it cannot."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS)))
    except (OSError, AttributeError):
        return -1


async def _database(assembled: Assembled) -> Iterable[Finding]:
    location = assembled.configuration.database_location
    trouble = await assembled.database.probe()
    if not trouble:
        return [Finding(area="database", what=location, detail="answers")]
    remedy = "mail that needs it waits (R-22); start the server, or look at database.url"
    return [
        Finding(area="database", what=location, health=Health.FAIL, detail=trouble, remedy=remedy)
    ]


# --- records -------------------------------------------------------------------------------------


async def _records(assembled: Assembled) -> Iterable[Finding]:
    configuration = assembled.configuration
    places = (configuration.gateway.state_directory, configuration.records.second_directory)
    return [finding for place in places if place is not None for finding in _chain(place)]


def _chain(directory: Path) -> Iterable[Finding]:
    try:
        checked = check_chains(record_files(directory))
    except RecordError as exc:
        return [Finding(area="records", what=str(directory), health=Health.FAIL, detail=str(exc))]
    remedy = "see smimegw records verify, and who can write there"
    broken = [
        Finding(
            area="records",
            what=entry.path.name,
            health=Health.FAIL,
            detail=f"line {entry.report.broken_line}: {entry.report.reason}",
            remedy=remedy,
        )
        for entry in checked
        if entry.report.broken_line
    ]
    broken += [
        Finding(area="records", what="files", health=Health.FAIL, detail=text, remedy=remedy)
        for text in chain_gaps(checked)
    ]
    count = sum(entry.report.records for entry in checked)
    return broken or [Finding(area="records", what="chain", detail=f"{count:,} records verified")]


CHECKS = (
    Check("config", _configuration),
    Check("policy", _policy),
    Check("files", files),
    Check("host", _host),
    Check("database", _database),
    Check("keys", keys),
    Check("trust", trust_anchors),
    Check("records", _records),
)
