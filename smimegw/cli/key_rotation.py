"""``smimegw key generate-kek``, ``rotate``, ``destroy-kek``: a key-encryption key's life."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.keys.passphrase import is_protected, protect
from smimegw.cli.exits import Exit, exits
from smimegw.cli.key_source import (
    keystore_options,
    open_keystore,
    read_bounded,
    read_password,
)
from smimegw.cli.options import config_option
from smimegw.cli.whole_files import write_new
from smimegw.config.load import load
from smimegw.errors import UsageError
from smimegw.keystores import generate_in_token


@click.command("generate-kek")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--passphrase-file",
    metavar="FILE",
    help="File whose first line is a passphrase to protect it with; - is standard input.",
)
@click.option("--token", "label", metavar="LABEL", help="Make it in the configured token instead.")
@config_option
@exits
def generate_kek(
    file: Path | None, passphrase_file: str | None, label: str | None, config: Path
) -> None:
    """Make the key-encryption key and write it to FILE, which must not exist.

    Every private key in the keystore is encrypted under it.  Keep a copy in a safe place, apart
    from backups of the keystore: without it no key can ever be opened again.  With --token it is
    made in the token and never leaves it; then a copy of the token is the copy.

    \b
    Examples:
      smimegw key generate-kek /etc/smimegw/kek
      smimegw key generate-kek ./kek --passphrase-file -
      smimegw key generate-kek --token kek-2027
    """
    if (file is None) == (label is None):
        raise UsageError("give the FILE to write, or --token LABEL, and not both")
    if label is not None:
        token = load(config, check_files=False).keystore.token
        if token is None:
            raise UsageError(f"{config} names no token; add a section [keystore.token]")
        identifier = generate_in_token(token, label).identifier
        click.echo(f'Made {label} in the token "{token.label or token.serial}": {identifier}')
        click.echo("Next: name it in the configuration, and copy the token:")
        click.echo("    [keystore.token]")
        click.echo(f"    key_encryption_key = {json.dumps(label)}")
    elif file is not None:
        new = KeyEncryptionKey.generate()
        passphrase = read_password(passphrase_file)
        write_new(file, new.export() if passphrase is None else protect(new, passphrase))
        click.echo(f"Written {file}: {new.identifier}")
        click.echo("Next: name it in the configuration, and keep a copy apart from the backups:")
        click.echo("    [keystore]")
        click.echo(f"    key_encryption_key = {{ file = {json.dumps(str(file.absolute()))} }}")
        if passphrase is not None:
            click.echo('    passphrase = { credential = "NAME" }   # or { file = "PATH" }')


@click.command("rotate")
@click.option(
    "--previous-kek-file",
    "previous",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Earlier key-encryption key of --keystore; repeatable.",
)
@keystore_options
@exits
def rotate(
    previous: tuple[Path, ...], config: Path, keystore_path: Path | None, kek_file: Path | None
) -> Exit:
    """Encrypt every key under the current key-encryption key instead of an earlier one.

    Before: make a new one (generate-kek), name it in keystore.key_encryption_key and the one until
    now in keystore.previous_key_encryption_keys, and restart the gateway, which then reads both.
    Can be stopped at any time and run again.  The private keys themselves are not opened.

    \b
    Examples:
      smimegw key rotate
      smimegw key rotate --keystore ./keys --kek-file ./new --previous-kek-file ./old
    """
    store = open_keystore(config, keystore_path, kek_file, previous)
    moved = skipped = 0
    for key, done in store.rewrap():
        moved, skipped = moved + done, skipped + (not done)
        if not done:
            click.echo(f"changed meanwhile, run it again: {key.identifier}", err=True)
    flaws = store.flaws()
    for flaw in flaws:
        click.echo(f"not readable: {flaw}", err=True)
    click.echo(f"{moved} keys moved, {len(store.objects())} keys are under {store.sealing_key}.")
    if flaws or skipped:
        return Exit.CANNOT_TELL
    click.echo("Next: back up the keystore, then: smimegw key destroy-kek OLD --backup DIRECTORY")
    return Exit.YES


@click.command("destroy-kek")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--backup",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory with the backup of the rotated keystore.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@keystore_options
@exits
def destroy_kek(
    file: Path,
    backup: Path,
    yes: bool,
    config: Path,
    keystore_path: Path | None,
    kek_file: Path | None,
) -> None:
    """Delete the earlier key-encryption key FILE, once nothing needs it any more.

    Refused while a key of the keystore is sealed with it, or while the backup lacks a key that the
    keystore has under its current key-encryption key.

    \b
    Examples:
      smimegw key destroy-kek /etc/smimegw/kek-2026 --backup /mnt/backup/keys
      smimegw key destroy-kek ./old --backup ./copy --keystore ./keys --kek-file ./new --yes
    """
    store = open_keystore(config, keystore_path, kek_file)
    identifier = _identifier_in(file)
    _refuse_if_needed(store, identifier)
    _refuse_without_backup(store, backup)
    click.echo(f"{file} ({identifier}) seals nothing, and {backup} has every key.")
    if not yes:
        click.confirm("Delete it for good?", abort=True, err=True)
    with file.open("r+b") as stream:  # what a copy-on-write disk keeps is out of our hands
        stream.write(bytes(file.stat().st_size))
        stream.flush()
        os.fsync(stream.fileno())
    file.unlink()
    click.echo("Destroyed. Delete its copies, too, and take it out of the configuration.")


COMMANDS = (generate_kek, rotate, destroy_kek)


def _refuse_if_needed(store: FilesKeystore, identifier: str) -> None:
    if store.sealing_key == identifier:
        raise UsageError("this is the current key-encryption key; make a new one and rotate first")
    needed = [key for key in store.objects() if key.secret.key_identifier == identifier]
    if needed or store.flaws():
        raise UsageError(
            f"{len(needed)} keys are still sealed with it and {len(store.flaws())} files cannot be"
            " read; run: smimegw key rotate"
        )


def _refuse_without_backup(store: FilesKeystore, backup: Path) -> None:
    kept = set(FilesKeystore(backup, None).objects())
    missing = [key for key in store.objects() if key not in kept]
    if missing:
        raise UsageError(
            f"{backup} lacks {len(missing)} keys as they are now, such as"
            f" {missing[0].identifier[:12]} of <{missing[0].mailboxes[0]}>; make the backup after"
            " the rotation"
        )


def _identifier_in(file: Path) -> str:
    """Which key a file holds; of one with a passphrase, what it says itself."""
    octets = read_bounded(file)
    if is_protected(octets):
        try:
            return str(json.loads(octets)["id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UsageError(f"{file} is not a key-encryption key") from None
    return KeyEncryptionKey.load(octets).identifier
