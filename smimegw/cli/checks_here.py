"""The doctor's checks of this machine: files, clock, disk, database, keys, trust and records."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from smimegw.adapters.files.advice import advice
from smimegw.adapters.logs.stored_records import record_files
from smimegw.app import Assembled
from smimegw.cli.checks_keys import keys
from smimegw.cli.finding import Check, Finding, Health
from smimegw.cli.records import chain_gaps, check_chains
from smimegw.config.directories import LDAPDirectory
from smimegw.config.model import Configuration
from smimegw.config.policies import PolicyFolder
from smimegw.config.values import Secret
from smimegw.errors import ConfigurationError, DirectoryError, RecordError
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_ANCHOR_SOON = timedelta(days=90)  # a new root has to reach everybody
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_OCTETS = 256  # more than struct timex has on any machine
_LISTED = 3


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


# --- files ---------------------------------------------------------------------------------------


async def _files(assembled: Assembled) -> Iterable[Finding]:
    directory = assembled.configuration.gateway.state_directory
    found = [*_state(directory), *_secrets(assembled.configuration)]
    return found or [Finding(area="files", what="owner and mode", detail=str(directory))]


def _state(directory: Path) -> Iterator[Finding]:
    try:
        status = directory.stat()
        entries = list(directory.iterdir())
        others = [entry for entry in entries if entry.stat().st_uid != status.st_uid]
    except OSError as error:
        yield Finding(
            area="files",
            what=str(directory),
            health=Health.FAIL,
            detail=str(error.strerror),
            remedy="make it, owned by the gateway's user; run the doctor as that user",
        )
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield Finding(
            area="files",
            what=str(directory),
            health=Health.WARN,
            detail=f"mode {stat.S_IMODE(status.st_mode):04o}: others can look into it",
            remedy=f"chmod 0700 {directory}",
        )
    if others:
        names = ", ".join(sorted(entry.name for entry in others)[:_LISTED])
        yield Finding(
            area="files",
            what=str(directory),
            health=Health.WARN,
            detail=f"{len(others)} files belong to another user than the directory: {names}",
            remedy=f"run commands as the gateway's user; chown -R {status.st_uid} {directory}",
        )


def _secrets(configuration: Configuration) -> Iterator[Finding]:
    for key, secret in _named_secrets(configuration):
        path = secret.path if secret is not None else None
        if path is None or not path.exists():
            continue
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(
                area="files",
                what=key,
                health=Health.WARN,
                detail=f"others can read {path}",
                remedy=f"chmod 0600 {path}",
            )


def _named_secrets(configuration: Configuration) -> Iterator[tuple[str, Secret | None]]:
    yield "keystore.key_encryption_key", configuration.keystore.key_encryption_key
    yield "keystore.passphrase", configuration.keystore.passphrase
    for index, secret in enumerate(configuration.keystore.previous_key_encryption_keys):
        yield f"keystore.previous_key_encryption_keys.{index}", secret
    if configuration.keystore.token is not None:
        yield "keystore.token.pin", configuration.keystore.token.pin
    yield "database.password", configuration.database.password
    for name, listener in configuration.listener.items():
        yield f"listener.{name}.tls.key", listener.tls.key if listener.tls else None
    for entry in configuration.directory:
        if isinstance(entry, LDAPDirectory) and entry.bind:
            yield f"directory {entry.name} bind.password", entry.bind.password


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


# --- trust ---------------------------------------------------------------------------------------


async def _trust(assembled: Assembled) -> Iterable[Finding]:
    now = assembled.ports.clock.now()
    trust = assembled.settings.trust
    if not trust.every_anchor:
        text = "no certificate: nothing can be encrypted, no signature is trusted"
        remedy = "put the root certificates of your CAs there"
        return [
            Finding(
                area="trust", what="trust.anchors", health=Health.FAIL, detail=text, remedy=remedy
            )
        ]
    authorities = dict.fromkeys((*trust.every_anchor, *trust.intermediates))
    return [
        *(_anchor(anchor, now) for anchor in trust.every_anchor),
        *[await _crls(authority, assembled, now) for authority in authorities],
    ]


def _anchor(anchor: Certificate, now: datetime) -> Finding:
    end = anchor.not_after
    health = Health.FAIL if end < now else Health.WARN if end < now + _ANCHOR_SOON else Health.OK
    detail = f"{'ended' if end < now else 'ends'} {end:%Y-%m-%d}"
    remedy = "add its successor to trust.anchors" if health else ""
    return Finding(
        area="trust", what=anchor.subject_text, health=health, detail=detail, remedy=remedy
    )


async def _crls(authority: Certificate, assembled: Assembled, now: datetime) -> Finding:
    """Whether a list of *authority* is at hand, and fresh; what servers have is not fetched."""
    what, trust = f"CRL of {authority.subject_text}", assembled.settings.trust
    try:
        stored = await assembled.ports.authorities.crls(authority.subject_der)
    except DirectoryError as exc:
        return Finding(area="trust", what=what, health=Health.FAIL, detail=str(exc))
    ends = [end for der in (*trust.crls, *stored) if (end := _next_update(der, authority))]
    if not ends:
        fetched = assembled.configuration.revocation.allow_hosts
        if fetched or not trust.require_revocation:
            return Finding(area="trust", what=what, detail="none stored; asked for when needed")
        remedy = "name it in trust.crls, publish it, or allow its server in revocation.allow_hosts"
        text = "none: certificates of this CA are not used (R-05)"
        return Finding(area="trust", what=what, health=Health.WARN, detail=text, remedy=remedy)
    latest = max(ends)
    if latest >= now:
        return Finding(area="trust", what=what, detail=f"next update {latest:%Y-%m-%d %H:%M}Z")
    grace = latest + timedelta(seconds=trust.crl_grace_seconds)
    health = Health.WARN if now < grace else Health.FAIL
    text = f"next update was due {latest:%Y-%m-%d %H:%M}Z, grace ends {grace:%Y-%m-%d %H:%M}Z"
    remedy = "have the CA make and publish a new list (smimegw-ca crl make)"
    return Finding(area="trust", what=what, health=health, detail=text, remedy=remedy)


def _next_update(der: bytes, authority: Certificate) -> datetime | None:
    try:
        found = x509.load_der_x509_crl(der)
        if found.issuer.public_bytes() != authority.subject_der:
            return None
        return found.next_update_utc or datetime.max.replace(tzinfo=UTC)
    except PARSE_ERRORS:
        return None


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
    Check("files", _files),
    Check("host", _host),
    Check("database", _database),
    Check("keys", keys),
    Check("trust", _trust),
    Check("records", _records),
)
