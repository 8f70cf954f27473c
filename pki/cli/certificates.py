"""`smimegw-ca issue` and `renew`: certificates for mailboxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from pki import export, files, home, issuance, profiles
from pki.cli.shell import Command, Json, Shell, common_options, examples, passphrase_option
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.register import Certified, current, serial_text
from pki.request import CertificationRequest, parse_request
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, UsageError

_REQUEST_OCTETS = 1024 * 1024
_DAYS_RECOMMENDED = 825  # S/MIME BR, 6.3.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """Where `issue` and `renew` put the files for the key's owner or the gateway."""

    directory: Path | None
    passphrase: bytes
    legacy: bool


def _output_options(command: Command) -> Command:
    for option in (
        click.option("--legacy", is_flag=True, help="Write .p12 files that old programs read."),
        click.option("--p12-passphrase-file", metavar="FILE", help="Protects the .p12 of -o."),
        click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False)),
    ):
        command = option(command)
    return command


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
@_output_options
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
    orders = [
        Order(
            mailbox=mailbox,
            profile=each,
            name=name,
            key_kind=KeyKind(key),
            public_key=request.public_key if request else None,
            days=days,
        )
        for each in wanted
    ]
    home.require(shell.directory)
    passphrase = shell.passphrase()
    target = _output(shell, output, p12_passphrase_file, legacy, holds_key=request is None)
    with home.changing(shell.directory, now=shell.now) as opened:
        _warn_of_twins(opened, orders, shell)
        issued = _issue_all(opened, orders, shell, passphrase=passphrase, output=target)
    if any(item.profile and item.profile.encrypts for item in issued):
        shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")
    else:
        shell.suggest(f"smimegw-ca show {serial_text(issued[0].serial)}")


@click.command(
    epilog=examples(
        "smimegw-ca renew alice@corp.example          # every certificate she has now",
        "smimegw-ca renew 4F9A21 --keep-key --days 365",
    )
)
@click.argument("which", metavar="SERIAL|ADDRESS")
@click.option("--keep-key", is_flag=True, help="Certify the same key again.")
@click.option("--days", type=click.IntRange(1, 3650), help="Validity.  [default: from ca.toml]")
@_output_options
@passphrase_option
@common_options
@click.pass_obj
def renew(
    shell: Shell,
    which: str,
    keep_key: bool,
    days: int | None,
    output: Path | None,
    p12_passphrase_file: str | None,
    legacy: bool,
) -> None:
    """Issue the successor of a certificate, with a new key unless --keep-key.

    The old certificate stays valid to its end, so mail on its way can be read.
    """
    home.require(shell.directory)
    passphrase = shell.passphrase()
    target = _output(shell, output, p12_passphrase_file, legacy)
    with home.changing(shell.directory, now=shell.now) as opened:
        orders = [
            issuance.renewal(opened, old, passphrase=passphrase, keep_key=keep_key, days=days)
            for old in _which(opened, which)
        ]
        issued = _issue_all(opened, orders, shell, passphrase=passphrase, output=target)
    shell.talk(f"{len(issued)} renewed; the old ones stay valid to their end")
    shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")


def parse_mailbox(text: str) -> Mailbox:
    """Return the mailbox that an administrator typed.

    Raises:
        UsageError: It is none.
    """
    try:
        return Mailbox.parse(text)
    except AddressError as error:
        raise UsageError(
            f"{text!r} is not an e-mail address: {error}. Write it like alice@corp.example."
        ) from error


def _output(
    shell: Shell,
    directory: Path | None,
    passphrase_file: str | None,
    legacy: bool,
    *,
    holds_key: bool = True,
) -> _Output:
    passphrase = b""
    if directory:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # fail before anything is issued
    if directory and holds_key:
        passphrase = shell.secret(
            passphrase_file,
            option="--p12-passphrase-file",
            prompt="Passphrase for the .p12 files",
            new=True,
        )
    return _Output(directory=directory, passphrase=passphrase, legacy=legacy)


def _issue_all(
    opened: Home, orders: Sequence[Order], shell: Shell, *, passphrase: bytes, output: _Output
) -> list[Certified]:
    issuer = opened.issuer(opened.issuing, passphrase)
    issued = []
    for order in orders:
        certified = issuance.issue(opened, issuer, order, passphrase=passphrase, now=shell.now)
        serial = serial_text(certified.serial)
        try:
            written = _write_out(opened, certified, output, passphrase)
        except OSError:
            shell.warn(f"{serial} is issued and kept; get it with: smimegw-ca export {serial} …")
            raise
        shell.answer(serial, **describe(certified, shell), files=written)
        shell.talk(
            f"Issued {order.profile} for <{order.mailbox}>, valid to {certified.not_after:%Y-%m-%d}"
        )
        issued.append(certified)
    return issued


def _write_out(
    opened: Home, certified: Certified, output: _Output, passphrase: bytes
) -> dict[str, str]:
    if output.directory is None:
        return {}
    stem = export.file_name(certified)
    contents = {
        "certificate": (f"{stem}.pem", export.pem(certified), files.PUBLIC),
        "chain": (f"{stem}.chain.pem", export.chain(opened, certified), files.PUBLIC),
    }
    if certified.key_held:
        p12 = export.pkcs12_file(
            opened,
            certified,
            ca_passphrase=passphrase,
            passphrase=output.passphrase,
            legacy=output.legacy,
        )
        contents["p12"] = (f"{stem}.p12", p12, files.PRIVATE)
    for name, octets, mode in contents.values():
        files.write_new(output.directory / name, octets, mode=mode)
    return {kind: str(output.directory / name) for kind, (name, _, _) in contents.items()}


def describe(certified: Certified, shell: Shell) -> Json:
    """Return the JSON members that say what a certificate is."""
    revoked = certified.revocation
    return {
        "kind": "certificate",
        "serial": serial_text(certified.serial),
        "mailbox": certified.mailbox.address if certified.mailbox else None,
        "profile": certified.profile.value if certified.profile else None,
        "name": certified.name,
        "issuer": certified.issuer,
        "status": certified.status(shell.now),
        "not_before": certified.certificate.not_valid_before_utc.isoformat(),
        "not_after": certified.not_after.isoformat(),
        "fingerprint": export.fingerprint(certified),
        "key_held": certified.key_held,
        "renews": serial_text(certified.renews) if certified.renews else None,
        "revoked_at": revoked.revoked_at.isoformat() if revoked else None,
        "reason": revoked.reason if revoked else None,
    }


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


def _read_request(path: Path, mailbox: Mailbox, shell: Shell) -> CertificationRequest:
    with path.open("rb") as stream:
        request = parse_request(stream.read(_REQUEST_OCTETS))
    for remark in request.remarks(mailbox):
        shell.warn(remark)
    return request


def _warn_of_twins(opened: Home, orders: Sequence[Order], shell: Shell) -> None:
    wanted = {order.profile for order in orders}
    for old in current(opened.register.find_mailbox(orders[0].mailbox)):
        if old.profile in wanted and old.status(shell.now) == "valid":
            shell.warn(
                f"<{old.mailbox}> has a valid {old.profile} certificate already "
                f"({serial_text(old.serial)}); to follow it use: smimegw-ca renew"
            )
