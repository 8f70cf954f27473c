"""`smimegw-ca root`: a root in a directory of its own, offline."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding

from pki import crl as lists
from pki import files, hierarchy, opening
from pki.certified import Certified
from pki.cli.first_settings import read_subject_settings, subject_options
from pki.cli.founding import asked_name, key_options, read_key_options
from pki.cli.handing import describe
from pki.cli.shell import Shell, common_options, examples, passphrase_option, table
from pki.export import fingerprint
from pki.founding import Founding, initialise_root, refuse_second
from pki.places import ROOT
from pki.serial_numbers import serial_text
from pki.setting_values import parse_domain
from smimegw.errors import UsageError

_FILE_OCTETS = 16 * 1024 * 1024


@click.group(epilog=examples("smimegw-ca root status -d ./root", "smimegw-ca root crl -d ./root"))
def root() -> None:
    """Run a root in a directory of its own, on a machine without a network."""


@root.command(
    "init",
    epilog=examples(
        'smimegw-ca root init -d ./root --name "Corp Root CA"',
        'smimegw-ca root init -d ./root --name "Corp Root CA" --passphrase-file root.pass',
    ),
)
@click.option("--name", help="Name of the root.")
@subject_options
@key_options
@click.option("--days", type=click.IntRange(1, 14600), default=7300, show_default=True)
@passphrase_option
@common_options
@click.pass_obj
def root_init(
    shell: Shell,
    name: str | None,
    key: str,
    experimental: bool,
    token: str | None,
    pin_file: str | None,
    days: int,
) -> None:
    """Make a root alone, which signs issuing CAs and its CRL and nothing else."""
    keys = read_key_options(key, token, pin_file, experimental=experimental)
    founding = Founding(
        name=name or asked_name(shell),
        settings=read_subject_settings(),
        key_kind=keys.kind,
        root_days=days,
        token=keys.token,
    )
    refuse_second(shell.directory)
    initialise_root(shell.directory, founding, passphrase=shell.passphrase(new=True), now=shell.now)
    with opening.reading(shell.directory) as opened:
        made, path = opened.authority(ROOT), opened.certificate_path(ROOT)
    shell.answer(
        str(path), kind="authority", root_certificate=str(path), root_fingerprint=fingerprint(made)
    )
    shell.talk(
        f"Root fingerprint {fingerprint(made)}\n"
        f"Readers have to trust {path}. Keep this machine off every network."
    )
    shell.suggest("smimegw-ca root sign REQUEST --domain DOMAIN -o FILE")


@root.command(
    "sign",
    epilog=examples(
        "smimegw-ca root sign request.pem --domain corp.example -o answer.pem",
        "smimegw-ca root sign request.pem --domain corp.example --domain corp.test -o answer.pem",
    ),
)
@click.argument("request", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--domain", "domains", multiple=True, help="May issue for this domain; repeatable.")
@click.option("--any-domain", is_flag=True, help="It may issue for any domain.")
@click.option("--days", type=click.IntRange(1, 7300), default=1825, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True)
@passphrase_option
@common_options
@click.pass_obj
def root_sign(
    shell: Shell,
    request: Path,
    domains: tuple[str, ...],
    any_domain: bool,
    days: int,
    output: Path,
) -> None:
    """Sign the request of an issuing CA; the answer holds its certificate and the root's."""
    if bool(domains) == any_domain:
        raise UsageError(
            "Say which domains the CA may issue for: --domain corp.example, repeatable; or "
            "--any-domain, with which a thief of its key could issue for anybody."
        )
    permitted = tuple(parse_domain(domain) for domain in domains)
    asked = hierarchy.read_request(read_carried(request))
    name = asked.name.rfc4514_string()
    shell.confirm(f"Make {name} an issuing CA for {', '.join(permitted) or 'any domain'}?")
    opening.require(shell.directory)
    passphrase = shell.passphrase()
    with opening.changing(shell.directory, now=shell.now) as opened:
        issuer = opened.issuer(ROOT, passphrase)
        made = hierarchy.certify_issuing(
            opened, issuer, asked, domains=permitted, days=days, now=shell.now
        )
    path = [made.certificate, issuer.certificate]
    files.write_new(
        output, b"".join(each.public_bytes(Encoding.PEM) for each in path), mode=files.PUBLIC
    )
    shell.answer(serial_text(made.serial), **describe(made, shell), file=str(output))
    shell.talk(f"Signed {name}, valid to {made.not_after:%Y-%m-%d}")
    shell.suggest("smimegw-ca root crl -o root.crl   and carry both files back")


@root.command(
    "crl",
    epilog=examples("smimegw-ca root crl -o root.crl", "smimegw-ca root crl -d ./root -o root.crl"),
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy, DER.")
@passphrase_option
@common_options
@click.pass_obj
def root_crl(shell: Shell, output: Path | None) -> None:
    """Make the root's next CRL."""
    opening.require(shell.directory)
    passphrase = shell.passphrase()
    with opening.changing(shell.directory, now=shell.now) as opened:
        made = lists.make(opened, ROOT, opened.issuer(ROOT, passphrase), now=shell.now)
        path = output or opened.crl_path(ROOT)
    if output:
        files.replace(output, made.der)
    shell.answer(
        str(path),
        kind="crl",
        issuer=ROOT,
        number=made.number,
        revoked=len(made.crl),
        next_update=made.next_update.isoformat(),
        file=str(path),
    )
    shell.talk(f"CRL {made.number} of the root, next update {made.next_update:%Y-%m-%d}")
    shell.talk("Carry it to the issuing CA, and there: smimegw-ca install FILE")


@root.command(
    "status",
    epilog=examples("smimegw-ca root status -d ./root", "smimegw-ca root status -d ./root --json"),
)
@common_options
@click.pass_obj
def root_status(shell: Shell) -> None:
    """Show the root, what it signed, and its CRL."""
    with opening.reading(shell.directory) as opened:
        own, last = opened.authority(ROOT), opened.register.last_crl(ROOT)
        signed = [item for item in opened.register.own_certificates() if item.serial != own.serial]
    rows = [
        ("root", f"{own.name}, ends {own.not_after:%Y-%m-%d}"),
        ("certificate", fingerprint(own)),
        *((serial_text(item.serial), _line(item, shell)) for item in signed),
    ]
    if last:
        rows.append(("CRL", f"number {last.number}, next update {last.next_update:%Y-%m-%d}"))
    shell.answer(
        table(rows),
        kind="root-status",
        root=describe(own, shell),
        signed=[describe(item, shell) for item in signed],
        crl={"number": last.number, "next_update": last.next_update.isoformat()} if last else None,
    )
    if last and last.next_update <= shell.now:
        shell.warn("the root's CRL is out of date → smimegw-ca root crl")
    shell.suggest("smimegw-ca root crl -o root.crl")


def read_carried(path: Path) -> bytes:
    """Return the file that somebody carried here, up to 16 MiB of it."""
    with path.open("rb") as stream:
        return stream.read(_FILE_OCTETS)


def _line(item: Certified, shell: Shell) -> str:
    return f"{item.name}, ends {item.not_after:%Y-%m-%d}, {item.status(shell.now)}"
