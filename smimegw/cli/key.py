"""``smimegw key``: private keys of the gateway's users in the files keystore."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from smimegw.adapters.keys.containers import read_certificates
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_object import KeyObject
from smimegw.adapters.pkcs11.uri import TokenURI
from smimegw.addresses import Mailbox
from smimegw.cli import key_recovery as recovery
from smimegw.cli import key_rotation as rotation
from smimegw.cli.exits import Exit, exits
from smimegw.cli.key_import import import_keys, refuse_wrong_owner
from smimegw.cli.key_source import keystore_options, open_keystore, read_bounded
from smimegw.cli.key_text import SHORT, print_key
from smimegw.cli.options import config_option
from smimegw.errors import UsageError


@click.group()
def key() -> None:
    """Private keys of the gateway's users."""


for _command in (import_keys, *rotation.COMMANDS, *recovery.COMMANDS):
    key.add_command(_command)


@key.command("adopt")
@click.argument("certificate", type=click.Path(path_type=Path))
@click.argument("uri", metavar="URI")
@click.option("--address", "addresses", multiple=True, help="For this mailbox only; repeatable.")
@config_option
@exits
def adopt(certificate: Path, uri: str, addresses: tuple[str, ...], config: Path) -> None:
    """Use the key URI of the configured token with CERTIFICATE (PEM, its path may follow).

    For keys that were made in the token.  URI is a PKCS#11 URI with id or object.

    \b
    Examples:
      smimegw key adopt alice.pem "pkcs11:id=%01%02"
      smimegw key adopt alice.pem "pkcs11:object=alice%202027"
    """
    TokenURI.parse(uri)
    store = open_keystore(config, None, None)
    refuse_wrong_owner(store.path)
    found, *chain = read_certificates(read_bounded(certificate))
    store.prepare()
    mailboxes = tuple(Mailbox.parse(address) for address in addresses)
    print_key(store.adopt(found, tuple(chain), uri, mailboxes), "Adopted")


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@keystore_options
@exits
def list_(as_json: bool, config: Path, keystore_path: Path | None, kek_file: Path | None) -> Exit:
    """List the keys, newest first.

    \b
    Examples:
      smimegw key list
      smimegw key list --json
    """
    store = open_keystore(config, keystore_path, kek_file)
    for item in store.objects():
        if as_json:
            click.echo(json.dumps(_members(item, store)))
            continue
        names = ", ".join(f"<{mailbox.address}>" for mailbox in item.mailboxes)
        click.echo(
            f"{item.identifier[:SHORT]}  {item.purpose.value:<7}"
            f"  to {item.certificate.not_after:%Y-%m-%d}  {names}"
        )
    flaws = store.flaws()
    for flaw in flaws:
        click.echo(f"not readable: {flaw}", err=True)
    return Exit.CANNOT_TELL if flaws else Exit.YES


@key.command("show")
@click.argument("which", metavar="ID|ADDRESS")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@keystore_options
@exits
def show(
    which: str,
    as_json: bool,
    config: Path,
    keystore_path: Path | None,
    kek_file: Path | None,
) -> Exit:
    """Show the keys of ADDRESS, or the one whose ID begins like that.  Never shows the key.

    \b
    Examples:
      smimegw key show alice@corp.example
      smimegw key show 9f2c01ab77de --json
    """
    store = open_keystore(config, keystore_path, kek_file)
    found = _find(store.objects(), which)
    for item in found:
        if as_json:
            click.echo(json.dumps(_members(item, store)))
        else:
            print_key(item, "Key")
    if not found:
        click.echo(f"no key {which}", err=True)
    return Exit.YES if found else Exit.NO


@key.command("remove")
@click.argument("which", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@keystore_options
@exits
def remove(
    which: str, yes: bool, config: Path, keystore_path: Path | None, kek_file: Path | None
) -> None:
    """Delete the key whose ID begins like that; mail encrypted to it stays unreadable.

    \b
    Examples:
      smimegw key remove 9f2c01ab77de
      smimegw key remove 9f2c01ab77de --yes
    """
    store = open_keystore(config, keystore_path, kek_file)
    found = [item for item in store.objects() if item.identifier.startswith(which.lower())]
    if len(found) != 1 or len(which) < SHORT:
        raise UsageError(f"{len(found)} keys begin with {which}; give {SHORT} letters or more")
    print_key(found[0], "Key")
    if not yes:
        click.confirm("Delete it for good?", abort=True, err=True)
    store.remove(found[0])
    click.echo("Removed.")


def _find(objects: tuple[KeyObject, ...], which: str) -> list[KeyObject]:
    if "@" not in which:
        wanted = which.lower().removeprefix("sha256:")
        return [item for item in objects if item.identifier.startswith(wanted)]
    mailbox = Mailbox.parse(which)
    return [item for item in objects if any(mailbox.same_as(own) for own in item.mailboxes)]


def _members(item: KeyObject, store: FilesKeystore) -> dict[str, Any]:
    certificate = item.certificate
    return {
        "schema": 1,
        "kind": "key",
        "id": item.identifier,
        "mailboxes": [mailbox.address for mailbox in item.mailboxes],
        "purpose": item.purpose.value,
        "subject": certificate.subject_text,
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "chain": [above.subject_text for above in item.chain],
        "holder": item.holder.value,
        "escrowed": store.escrow_path(item).exists(),
        "key_encryption_key": item.secret.key_identifier,
    }
