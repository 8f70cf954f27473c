"""``smimegw key import``: one private key from a file, or those of a whole folder."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import rsa

from smimegw.adapters.keys.containers import KeyMaterial, read_key_material
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_object import Holder, KeyObject, KeyPurpose, identifier_of
from smimegw.addresses import Mailbox
from smimegw.cli.exits import Exit, exits
from smimegw.cli.key_source import (
    keystore_options,
    open_keystore,
    password_option,
    read_bounded,
    read_key_file,
    read_password,
)
from smimegw.cli.key_text import SHORT, print_key
from smimegw.cms.algorithms import DigestAlgorithm
from smimegw.cms.key_encryption_algorithms import KeyTransport, OAEPParameters
from smimegw.cms.keys import oaep_padding
from smimegw.errors import CertificateError, DecryptionError, PasswordError, UsageError

_GIVE_UP = 20  # files refused one after the other: it is the password or the folder, not a file


@click.command("import")
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
def import_keys(
    file: Path,
    certificate: Path | None,
    addresses: tuple[str, ...],
    token: bool,
    password_file: str | None,
    config: Path,
    keystore_path: Path | None,
    kek_file: Path | None,
) -> Exit:
    """Import a private key with its certificates from FILE (PKCS #12 or PEM).

    A running gateway uses it at once.  With --token the private key goes into the token and the
    keystore only says where it is; it never comes out again.

    FILE may be a folder, such as smimegw-ca issue writes: every .p12 and .pfx in it, and every
    other file that holds a private key in PEM, all under the same password.  Keys that are in the
    keystore already are left alone, so a run that was stopped is finished by doing it again.

    \b
    Examples:
      smimegw key import alice.p12 --password-file pass.txt
      smimegw key import ./out --password-file p12.txt
      smimegw key import key.pem --certificate alice.pem --address alice@corp.example
    """
    store = open_keystore(config, keystore_path, kek_file)
    refuse_wrong_owner(store.path)
    if file.is_dir():
        if certificate is not None or addresses:
            raise UsageError("--certificate and --address are for one file, not for a folder")
        return _import_folder(store, file, read_password(password_file), token=token)
    mailboxes = tuple(Mailbox.parse(address) for address in addresses)
    material = read_key_file(file, password_file, certificate)
    _import_file(store, file, material, mailboxes, token=token)
    return Exit.YES


def _import_file(
    store: FilesKeystore,
    file: Path,
    material: KeyMaterial,
    mailboxes: tuple[Mailbox, ...],
    *,
    token: bool,
) -> None:
    store.prepare()
    try:
        added = _add(store, material, mailboxes, token=token)
    except CertificateError as exc:
        raise UsageError(f"{file}: {exc}") from exc
    print_key(added, "Imported")
    for note in _notes(store, added):
        click.echo(f"  {note}")


def _add(
    store: FilesKeystore, material: KeyMaterial, mailboxes: tuple[Mailbox, ...], *, token: bool
) -> KeyObject:
    return (store.add_to_token if token else store.add)(material, mailboxes)


def _notes(store: FilesKeystore, key: KeyObject) -> Iterator[str]:
    if key.holder is Holder.TOKEN and not _decrypts_oaep(store, key):
        yield "note     the token cannot decrypt RSA-OAEP with SHA-256: such mail stays closed"
    if store.escrows and key.purpose is KeyPurpose.BOTH:
        yield "escrow   no: it can sign, too; only keys that just decrypt are escrowed"


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


# --- a folder ------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Count:
    """What became of the files of a folder."""

    imported: int = 0
    there: int = 0
    refused: int = 0

    @property
    def exit(self) -> Exit:
        done = self.imported + self.there
        if self.refused:
            return Exit.WARNINGS if done else Exit.NO
        return Exit.YES if done else Exit.NO


def _import_folder(
    store: FilesKeystore, folder: Path, password: bytes | None, *, token: bool
) -> Exit:
    store.prepare()
    known = {key.identifier for key in store.objects()}
    count = _Count()
    refused_in_a_row = 0
    for file in sorted(folder.iterdir()):
        try:
            if not _holds_a_key(file):
                continue
            line = _import_one(store, file, password, known, count, token=token)
            refused_in_a_row = 0
        except (CertificateError, PasswordError, UsageError, OSError) as exc:
            count.refused += 1
            refused_in_a_row += 1
            line = f"refused   {file.name}: {exc}"
        click.echo(line)
        if refused_in_a_row == _GIVE_UP:
            click.echo(f"{_GIVE_UP} files one after the other: the rest was not tried", err=True)
            break
    click.echo(
        f"{count.imported} keys imported, {count.there} already there, {count.refused} refused"
    )
    return count.exit


def _import_one(
    store: FilesKeystore,
    file: Path,
    password: bytes | None,
    known: set[str],
    count: _Count,
    *,
    token: bool,
) -> str:
    material = read_key_material(read_bounded(file), password)
    identifier = identifier_of(material.certificate)
    if identifier in known:
        count.there += 1
        return f"there     {identifier[:SHORT]}  {file.name}"
    key = _add(store, material, (), token=token)
    known.add(identifier)
    count.imported += 1
    names = ", ".join(f"<{mailbox.address}>" for mailbox in key.mailboxes)
    lines = [f"imported  {identifier[:SHORT]}  {key.purpose.value:<7}  {names}  {file.name}"]
    return "\n".join([*lines, *(f"            {note}" for note in _notes(store, key))])


def _holds_a_key(file: Path) -> bool:
    """Certificates lie beside the keys, and are no mistake."""
    if not file.is_file():
        return False
    if file.suffix.lower() in {".p12", ".pfx"}:
        return True
    return b"PRIVATE KEY-----" in read_bounded(file)


def refuse_wrong_owner(directory: Path) -> None:
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
