"""``smimegw key``: private keys of the gateway's users in the files keystore."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric import rsa

from smimegw.adapters.keys.containers import read_certificates
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_object import KeyObject, KeyPurpose
from smimegw.addresses import Mailbox
from smimegw.cli import key_recovery as recovery
from smimegw.cli import key_rotation as rotation
from smimegw.cli.exits import Exit, exits
from smimegw.cli.key_source import (
    keystore_options,
    open_keystore,
    password_option,
    read_bounded,
    read_key_file,
)
from smimegw.cli.options import config_option
from smimegw.cms.algorithm_identifiers import KeyTransport, OAEPParameters
from smimegw.cms.algorithms import DigestAlgorithm
from smimegw.cms.keys import oaep_padding
from smimegw.errors import CertificateError, DecryptionError, UsageError

_SHORT = 12  # letters of a fingerprint on screens for people


@click.group()
def key() -> None:
    """Private keys of the gateway's users."""


for _command in (*rotation.COMMANDS, *recovery.COMMANDS):
    key.add_command(_command)


@key.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="Certificate, when not in FILE."
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    help="For this mailbox only; repeatable.  [default: all in the certificate]",
)
@click.option("--token", is_flag=True, help="Put the key into the configured token.")
@password_option
@keystore_options
@exits
def import_(
    file: Path,
    certificate: Path | None,
    addresses: tuple[str, ...],
    token: bool,
    password_file: str | None,
    config: Path,
    keystore_path: Path | None,
    kek_file: Path | None,
) -> None:
    """Import a private key with its certificates from FILE (PKCS #12 or PEM).

    A running gateway uses it at once.  With --token the private key goes into the token and the
    keystore only says where it is; it never comes out again.

    \b
    Examples:
      smimegw key import alice.p12 --password-file pass.txt
      smimegw key import key.pem --certificate alice.pem --address alice@corp.example
    """
    store = open_keystore(config, keystore_path, kek_file)
    _refuse_wrong_owner(store.path)
    mailboxes = tuple(Mailbox.parse(address) for address in addresses)
    material = read_key_file(file, password_file, certificate)
    store.prepare()
    try:
        added = (store.add_to_token if token else store.add)(material, mailboxes)
    except CertificateError as exc:
        raise UsageError(f"{file}: {exc}") from exc
    _print_key(added, "Imported")
    if token and not _decrypts_oaep(store, added):
        click.echo(
            "  note     the token cannot decrypt RSA-OAEP with SHA-256: such mail stays closed"
        )
    if store.escrows and added.purpose is KeyPurpose.BOTH:
        click.echo("  escrow   no: it can sign, too; only keys that just decrypt are escrowed")


def _decrypts_oaep(store: FilesKeystore, key: KeyObject) -> bool:
    """Whether what senders may use does open; tokens differ, and better know it now (R-48)."""
    public = key.certificate.public_key
    if not key.purpose.decrypts or not isinstance(public, rsa.RSAPublicKey):
        return True
    digest = DigestAlgorithm.SHA256
    transport = KeyTransport(oaep=OAEPParameters(digest=digest, mgf_digest=digest))
    padding = oaep_padding(transport)
    assert padding is not None
    try:
        store.decryption_key(key.identifier).decrypt(public.encrypt(bytes(32), padding), transport)
    except DecryptionError:
        return False
    return True


def _refuse_wrong_owner(directory: Path) -> None:
    """Root may write anywhere, and the gateway could not read what root wrote there.

    Raises:
        UsageError: The directory belongs to somebody else.
    """
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    owner = nearest.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise UsageError(
            f"{nearest} belongs to {name}, and a key that root writes there could not be read by"
            f" the gateway; run it again with: sudo -u {name} smimegw key import …"
        )


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
    store = open_keystore(config, None, None)
    _refuse_wrong_owner(store.path)
    found, *chain = read_certificates(read_bounded(certificate))
    store.prepare()
    mailboxes = tuple(Mailbox.parse(address) for address in addresses)
    _print_key(store.adopt(found, tuple(chain), uri, mailboxes), "Adopted")


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
            f"{item.identifier[:_SHORT]}  {item.purpose.value:<7}"
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
            _print_key(item, "Key")
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
    if len(found) != 1 or len(which) < _SHORT:
        raise UsageError(f"{len(found)} keys begin with {which}; give {_SHORT} letters or more")
    _print_key(found[0], "Key")
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


def _print_key(item: KeyObject, title: str) -> None:
    certificate = item.certificate
    names = ", ".join(f"<{mailbox.address}>" for mailbox in item.mailboxes)
    above = "".join(f" ← {issuer.subject_text}" for issuer in item.chain)
    click.echo(f"{title}  {names}")
    click.echo(f"  id       {item.identifier}")
    click.echo(f"  for      {item.purpose.value}")
    click.echo(f"  path     {certificate.subject_text}{above}")
    click.echo(f"  valid    {certificate.not_before:%Y-%m-%d} … {certificate.not_after:%Y-%m-%d}")
    click.echo(f"  kept in  {item.holder.value}, sealed with {item.secret.key_identifier}")
