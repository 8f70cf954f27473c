"""Options that say which key, keystore or password a command uses, and reading what they name."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from smimegw.adapters.keys.containers import KeyMaterial, read_key_material
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey, KeyRing
from smimegw.cli.options import config_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import UsageError
from smimegw.keystores import files_keystore
from smimegw.limits import DEFAULT_LIMITS

F = TypeVar("F", bound=Callable[..., object])

_PASSWORD_OCTETS = 4096


def keystore_options(command: F) -> F:
    """Where the keystore is: by configuration, or directly."""
    command = click.option(
        "--kek-file",
        type=click.Path(path_type=Path),
        help="Key-encryption key of --keystore.",
    )(command)
    command = click.option(
        "--keystore",
        "keystore_path",
        type=click.Path(path_type=Path),
        help="Directory of the keystore, instead of the configured one.",
    )(command)
    return config_option(command)


def password_option(command: F) -> F:
    """``--password-file FILE``, the only way a password comes in without a terminal."""
    return click.option(
        "--password-file",
        metavar="FILE",
        help="File whose first line is the password of the key file; - is standard input.",
    )(command)


def key_file_options(command: F) -> F:
    """A key in a file of its own, or else of the configured keystore."""
    kind = click.Path(path_type=Path)
    command = click.option("--certificate", type=kind, help="Certificate, when not in --key.")(
        command
    )
    command = click.option("--key", "key_file", type=kind, help="Key file (PKCS #12 or PEM).")(
        command
    )
    return password_option(config_option(command))


def keystore_of(settings: Configuration) -> FilesKeystore:
    """Return the configured keystore, locked when it has no key-encryption key.

    Raises:
        ConfigurationError: The key-encryption key cannot be read.
        KeystoreError: It is no key-encryption key.
    """
    return files_keystore(settings)


def open_keystore(
    config: Path,
    keystore_path: Path | None,
    kek_file: Path | None,
    previous: Sequence[Path] = (),
) -> FilesKeystore:
    """Return the keystore that the options of `keystore_options` name.

    Args:
        config: The configuration.
        keystore_path: A directory instead of the configured one.
        kek_file: Its key-encryption key.
        previous: Its earlier key-encryption keys.

    Raises:
        UsageError: Half of --keystore and --kek-file.
        ConfigurationError, KeystoreError, OSError: It cannot be used.
    """
    if keystore_path is None:
        if kek_file is not None or previous:
            raise UsageError("--kek-file goes with --keystore; the configuration names its own")
        return keystore_of(load(config, check_files=False))
    earlier = [KeyEncryptionKey.load(read_bounded(path)) for path in previous]
    ring = None
    if kek_file is not None:
        ring = KeyRing(KeyEncryptionKey.load(read_bounded(kek_file)), earlier)
    return FilesKeystore(keystore_path, ring)


def read_bounded(path: Path, octets: int = DEFAULT_LIMITS.key_file_octets) -> bytes:
    """Return a file's octets.

    Raises:
        UsageError: It is larger than *octets*.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(octets + 1)
    if len(content) > octets:
        raise UsageError(f"{path}: larger than {octets} octets; is that the right file?")
    return content


def read_password(password_file: str | None) -> bytes | None:
    """Return the first line of *password_file*; None when not given.

    Raises:
        UsageError: Nothing there.
        OSError: It cannot be read.
    """
    if password_file is None:
        return None
    if password_file == "-":  # noqa: S105 – standard input, no password
        line = sys.stdin.buffer.readline(_PASSWORD_OCTETS)
    else:
        with Path(password_file).open("rb") as file:
            line = file.readline(_PASSWORD_OCTETS)
    password = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")  # some editors begin with a BOM
    if not password:
        raise UsageError(f"--password-file {password_file}: the first line is empty")
    return password


def read_key_file(
    path: Path, password_file: str | None, certificate: Path | None = None
) -> KeyMaterial:
    """Read a private key with its certificates; ask for the password at a terminal.

    Raises:
        UsageError: Not a key that can be used; the text names the file.
        OSError: A file cannot be read.
    """
    octets = read_bounded(path)
    certificates = read_bounded(certificate) if certificate is not None else b""
    password = read_password(password_file)
    try:
        try:
            return read_key_material(octets, password, certificates=certificates)
        except UsageError as exc:
            if password is not None or not sys.stdin.isatty() or "has a password" not in str(exc):
                raise
        text: str = click.prompt(f"Password of {path}", hide_input=True, err=True)
        return read_key_material(octets, text.encode(), certificates=certificates)
    except UsageError as exc:
        raise type(exc)(f"{path}: {exc}") from exc
