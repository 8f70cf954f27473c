"""`smimegw-ca status` and `ledger`: the CA as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import click

from pki import approval, crl_schedule, hierarchy, home, responder
from pki.cli.program import WARNINGS
from pki.cli.shell import Json, Shell, common_options, examples, table
from pki.export import fingerprint
from pki.home import Home
from pki.places import ROOT
from pki.register import Certified, IssuerName, Listed, current, serial_text
from smimegw.errors import UsageError

_NEARLY_OVER = timedelta(days=30)


@click.command(
    epilog=examples("smimegw-ca status", "smimegw-ca status -d /srv/ca --json"),
)
@common_options
@click.pass_obj
def status(shell: Shell) -> None:
    """Show the CA, what ends soon and whether the CRLs are fresh; exit 3 when something is due."""
    with home.reading(shell.directory) as opened:
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
        for place in hierarchy.waiting(opened)
    ]
    for name in opened.listing(now=shell.now):
        end = opened.authority(name).not_after
        if end - shell.now < timedelta(days=opened.settings.mailbox_days):
            warnings.append(
                f"the {name} CA ends on {end:%Y-%m-%d}, before a certificate issued today would "
                "→ plan a new CA"
            )
        last = opened.register.last_crl(name)
        option = " --root" if name == "root" else ""
        if last and last.next_update <= shell.now:
            # Without the key here the root is on another machine, or its key is in a safe place.
            elsewhere = name == ROOT and not opened.holds_key(ROOT)
            carried = "bring its key back, or carry one: root crl -o root.crl there, install here"
            warnings.append(
                f"the {name} CRL is out of date since {last.next_update:%Y-%m-%d %H:%M}Z → "
                + (carried if elsewhere else f"smimegw-ca crl make{option}")
            )
        pending = crl_schedule.unlisted(opened, name, now=shell.now)
        if pending:
            warnings.append(
                f"{pending} revoked after the newest {name} CRL → smimegw-ca crl make{option}"
            )
        if name != ROOT and _lacks_responder(opened, name, shell):
            warnings.append(
                f"the {name} CA's OCSP responder is missing or ends soon → smimegw-ca ocsp make"
            )
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
        noted = bytes.fromhex(head) if head else None
    except ValueError:
        raise UsageError(f"--head: {head!r} is not hexadecimal. `status` shows it.") from None
    with home.reading(shell.directory) as opened:
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
