"""`smimegw-ca issue`: certificates for one mailbox, or for everybody in the directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from pki import bulk, issuance, opening, orders, people, profiles
from pki.cli.founding import parse_kind
from pki.cli.handing import Output, hand_out, open_output, output_options, parse_mailbox
from pki.cli.many import NOWHERE, issue_many, processes_by_default
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.request import CertificationRequest, parse_request
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

_REQUEST_OCTETS = 1024 * 1024
_DAYS_RECOMMENDED = 825  # S/MIME BR, 6.3.2


@click.command(
    epilog=examples(
        "smimegw-ca issue alice@corp.example --profile pair -o out --p12-passphrase-file p12.txt",
        'smimegw-ca issue bob@corp.example --name "Bob Baker" --key p-256 --days 365',
        "smimegw-ca issue carol@corp.example --csr carol.csr --profile mailbox-both",
        "smimegw-ca issue --from-ldap '(department=sales)' -o out --p12-passphrase-file p12.txt",
    )
)
@click.argument("address", default="", metavar="[ADDRESS]")
@click.option(
    "--from-ldap",
    metavar="FILTER",
    help="For everybody whom this search finds (ca.toml, directory), instead of ADDRESS.",
)
@click.option("--dry-run", is_flag=True, help="With --from-ldap: only show for whom.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="With --from-ldap: processes that make keys.  [default: one for each processor]",
)
@click.option("--name", default="", help="The person's name; the address when left out.")
@click.option(
    "--profile",
    type=click.Choice(list(profiles.CHOICES)),
    default=profiles.Profile.BOTH.value,
    show_default=True,
    help="What for; “pair” makes two certificates with two keys.",
)
@click.option(
    "--key",
    type=click.Choice([kind.value for kind in KeyKind]),
    default=KeyKind.RSA_3072.value,
    show_default=True,
)
@click.option("--experimental", is_flag=True, help="Allow kinds of keys that few read yet.")
@click.option("--csr", type=click.Path(path_type=Path, dir_okay=False), help="A PKCS #10 request.")
@click.option("--days", type=click.IntRange(1, 3650), help="Validity.  [default: from ca.toml]")
@output_options
@passphrase_option
@common_options
@click.pass_obj
def issue(
    shell: Shell,
    address: str,
    from_ldap: str | None,
    dry_run: bool,
    jobs: int | None,
    name: str,
    profile: str,
    key: str,
    experimental: bool,
    csr: Path | None,
    days: int | None,
) -> None:
    """Issue certificates for one mailbox, or for everybody whom --from-ldap finds.

    Prints their serial numbers.  With -o, a .p12 with key and chain, the certificate and the chain
    are written to that folder; for many the .p12 alone.  A run with --from-ldap that was killed is
    finished by doing it again: whoever has a valid certificate of the profile is left out.
    """
    if bool(address) == bool(from_ldap):
        raise UsageError("Say for whom: either ADDRESS or --from-ldap FILTER.")
    if days and days > _DAYS_RECOMMENDED:
        shell.warn(f"{days} days are more than the {_DAYS_RECOMMENDED} that the S/MIME BR allow")
    kind = parse_kind(key, experimental=experimental)
    wanted = bulk.Wanted(
        profiles=profiles.CHOICES[profile], key_kind=kind, days=days, operator=shell.operator
    )
    if from_ldap:
        if csr or name:
            raise UsageError("--csr and --name are for one person, not for --from-ldap.")
        target = NOWHERE if dry_run else open_output(shell)
        processes = jobs or processes_by_default()
        issue_many(shell, from_ldap, wanted, target, processes=processes, dry_run=dry_run)
    else:
        _issue_one(shell, parse_mailbox(address), name, wanted, csr)


def _issue_one(
    shell: Shell, mailbox: Mailbox, name: str, wanted: bulk.Wanted, csr: Path | None
) -> None:
    request = _read_request(csr, mailbox, shell) if csr else None
    template = Order(
        mailbox=mailbox,
        profile=profiles.Profile.BOTH,
        name=name,
        key_kind=wanted.key_kind,
        public_key=request.public_key if request else None,
        days=wanted.days,
        operator=wanted.operator,
    )
    opening.require(shell.directory)
    passphrase = shell.passphrase()
    target = open_output(shell, holds_key=request is None)
    ordered = [replace(template, profile=each) for each in wanted.profiles]
    _issue_ordered(shell, ordered, passphrase=passphrase, target=target)


def _issue_ordered(
    shell: Shell, wanted: Sequence[Order], *, passphrase: bytes, target: Output
) -> None:
    if len(wanted) > 1 and wanted[0].public_key:
        raise UsageError("--profile pair needs two keys. Issue two requests, one for each profile.")
    with opening.changing(shell.directory, now=shell.now) as opened:
        people.require_owner(opened.settings.practice, wanted[0].mailbox)
        _warn_of_twins(opened, wanted, shell)
        issuer = opened.issuer(opened.issuing, passphrase)
        made = (
            issuance.issue(opened, issuer, order, passphrase=passphrase, now=shell.now)
            for order in wanted
        )
        issued = hand_out(opened, made, shell, passphrase=passphrase, output=target)
    if any(item.profile and item.profile.encrypts for item in issued):
        shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")
    else:
        shell.suggest(f"smimegw-ca show {serial_text(issued[0].serial)}")


def _read_request(path: Path, mailbox: Mailbox, shell: Shell) -> CertificationRequest:
    with path.open("rb") as stream:
        request = parse_request(stream.read(_REQUEST_OCTETS))
    for remark in request.remarks(mailbox):
        shell.warn(remark)
    return request


def _warn_of_twins(opened: Home, wanted: Sequence[Order], shell: Shell) -> None:
    for order in wanted:
        for old in orders.twins(opened, order, now=shell.now):
            shell.warn(
                f"<{old.mailbox}> has a valid {old.profile} certificate already "
                f"({serial_text(old.serial)}); to follow it use: smimegw-ca renew"
            )
