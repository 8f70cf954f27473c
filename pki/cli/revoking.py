"""`smimegw-ca revoke`, `hold` and `release`: what must not be used, for good or for now."""

from __future__ import annotations

import click

from pki import issuance, opening, revocation
from pki.cli.shell import Shell, common_options, examples
from pki.serial_numbers import serial_text


@click.command(
    epilog=examples(
        "smimegw-ca revoke 4F9A21 --reason keyCompromise",
        "smimegw-ca revoke 4F9A21 --reason superseded --yes --no-input",
    )
)
@click.argument("serial")
@click.option("--reason", default="", help=f"One of {', '.join(revocation.REASONS)}.")
@common_options
@click.pass_obj
def revoke(shell: Shell, serial: str, reason: str) -> None:
    """Revoke a certificate for good; the next CRL tells it to everybody."""
    reason = revocation.parse_reason(reason)
    with opening.changing(shell.directory, now=shell.now) as opened:
        certified = opened.register.find(serial)
        whose = f"<{certified.mailbox}>" if certified.mailbox else "the issuing CA itself"
        text = serial_text(certified.serial)
        others = issuance.revoked_with(opened, certified, reason)
        with_others = f", and {len(others)} more for the same key" if others else ""
        if not certified.revocation or certified.is_held:
            shell.confirm(f"Revoke {text} of {whose}{with_others}? It cannot be undone.")
        done = issuance.revoke(opened, certified, reason, now=shell.now)
    shell.answer(
        text,
        kind="revocation",
        serial=text,
        mailbox=certified.mailbox.address if certified.mailbox else None,
        reason=done.reason,
        revoked_at=done.revoked_at.isoformat(),
        with_the_same_key=[serial_text(other) for other in others],
    )
    shell.talk(f"Revoked {text} of {whose}{with_others}: {done.reason}")
    root = " --root" if certified.issuer == "root" else ""
    shell.suggest(f"smimegw-ca crl make{root}   and then   smimegw-ca publish …")


@click.command(epilog=examples("smimegw-ca hold 4F9A21", "smimegw-ca hold 4F9A21 --json"))
@click.argument("serial")
@common_options
@click.pass_obj
def hold(shell: Shell, serial: str) -> None:
    """Put a certificate on hold (certificateHold), for example while a lost card is looked for.

    Nobody encrypts to it and its signatures do not pass until it is released; it can also be
    revoked for good, and then counts as revoked since the hold began.
    """
    with opening.changing(shell.directory, now=shell.now) as opened:
        certified = opened.register.find(serial)
        issuance.hold(opened, certified, now=shell.now)
    text = serial_text(certified.serial)
    assert certified.mailbox
    shell.answer(text, kind="hold", serial=text, mailbox=certified.mailbox.address)
    shell.talk(f"On hold: {text} of <{certified.mailbox}>")
    shell.suggest("smimegw-ca crl make   and then   smimegw-ca publish …")


@click.command(epilog=examples("smimegw-ca release 4F9A21", "smimegw-ca release 4F9A21 --json"))
@click.argument("serial")
@common_options
@click.pass_obj
def release(shell: Shell, serial: str) -> None:
    """End a hold: the certificate is good again, and CRLs leave it out."""
    with opening.changing(shell.directory, now=shell.now) as opened:
        certified = opened.register.find(serial)
        issuance.release(opened, certified, now=shell.now)
    text = serial_text(certified.serial)
    assert certified.mailbox
    shell.answer(text, kind="release", serial=text, mailbox=certified.mailbox.address)
    shell.talk(f"Good again: {text} of <{certified.mailbox}>")
    shell.suggest("smimegw-ca crl make   and then   smimegw-ca publish …")
