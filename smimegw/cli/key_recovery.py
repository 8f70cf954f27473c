"""``smimegw key make-recovery``, ``escrow`` and ``recover``: decryption keys for an emergency."""

from __future__ import annotations

import asyncio
import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from smimegw.adapters.keys.containers import KeyMaterial, read_certificates
from smimegw.adapters.keys.escrow import make_recovery_key, recovered, recovery_credential
from smimegw.adapters.keys.key_object import identifier_of
from smimegw.adapters.keys.shares import Share
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.cli.exits import exits
from smimegw.cli.key_source import keystore_of, read_bounded, read_password
from smimegw.cli.options import config_option
from smimegw.cli.whole_files import write_new
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import UsageError

_CERTIFICATE = "recovery.pem"
_KEY = "recovery.key.pem"
_LONGEST_REASON = 500


@click.command("make-recovery")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--needed", default=2, show_default=True, help="How many shares open it.")
@click.option("--shares", default=3, show_default=True, help="How many shares there are.")
@click.option("--name", default="S/MIME recovery", show_default=True, help="In the certificate.")
@exits
def make_recovery(directory: Path, needed: int, shares: int, name: str) -> None:
    """Make a recovery certificate in DIRECTORY, and a share of its key for each of some people.

    Decryption keys are escrowed to it from then on.  Print each share-N.txt, hand it to its person,
    and delete it; the key itself (recovery.key.pem) opens with enough shares only and belongs to
    the backups.  Do this away from the gateway.

    \b
    Examples:
      smimegw key make-recovery ./recovery
      smimegw key make-recovery ./recovery --needed 3 --shares 5
    """
    made = make_recovery_key(name, needed=needed, shares=shares, now=datetime.now(UTC))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_new(directory / _CERTIFICATE, made.certificate)
    write_new(directory / _KEY, made.key)
    for share in made.shares:
        text = (
            f"Share {share.number} of {shares}; {needed} of them open the recovery key of {name!r}."
            "\nKeep it where nobody else sees it.\n\n"
            f"{share}\n"
        )
        write_new(directory / f"share-{share.number}.txt", text.encode())
    click.echo(f"Written {directory}: {_CERTIFICATE}, {_KEY}, share-1.txt … share-{shares}.txt")
    click.echo("Next: print and hand out the shares and delete them; then, in the configuration:")
    click.echo("    [keystore]")
    click.echo(f'    recovery_certificate = "{(directory / _CERTIFICATE).absolute()}"')
    click.echo("and once, for keys from before: smimegw key escrow")


@click.command("escrow")
@config_option
@exits
def escrow(config: Path) -> None:
    """Escrow every decryption key that is not escrowed yet.

    New ones are escrowed when they are imported.  Keys that can sign, and keys in a token, never.

    \b
    Examples:
      smimegw key escrow
      smimegw key escrow -c ./smimegw.toml
    """
    store = keystore_of(load(config, check_files=False))
    count = sum(1 for _ in store.escrow())
    lacking = [key for key in store.objects() if key.purpose.decrypts]
    lacking = [key for key in lacking if not store.escrow_path(key).exists()]
    click.echo(f"{count} keys escrowed.")
    if lacking:
        click.echo(f"{len(lacking)} that decrypt cannot be: they sign, too, or are in a token.")


