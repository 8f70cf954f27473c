"""`smimegw-ca list`, `show` and `export`: what the CA has issued."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import click

from pki import export as packing
from pki import files, home
from pki.cli.handing import describe, parse_mailbox
from pki.cli.program import NO
from pki.cli.shell import Shell, common_options, examples, passphrase_option, table
from pki.export import Format
from pki.register import Certified, current, serial_text
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
    with home.reading(shell.directory) as opened:
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
    with home.reading(shell.directory) as opened:
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


@click.command(
    epilog=examples(
        "smimegw-ca export 4F9A21 --format p12 -o alice.p12 --p12-passphrase-file p12.txt",
        "smimegw-ca export 4F9A21 --format p12 --legacy -o alice.p12    # for GnuPG 2.2",
        "smimegw-ca export 4F9A21 --format chain > chain.pem",
    )
)
@click.argument("serial")
@click.option("--format", "form", type=click.Choice([form.value for form in Format]), required=True)
@click.option("--legacy", is_flag=True, help="3DES and SHA-1, for programs that read nothing else.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--p12-passphrase-file", metavar="FILE", help="Protects the .p12 file.")
@passphrase_option
@common_options
@click.pass_obj
def export(
    shell: Shell,
    serial: str,
    form: str,
    legacy: bool,
    output: Path | None,
    p12_passphrase_file: str | None,
) -> None:
    """Write a certificate (pem), it and its issuers (chain), or also its key (p12)."""
    if form == Format.P12 and output is None and sys.stdout.isatty():
        raise UsageError("A .p12 file is not for a terminal. Give -o FILE.")
    if output and output.exists():
        raise UsageError(f"{output}: exists already and is never overwritten. Give another name.")
    with home.reading(shell.directory) as opened:
        certified = opened.register.find(serial)
        match Format(form):
            case Format.PEM:
                octets = packing.pem(certified)
            case Format.CHAIN:
                octets = packing.chain(opened, certified)
            case Format.P12:
                packing.require_key(certified)
                octets = packing.pkcs12_file(
                    opened,
                    certified,
                    ca_passphrase=shell.passphrase(),
                    passphrase=shell.secret(
                        p12_passphrase_file,
                        option="--p12-passphrase-file",
                        prompt="Passphrase for the .p12 file",
                        new=True,
                    ),
                    legacy=legacy,
                )
    _deliver(shell, certified, octets, output, secret=form == Format.P12)
    if form == Format.P12:
        shell.suggest(f"smimegw key import {output or 'FILE'}")
    else:
        shell.suggest("openssl x509 -noout -text -in FILE")


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


def _deliver(
    shell: Shell, certified: Certified, octets: bytes, output: Path | None, *, secret: bool
) -> None:
    if output is None:
        sys.stdout.buffer.write(octets)
        return
    files.write_new(output, octets, mode=files.PRIVATE if secret else files.PUBLIC)
    shell.answer(str(output), **describe(certified, shell), file=str(output))
