"""`smimegw-ca status` and `ledger`: the CA as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import click

from pki import approval, crl_schedule, installing, opening, responder
from pki.certified import Certified, IssuerName, Listed, current
from pki.chain import START
from pki.cli.program import WARNINGS
from pki.cli.shell import Json, Shell, common_options, examples, table
from pki.export import fingerprint
from pki.home import Home
from pki.places import ROOT
from pki.serial_numbers import serial_text
from smimegw.errors import UsageError

_NEARLY_OVER = timedelta(days=30)


@click.command(
    epilog=examples("smimegw-ca status", "smimegw-ca status -d /srv/ca --json"),
)
@common_options
@click.pass_obj
def status(shell: Shell) -> None:
    """Show the CA, what ends soon and whether the CRLs are fresh; exit 3 when something is due."""
    with opening.reading(shell.directory) as opened:
        state = _state(opened, shell)
    shell.answer(table(_rows(state)), **_members(state))
    for warning in state.warnings:
        shell.warn(warning)
    if state.warnings:
        click.get_current_context().exit(WARNINGS)
    shell.suggest("smimegw-ca list")


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What `status` tells."""

    own: dict[IssuerName, Certified]
    crls: dict[IssuerName, Listed]
    domains: tuple[str, ...]
    issued: dict[str, int]
    entries: int
    head: bytes
    warnings: tuple[str, ...]


def _state(opened: Home, shell: Shell) -> _State:
    register = opened.register
    people = [item for item in register.certificates() if item.mailbox]
    entries, head = register.ledger.verify()
    return _State(
        own={name: opened.authority(name) for name in opened.issuers},
        crls={name: last for name in opened.issuers if (last := register.last_crl(name))},
        domains=opened.settings.domains,
        issued={
            word: sum(item.status(shell.now) == word for item in people)
            for word in ("valid", "expired", "revoked", "held")
        },
        entries=entries,
        head=head,
        warnings=tuple(_warnings(opened, shell)),
    )


def _rows(state: _State) -> list[tuple[str, str]]:
    """For people."""
    rows = [
        (
            f"{name} CA",
            f"{item.certificate.subject.rfc4514_string()}, ends {item.not_after:%Y-%m-%d}",
        )
        for name, item in state.own.items()
    ]
    rows += [(f"{name} certificate", fingerprint(item)) for name, item in state.own.items()]
    rows += [
        (f"{name} CRL", f"number {last.number}, next update {last.next_update:%Y-%m-%d %H:%M}Z")
        for name, last in state.crls.items()
    ]
    return [
        *rows,
        ("domains", ", ".join(state.domains) or "any"),
        ("issued", ", ".join(f"{count} {word}" for word, count in state.issued.items())),
        ("ledger", f"{state.entries} entries, head {state.head.hex()}"),
    ]


def _members(state: _State) -> Json:
    """For scripts."""
    return {
        "kind": "status",
        "authorities": {
            name: {
                "subject": item.certificate.subject.rfc4514_string(),
                "serial": serial_text(item.serial),
                "fingerprint": fingerprint(item),
                "not_after": item.not_after.isoformat(),
            }
            for name, item in state.own.items()
        },
        "crls": {
            name: {"number": last.number, "next_update": last.next_update.isoformat()}
            for name, last in state.crls.items()
        },
        "issued": state.issued,
        "ledger": {"entries": state.entries, "head": state.head.hex()},
        "warnings": list(state.warnings),
    }


def _warnings(opened: Home, shell: Shell) -> list[str]:
    warnings = [
        f"the {place} CA waits for its certificate → have {opened.request_path(place)} signed at "
        "the root (smimegw-ca root sign), then: smimegw-ca install FILE"
        for place in installing.waiting(opened)
    ]
    for name in opened.listing(now=shell.now):
        warnings += _about(opened, name, shell)
    waiting = approval.waiting(opened, now=shell.now)
    if waiting:
        warnings.append(f"{len(waiting)} requests wait → smimegw-ca request list")
    ending = [
        item
        for item in current(opened.register.certificates())
        if shell.now <= item.not_after < shell.now + _NEARLY_OVER
    ]
    if ending:
        warnings.append(
            f"{len(ending)} certificates end within 30 days → smimegw-ca list --expires-in 30d"
        )
    return warnings


