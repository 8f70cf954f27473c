"""How `issue`, `renew`, `rekey` and `request approve` hand out what they issued."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from cryptography.x509.oid import NameOID

from pki import export, files, opening
from pki.certified import Certified
from pki.cli.shell import Command, Json, Shell
from pki.home import Home
from pki.serial_numbers import serial_text
from pki.sheets import Client, Sheets
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where to put the files for the key's owner or the gateway.

    Attributes:
        passphrase: Protects all of them; with *sheets* each person has one of his own.
    """

    directory: Path | None
    passphrase: bytes = field(repr=False)
    legacy: bool
    sheets: Sheets | None = None

    def passphrase_for(self, mailbox: Mailbox, name: str) -> bytes:
        """What protects a person's file; may write a sheet.

        Raises:
            OSError: The disk does not take the sheet.
            UsageError: The package that writes it is not installed.
        """
        return self.sheets.password(mailbox, name) if self.sheets else self.passphrase


def output_options(command: Command) -> Command:
    """Add ``-o``, ``--p12-passphrase-file``, ``--legacy`` and `sheet_options`."""
    for option in (
        _remembered("--legacy", is_flag=True, help="Write .p12 files that old programs read."),
        _remembered("--p12-passphrase-file", metavar="FILE", help="Protects the .p12 of -o."),
        _remembered("-o", "--output", type=click.Path(path_type=Path, file_okay=False)),
    ):
        command = option(command)
    return sheet_options(command)


def sheet_options(command: Command) -> Command:
    """Add ``--sheets`` and ``--client``, for `open_sheets`."""
    for option in (
        _remembered(
            "--client",
            type=click.Choice([client.value for client in Client]),
            multiple=True,
            help="With --sheets: tell about this program only; repeatable.",
        ),
        _remembered(
            "--sheets",
            type=click.Path(path_type=Path, file_okay=False),
            help="A one-time password for each person, on a sheet in this folder (text and PDF).",
        ),
    ):
        command = option(command)
    return command


def _remembered(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """An option whose value is for `open_output` and `open_sheets`, not for the command."""
    return click.option(*names, expose_value=False, callback=_remember, **attributes)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{__name__}.{parameter.name}"] = value


def open_sheets(shell: Shell) -> Sheets | None:
    """Return the folder of ``--sheets``, made when it is not there; None without the option.

    Raises:
        OSError: The folder cannot be made.
    """
    meta = click.get_current_context().meta
    folder: Path | None = meta.get(f"{__name__}.sheets")
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opening.reading(shell.directory) as opened:
        subject = opened.authority(opened.issuing).certificate.subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    clients = tuple(Client(word) for word in meta.get(f"{__name__}.client", ()))
    return Sheets(folder=folder, issuer=str(names[0].value), clients=clients)


def open_output(shell: Shell, *, holds_key: bool = True) -> Output:
    """Make the folder and get the passphrase, so that neither is missing after the issue.

    Raises:
        UsageError: There is no passphrase.
        OSError: The folder cannot be made.
    """
    meta = click.get_current_context().meta
    directory: Path | None = meta.get(f"{__name__}.output")
    passphrase_file: str | None = meta.get(f"{__name__}.p12_passphrase_file")
    legacy = bool(meta.get(f"{__name__}.legacy"))
    passphrase = b""
    sheets = open_sheets(shell)
    if sheets and (passphrase_file or not directory):
        raise UsageError("--sheets needs -o, and takes the place of --p12-passphrase-file.")
    if directory:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory and holds_key and not sheets:
        passphrase = shell.secret(
            passphrase_file,
            option="--p12-passphrase-file",
            prompt="Passphrase for the .p12 files",
            new=True,
        )
    return Output(directory=directory, passphrase=passphrase, legacy=legacy, sheets=sheets)


def hand_out(
    opened: Home,
    issued: Iterable[Certified],
    shell: Shell,
    *,
    passphrase: bytes,
    output: Output,
) -> list[Certified]:
    """Write the files and answer with each serial number, as the certificates come.

    Raises:
        OSError: The folder does not take the files; what is issued is kept by the CA.
    """
    done = []
    for certified in issued:
        serial = serial_text(certified.serial)
        try:
            written = _write_out(opened, certified, output, passphrase)
        except OSError:
            shell.warn(f"{serial} is issued and kept; get it with: smimegw-ca export {serial} …")
            raise
        shell.answer(serial, **describe(certified, shell), files=written)
        shell.talk(
            f"Issued {certified.profile} for <{certified.mailbox}>, "
            f"valid to {certified.not_after:%Y-%m-%d}"
        )
        done.append(certified)
    return done


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
        "request": certified.request or None,
        "publish_from": certified.publish_from.isoformat() if certified.publish_from else None,
        "revoked_at": revoked.revoked_at.isoformat() if revoked else None,
        "reason": revoked.reason if revoked else None,
    }


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


def _write_out(
    opened: Home, certified: Certified, output: Output, passphrase: bytes
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
            passphrase=output.passphrase_for(export.require_key(certified), certified.name),
            legacy=output.legacy,
        )
        contents["p12"] = (f"{stem}.p12", p12, files.PRIVATE)
    for name, octets, mode in contents.values():
        files.write_new(output.directory / name, octets, mode=mode)
    return {kind: str(output.directory / name) for kind, (name, _, _) in contents.items()}
