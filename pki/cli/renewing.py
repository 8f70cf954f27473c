"""`smimegw-ca renew` and `rekey`: what follows a certificate, one or all that end soon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import click

from pki import issuance, opening, renewal, revocation
from pki.certified import Certified, current
from pki.cli.handing import Output, hand_out, open_output, output_options, parse_mailbox
from pki.cli.program import WARNINGS
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.home import Home
from pki.orders import Order
from pki.serial_numbers import serial_text
from smimegw.errors import UsageError

_PUBLISH = "smimegw-ca publish --ldap URL …   or   --embedded FILE"


@click.command(
    epilog=examples(
        "smimegw-ca renew alice@corp.example          # every certificate she has now",
        "smimegw-ca renew 4F9A21 --keep-key --days 365",
        "smimegw-ca renew --due -o out --p12-passphrase-file p12.txt   # from a timer",
    )
)
@click.argument("which", metavar="[SERIAL|ADDRESS]", default="")
@click.option("--due", is_flag=True, help="All that end soon (ca.toml, renewal.days).")
@click.option("--within", type=click.IntRange(1, 999), help="With --due: so many days instead.")
@click.option("--keep-key", is_flag=True, help="Certify the same key again.")
@click.option("--days", type=click.IntRange(1, 3650), help="Validity.  [default: from ca.toml]")
@output_options
@passphrase_option
@common_options
@click.pass_obj
def renew(
    shell: Shell,
    which: str,
    due: bool,
    within: int | None,
    keep_key: bool,
    days: int | None,
) -> None:
    """Issue the successor of a certificate, with a new key unless --keep-key.

    The old certificate stays valid to its end, so mail on its way can be read.  With --due a new
    encryption certificate is published some days before the old one ends (ca.toml,
    renewal.overlap), not at once: until then its key is handed out.  --due ends with 3 when there
    are some whose owners have to send a new request.
    """
    if due == bool(which) or (within and not due):
        raise UsageError("Say which: SERIAL or ADDRESS, or --due (with --within) for all.")
    opening.require(shell.directory)
    passphrase = shell.passphrase()
    target = open_output(shell)
    with opening.changing(shell.directory, now=shell.now) as opened:
        found = _due(opened, within, shell) if due else _which(opened, which)
        old = [item for item in found if not due or item.key_held or keep_key]
        orders = [
            _successor(opened, item, passphrase, shell, due=due, keep_key=keep_key, days=days)
            for item in old
        ]
        issued = _issue(opened, orders, shell, passphrase, target)
    shell.talk(f"{len(issued)} renewed; the old ones stay valid to their end")
    left = [item for item in found if item not in old]
    for item in left:
        shell.warn(
            f"{serial_text(item.serial)} of <{item.mailbox}> ends on {item.not_after:%Y-%m-%d}; "
            "its owner has the key and has to send a new request"
        )
    if left:
        click.get_current_context().exit(WARNINGS)
    shell.suggest(_PUBLISH)


@click.command(
    epilog=examples(
        "smimegw-ca rekey 4F9A21 --reason keyCompromise -o out --p12-passphrase-file p12.txt",
        "smimegw-ca rekey alice@corp.example --reason superseded",
    )
)
@click.argument("which", metavar="SERIAL|ADDRESS")
@click.option("--reason", default="", help=f"One of {', '.join(revocation.REASONS)}.")
@click.option("--days", type=click.IntRange(1, 3650), help="Validity.  [default: from ca.toml]")
@output_options
@passphrase_option
@common_options
@click.pass_obj
def rekey(
    shell: Shell,
    which: str,
    reason: str,
    days: int | None,
) -> None:
    """Issue a certificate with a new key and revoke the old one in the same step."""
    reason = revocation.parse_reason(reason)
    opening.require(shell.directory)
    passphrase = shell.passphrase()
    target = open_output(shell)
    with opening.changing(shell.directory, now=shell.now) as opened:
        old = _which(opened, which)
        shell.confirm(f"Replace {_listed(old)} and revoke what is replaced? It cannot be undone.")
        orders = [
            renewal.replacement(opened, item, reason=reason, days=days, operator=shell.operator)
            for item in old
        ]
        issued = _issue(opened, orders, shell, passphrase, target)
    shell.talk(f"{len(issued)} replaced, the old ones are revoked: {reason}")
    shell.suggest("smimegw-ca crl make   and then   smimegw-ca publish …")


def _due(opened: Home, within: int | None, shell: Shell) -> tuple[Certified, ...]:
    days = within or opened.settings.practice.renewal_days
    return renewal.due(opened, within=timedelta(days=days), now=shell.now)


def _successor(
    opened: Home,
    old: Certified,
    passphrase: bytes,
    shell: Shell,
    *,
    due: bool,
    keep_key: bool,
    days: int | None,
) -> Order:
    order = renewal.renewal(
        opened,
        old,
        passphrase=passphrase,
        keep_key=keep_key,
        days=days,
        operator=shell.operator,
    )
    return renewal.overlapping(opened, order, old, now=shell.now) if due else order


def _issue(
    opened: Home, orders: Iterable[Order], shell: Shell, passphrase: bytes, output: Output
) -> list[Certified]:
    issuer = opened.issuer(opened.issuing, passphrase)

    def made() -> Iterator[Certified]:
        for order in orders:
            yield issuance.issue(opened, issuer, order, passphrase=passphrase, now=shell.now)

    return hand_out(opened, made(), shell, passphrase=passphrase, output=output)


def _which(opened: Home, text: str) -> tuple[Certified, ...]:
    if "@" not in text:
        return (opened.register.find(text),)
    mailbox = parse_mailbox(text)
    found = current(opened.register.find_mailbox(mailbox))
    if not found:
        raise UsageError(
            f"<{mailbox}> has no certificate that could be renewed. "
            f"Issue the first one: smimegw-ca issue {mailbox}"
        )
    return found


def _listed(certificates: Iterable[Certified]) -> str:
    return ", ".join(f"{serial_text(item.serial)} of <{item.mailbox}>" for item in certificates)
