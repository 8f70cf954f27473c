"""`smimegw-ca revoke`: what must not be used any more."""

from __future__ import annotations

import click

from pki import home, issuance, revocation
from pki.cli.shell import Shell, common_options, examples
from pki.register import serial_text


@click.command(
    epilog=examples(
        "smimegw-ca revoke 4F9A21 --reason keyCompromise",
        "smimegw-ca revoke 4F9A21 --reason superseded --yes --no-input",
    )
)
@click.argument("serial")
@click.option("--reason", required=True, help=f"One of {', '.join(revocation.REASONS)}.")
@common_options
@click.pass_obj
def revoke(shell: Shell, serial: str, reason: str) -> None:
    """Revoke a certificate for good; the next CRL tells it to everybody."""
    reason = revocation.parse_reason(reason)
    with home.changing(shell.directory, now=shell.now) as opened:
        certified = opened.register.find(serial)
        whose = f"<{certified.mailbox}>" if certified.mailbox else "the issuing CA itself"
        text = serial_text(certified.serial)
        if not certified.revocation:
            shell.confirm(f"Revoke {text} of {whose}? It cannot be undone.")
        done = issuance.revoke(opened, certified, reason, now=shell.now)
    shell.answer(
        text,
        kind="revocation",
        serial=text,
        mailbox=certified.mailbox.address if certified.mailbox else None,
        reason=done.reason,
        revoked_at=done.revoked_at.isoformat(),
    )
    shell.talk(f"Revoked {text} of {whose}: {done.reason}")
    root = " --root" if certified.issuer == "root" else ""
    shell.suggest(f"smimegw-ca crl make{root}   and then   smimegw-ca publish …")