@click.command("recover")
@click.argument("which", metavar="ID|FILE")
@click.option(
    "--recovery-key",
    "key_file",
    type=click.Path(path_type=Path),
    required=True,
    help="recovery.key.pem of make-recovery.",
)
@click.option(
    "--recovery-certificate",
    "certificate_file",
    type=click.Path(path_type=Path),
    help="recovery.pem.  [default: as configured]",
)
@click.option(
    "--share",
    "share_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="File with a share; repeatable.  [default: asked for at the terminal]",
)
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="New file for the key (PEM)."
)
@click.option(
    "--password-file", metavar="FILE", required=True, help="Password for the new file; - is stdin."
)
@config_option
@exits
def recover(
    which: str,
    key_file: Path,
    certificate_file: Path | None,
    share_files: tuple[Path, ...],
    reason: str,
    output: Path,
    password_file: str,
    config: Path,
) -> None:
    """Open the escrowed copy of a decryption key with the shares of several people.

    Who, whose key and why is recorded first, in recoveries.jsonl in the state directory, a chain
    that `smimegw records verify` checks.  The key is written to a new file under a password;
    `smimegw key import` takes that.

    \b
    Examples:
      smimegw key recover 9f2c01ab77de --recovery-key recovery.key.pem --reason "case 4711" \\
        --share a.txt --share b.txt --output key.pem --password-file -
      smimegw key recover copy.escrow.p7m --recovery-key recovery.key.pem --reason "drill" \\
        --output key.pem --password-file pass.txt
    """
    settings = load(config, check_files=False)
    if not reason.strip() or len(reason) > _LONGEST_REASON:
        raise UsageError(f"--reason needs 1 to {_LONGEST_REASON} characters")
    if output.exists():
        raise UsageError(f"{output} is there already; it was left as it is")
    place = certificate_file or settings.keystore.recovery_certificate
    if place is None:
        raise UsageError("which recovery certificate? give --recovery-certificate FILE")
    password = read_password(password_file)
    copy = _copy(settings, which)
    shares = _shares(share_files)
    (certificate, *_) = read_certificates(read_bounded(place))
    material = recovered(copy, recovery_credential(certificate, read_bounded(key_file), shares))
    asyncio.run(_record(settings, material, reason, shares))
    write_new(output, _pem(material, password or b""))
    names = ", ".join(f"<{mailbox}>" for mailbox in material.certificate.mailboxes)
    click.echo(f"Recovered the key of {names}: {output}")
    click.echo("Recorded. Delete the file and the shares' files when you are done.")


COMMANDS = (make_recovery, escrow, recover)


def _copy(settings: Configuration, which: str) -> bytes:
    """The copy itself, or by the beginning of its key's id."""
    path = Path(which)
    if path.exists():
        return read_bounded(path)
    found = sorted(settings.keystore_path.glob("*.escrow.p7m"))
    found = [entry for entry in found if entry.name.startswith(which.lower())]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} escrowed keys begin with {which} in {settings.keystore_path};"
            " smimegw key list shows the ids"
        )
    return read_bounded(found[0])


def _shares(files: tuple[Path, ...]) -> list[Share]:
    if files:
        return [_share_in(path) for path in files]
    shares: list[Share] = []
    while not shares or len(shares) < shares[0].needed:
        text: str = click.prompt(f"Share {len(shares) + 1}", hide_input=True, err=True)
        shares.append(Share.parse(text))
    return shares


def _share_in(path: Path) -> Share:
    """The share is the last line that is not empty."""
    lines = [line for line in read_bounded(path).decode("utf-8", "replace").splitlines() if line]
    try:
        return Share.parse(lines[-1] if lines else "")
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc


async def _record(
    settings: Configuration, material: KeyMaterial, reason: str, shares: list[Share]
) -> None:
    records = JSONLinesRecords(settings.gateway.state_directory / "recoveries.jsonl")
    try:
        await records.write(
            {
                "kind": "key-recovered",
                "at": datetime.now(UTC).isoformat(),
                "by": f"{getpass.getuser()} (uid {os.getuid()})",
                "key": identifier_of(material.certificate),
                "mailboxes": [mailbox.address for mailbox in material.certificate.mailboxes],
                "shares": sorted(share.number for share in shares),
                "reason": reason.strip(),
            }
        )
    finally:
        records.close()


def _pem(material: KeyMaterial, password: bytes) -> bytes:
    pem = material.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
    for certificate in (material.certificate, *material.chain):
        pem += certificate.parsed.public_bytes(Encoding.PEM)
    return pem
