"""`smimegw-ca issue`: certificates for one mailbox, or for everybody in the directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pki import home, issuance, orders, people, profiles
from pki.cli.handing import hand_out, open_output, output_options, parse_mailbox
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.practice import Addresses
from pki.register import serial_text
from pki.request import CertificationRequest, parse_request
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

_REQUEST_OCTETS = 1024 * 1024
_DAYS_RECOMMENDED = 825  # S/MIME BR, 6.3.2


@click.command(
    epilog=examples(
        "smimegw-ca issue alice@corp.example --profile pair -o out --p12-passphrase-file p12.txt",
        'smimegw-ca issue bob@corp.example --name "Bob Baker" --key p-256 --days 365',
        "smimegw-ca issue carol@corp.example --csr carol.csr --profile mailbox-both",
    )
)
@click.argument("address")
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
    type=click.Choice([KeyKind.RSA_3072.value, KeyKind.P_256.value]),
    default=KeyKind.RSA_3072.value,
    show_default=True,
)
@click.option("--csr", type=click.Path(path_type=Path, dir_okay=False), help="A PKCS #10 request.")
@click.option("--days", type=click.IntRange(1, 3650), help="Validity.  [default: from ca.toml]")
@output_options
@passphrase_option
@common_options
@click.pass_obj
def issue(
    shell: Shell,
    address: str,
    name: str,
    profile: str,
    key: KeyKind,
    csr: Path | None,
    days: int | None,
    output: Path | None,
    p12_passphrase_file: str | None,
    legacy: bool,
) -> None:
    """Issue certificates for one mailbox and print their serial numbers.

    With -o, a .p12 with key and chain, the certificate and the chain are written to that folder.
    """
    mailbox = parse_mailbox(address)
    request = _read_request(csr, mailbox, shell) if csr else None
    wanted = profiles.CHOICES[profile]
    if request and len(wanted) > 1:
        raise UsageError("--profile pair needs two keys. Issue two requests, one for each profile.")
    if days and days > _DAYS_RECOMMENDED:
        shell.warn(f"{days} days are more than the {_DAYS_RECOMMENDED} that the S/MIME BR allow")
    wanted_orders = [
        Order(
            mailbox=mailbox,
            profile=each,
            name=name,
            key_kind=KeyKind(key),
            public_key=request.public_key if request else None,
            days=days,
            operator=shell.operator,
        )
        for each in wanted
    ]
    home.require(shell.directory)
    passphrase = shell.passphrase()
    target = open_output(shell, output, p12_passphrase_file, legacy, holds_key=request is None)
    with home.changing(shell.directory, now=shell.now) as opened:
        require_mailbox(opened, mailbox)
        _warn_of_twins(opened, wanted_orders, shell)
        issuer = opened.issuer(opened.issuing, passphrase)
        made = (
            issuance.issue(opened, issuer, order, passphrase=passphrase, now=shell.now)
            for order in wanted_orders
        )
        issued = hand_out(opened, made, shell, passphrase=passphrase, output=target)
    if any(item.profile and item.profile.encrypts for item in issued):
        shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")
    else:
        shell.suggest(f"smimegw-ca show {serial_text(issued[0].serial)}")


def require_mailbox(opened: Home, mailbox: Mailbox) -> None:
    """Make sure that the mailbox is somebody's, where ca.toml wants the directory to say so.

    Raises:
        DirectoryError: The directory could not say.
        UsageError: It is nobody's.
    """
    practice = opened.settings.practice
    if practice.addresses is Addresses.DIRECTORY:
        with people.People.open(practice) as directory:
            directory.require(mailbox)


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
