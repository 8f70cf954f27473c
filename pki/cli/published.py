"""Says what `smimegw-ca publish` would do, and what it did."""

from __future__ import annotations

import click

from pki.cli.program import WARNINGS
from pki.cli.shell import Shell
from pki.crl import Delta
from pki.plan import Plan
from pki.publish import Outcome
from pki.serial_numbers import serial_text


def show_plan(plan: Plan, shell: Shell) -> None:
    """Show what a dry run would write into the embedded directory."""
    for word, items in (("publish", plan.publish), ("withdraw", plan.withdraw)):
        for item in items:
            serial = serial_text(item.serial)
            shell.answer(
                f"{word}  <{item.mailbox}>  {serial}",
                kind="plan",
                action=word,
                mailbox=item.mailbox.address if item.mailbox else None,
                serial=serial,
            )
    for word, authorities in (
        ("publish", plan.authorities),
        ("withdraw", plan.withdraw_authorities),
    ):
        for authority in authorities:
            shell.answer(
                f"{word}  CA certificate  {authority.name}",
                kind="plan",
                action=f"{word}-authority",
                serial=serial_text(authority.serial),
            )
    for listed in plan.crls:
        if isinstance(listed, Delta):
            continue  # deltas are for readers of LDAP
        shell.answer(
            f"publish  CRL {listed.number} of the {listed.issuer} CA",
            kind="plan",
            action="publish-crl",
            issuer=listed.issuer,
            number=listed.number,
        )
    shell.talk("Nothing was written.")
    shell.suggest("the same without --dry-run")


def report(outcome: Outcome, where: str, shell: Shell) -> None:
    """Say what a run changed; ends with 3 when anything was refused."""
    shell.answer(
        f"{outcome.published} published, {outcome.withdrawn} withdrawn, "
        f"{outcome.authorities} CA certificates, {outcome.crls} CRLs",
        kind="published",
        target=where,
        published=outcome.published,
        withdrawn=outcome.withdrawn,
        authorities=outcome.authorities,
        crls=outcome.crls,
        refused=list(outcome.refused),
    )
    for text in outcome.refused:
        shell.warn(text)
    if outcome.refused:
        click.get_current_context().exit(WARNINGS)
    shell.suggest("smimegw directory find ADDRESS")