def _about(opened: Home, name: IssuerName, shell: Shell) -> Iterator[str]:
    """What is to be done about one CA."""
    end = opened.authority(name).not_after
    if end - shell.now < timedelta(days=opened.settings.mailbox_days):
        plan = "plan a new root" if name == ROOT else "smimegw-ca rollover"
        yield (
            f"the {name} CA ends on {end:%Y-%m-%d}, before a certificate issued today would "
            f"→ {plan}"
        )
    make = _make_crl(opened, name)
    if last := opened.register.last_crl(name):
        until = f"{last.next_update:%Y-%m-%d %H:%M}Z"
        if last.next_update <= shell.now:
            yield f"the {name} CRL is out of date since {until} → {make}"
        elif name == ROOT and _ends_soon(last, shell):
            yield f"the {name} CRL ends on {until} → {make}"
    if pending := crl_schedule.unlisted(opened, name, now=shell.now):
        yield f"{pending} revoked after the newest {name} CRL → {make}"
    if name != ROOT and _lacks_responder(opened, name, shell):
        yield f"the {name} CA's OCSP responder is missing or ends soon → smimegw-ca ocsp make"


def _make_crl(opened: Home, name: IssuerName) -> str:
    if name != ROOT:
        return "smimegw-ca crl make"
    if opened.holds_key(ROOT):
        return "smimegw-ca crl make --root"
    # The root is on another machine, or its key is in a safe place.
    return (
        "bring root/key.pem back: smimegw-ca crl make --root; or where the root is elsewhere: "
        "smimegw-ca root crl -o root.crl there, smimegw-ca install root.crl here"
    )


def _ends_soon(last: Listed, shell: Shell) -> bool:
    """A person has to go to the root, so a month ahead; or in the last half of a short time."""
    begin, end = last.crl.last_update_utc, last.next_update
    return end - shell.now < min(_NEARLY_OVER, (end - begin) / 2)


def _lacks_responder(opened: Home, name: IssuerName, shell: Shell) -> bool:
    issuer = opened.authority(name).certificate
    due = responder.is_due(opened.path, name, issuer, now=shell.now)
    return bool(opened.settings.ocsp_urls) and due


@click.command(
    epilog=examples(
        "smimegw-ca ledger verify",
        "smimegw-ca ledger verify --head 9f2c…   # the head that `status` showed last month",
        "smimegw-ca ledger export > ledger.jsonl",
    )
)
@click.argument("action", type=click.Choice(["verify", "export"]), default="verify")
@click.option("--head", metavar="HEX", help="A head noted earlier; it must still be in the chain.")
@common_options
@click.pass_obj
def ledger(shell: Shell, action: str, head: str | None) -> None:
    """Verify the chain of everything the CA did, or write it as JSON lines."""
    try:
        # An empty one is none that was noted: a script whose file is gone must not hear "OK".
        noted = bytes.fromhex(head) if head is not None else None
    except ValueError:
        raise UsageError(f"--head: {head!r} is not hexadecimal. `status` shows it.") from None
    if noted is not None and len(noted) != len(START):
        raise UsageError(
            f"--head: a head has {2 * len(START)} hexadecimal digits, and {head!r} has "
            f"{2 * len(noted)}. `status` shows it."
        )
    with opening.reading(shell.directory) as opened:
        entries, newest = opened.register.ledger.verify(noted)
        if action == "export":
            shell.json = True
            for entry in opened.register.ledger.entries():
                shell.answer(
                    "",
                    kind="ledger-entry",
                    number=entry.number,
                    entry_at=entry.at,
                    entry_kind=entry.kind,
                    serial=entry.serial,
                    details=dict(entry.details),
                    der=entry.der.hex(),
                    digest=entry.digest.hex(),
                )
            return
    text = f"OK  {entries} entries, head {newest.hex()}"
    shell.answer(text, kind="ledger", entries=entries, head=newest.hex())
    shell.talk("Note the head somewhere else; it shows later that nothing was cut off.")
    shell.suggest("smimegw-ca status")
