"""`smimegw-ca revoke` and `crl`: what must not be used any more, and how everybody learns it."""

from __future__ import annotations

from pathlib import Path

import click

from pki import files, home, issuance, revocation
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.register import IssuerName, serial_text


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


@click.command(
    epilog=examples(
        "smimegw-ca crl make",
        "smimegw-ca crl make --root -o root.crl",
        "smimegw-ca crl show",
    )
)
@click.argument("action", type=click.Choice(["make", "show"]), default="make")
@click.option("--root", is_flag=True, help="The root's CRL; needs the root's key.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy, DER.")
@passphrase_option
@common_options
@click.pass_obj
def crl(shell: Shell, action: str, root: bool, output: Path | None) -> None:
    """Make the next CRL (make it again before half its time is over), or show the newest."""
    name: IssuerName = "root" if root else "issuing"
    if action == "make":
        home.require(shell.directory)
        passphrase = shell.passphrase()
        with home.changing(shell.directory, now=shell.now) as opened:
            issuer = opened.issuer(name, passphrase)
            listed = issuance.make_crl(opened, name, issuer, now=shell.now)
            path = opened.crl_path(name)
    else:
        with home.reading(shell.directory) as opened:
            newest, path = opened.register.last_crl(name), opened.crl_path(name)
            assert newest is not None  # init made the first
            listed = newest
    if output:
        files.replace(output, listed.der)
    shell.answer(
        str(output or path),
        kind="crl",
        issuer=name,
        number=listed.number,
        revoked=len(listed.crl),
        next_update=listed.next_update.isoformat(),
        file=str(output or path),
    )
    shell.talk(
        f"CRL {listed.number} of the {name} CA: {len(listed.crl)} revoked, "
        f"next update {listed.next_update:%Y-%m-%d %H:%M}Z"
    )
    shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")
