"""`smimegw-ca list` and `show`: what the CA has issued."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from pki import export as packing
from pki import opening
from pki.certified import Certified, current
from pki.cli.handing import describe, parse_mailbox
from pki.cli.program import NO
from pki.cli.shell import Shell, common_options, examples, table
from pki.serial_numbers import serial_text
from smimegw.errors import UsageError

_SPAN = re.compile(r"(\d{1,5})([hdwy])")
_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_SHORT_SERIAL = 12


@click.command(
    "list",
    epilog=examples(
        "smimegw-ca list --address alice@corp.example",
        "smimegw-ca list --expires-in 30d --json   # exit 1 when some end",
    ),
)
@click.option("--expires-in", metavar="SPAN", help="Only those that end within, e.g. 30d, 6w, 12h.")
@click.option("--address", help="Only those of one mailbox.")
@click.option(
    "--status",
    "wanted",
    type=click.Choice(["valid", "expired", "revoked", "held"]),
    help="Only these.",
)
@common_options
@click.pass_obj
def list_command(
    shell: Shell, expires_in: str | None, address: str | None, wanted: str | None
) -> None:
    """List certificates, oldest first.

    --expires-in leaves out those that have a successor already, and exits with 1 when any is left.
    """
    span = parse_span(expires_in) if expires_in else None
    mailbox = parse_mailbox(address) if address else None
    with opening.reading(shell.directory) as opened:
        found = [item for item in opened.register.certificates() if item.mailbox]
    if span:
        found = [item for item in current(found) if shell.now <= item.not_after < shell.now + span]
    if mailbox:
        found = [item for item in found if item.mailbox and item.mailbox.same_as(mailbox)]
    if wanted:
        found = [item for item in found if item.status(shell.now) == wanted]
    if shell.json:
        for item in found:
            shell.answer("", **describe(item, shell))
    elif found:
        rows = [("SERIAL", "MAILBOX", "PROFILE", "ENDS", "STATUS")]
        rows += [_row(item, shell) for item in found]
        shell.answer(table(rows))
    shell.talk(f"{len(found)} certificates")
    if span and found:
        shell.suggest(f"smimegw-ca renew {serial_text(found[0].serial)[:_SHORT_SERIAL]}")
        click.get_current_context().exit(NO)
    shell.suggest("smimegw-ca show SERIAL" if found else "smimegw-ca issue ADDRESS")


@click.command(
    epilog=examples("smimegw-ca show 4F9A21", "smimegw-ca show 4F9A21 --json"),
)
@click.argument("serial")
@common_options
@click.pass_obj
def show(shell: Shell, serial: str) -> None:
    """Show one certificate; SERIAL may be its first digits."""
    with opening.reading(shell.directory) as opened:
        certified = opened.register.find(serial)
        followers = [
            serial_text(item.serial)
            for item in opened.register.certificates()
            if item.renews == certified.serial
        ]
    certificate = certified.certificate
    status = certified.status(shell.now)
    if certified.revocation:
        since = f"{certified.revocation.revoked_at:%Y-%m-%d %H:%M}Z"
        status = f"{status} since {since}: {certified.revocation.reason}"
    rows = [
        ("serial", serial_text(certified.serial)),
        ("mailbox", f"<{certified.mailbox}>" if certified.mailbox else "(the CA's own)"),
        ("profile", certified.profile or "CA"),
        ("subject", certificate.subject.rfc4514_string() or "(empty)"),
        ("issuer", certificate.issuer.rfc4514_string()),
        ("valid", f"{certificate.not_valid_before_utc:%Y-%m-%d} … {certified.not_after:%Y-%m-%d}"),
        ("status", status),
        ("fingerprint", packing.fingerprint(certified)),
        ("key", "kept by the CA, encrypted" if certified.key_held else "only its owner has it"),
    ]
    if certified.renews:
        rows.append(("renews", serial_text(certified.renews)))
    if followers:
        rows.append(("renewed by", ", ".join(followers)))
    shell.answer(table(rows), **describe(certified, shell), renewed_by=followers)
    shell.suggest(f"smimegw-ca export {serial_text(certified.serial)[:_SHORT_SERIAL]} --format p12")


def parse_span(text: str) -> timedelta:
    """Return a span such as ``30d``.

    Raises:
        UsageError: Not a number with a unit.
    """
    match = _SPAN.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} is no span of time. Write a number and h, d, w or y, as 30d.")
    return int(match[1]) * _UNITS[match[2]]


def _row(item: Certified, shell: Shell) -> tuple[str, str, str, str, str]:
    return (
        serial_text(item.serial)[:_SHORT_SERIAL],
        f"<{item.mailbox}>",
        item.profile or "",
        f"{item.not_after:%Y-%m-%d}",
        item.status(shell.now),
    )
