"""How `issue`, `renew`, `rekey` and `request approve` hand out what they issued."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click

from pki import export, files
from pki.cli.shell import Command, Json, Shell
from pki.home import Home
from pki.register import Certified, serial_text
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where to put the files for the key's owner or the gateway."""

    directory: Path | None
    passphrase: bytes = field(repr=False)
    legacy: bool


def output_options(command: Command) -> Command:
    """Add ``-o``, ``--p12-passphrase-file`` and ``--legacy``."""
    for option in (
        click.option("--legacy", is_flag=True, help="Write .p12 files that old programs read."),
        click.option("--p12-passphrase-file", metavar="FILE", help="Protects the .p12 of -o."),
        click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False)),
    ):
        command = option(command)
    return command


def open_output(
    shell: Shell,
    directory: Path | None,
    passphrase_file: str | None,
    legacy: bool,
    *,
    holds_key: bool = True,
) -> Output:
    """Make the folder and get the passphrase, so that neither is missing after the issue.

    Raises:
        UsageError: There is no passphrase.
        OSError: The folder cannot be made.
    """
    passphrase = b""
    if directory:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory and holds_key:
        passphrase = shell.secret(
            passphrase_file,
            option="--p12-passphrase-file",
            prompt="Passphrase for the .p12 files",
            new=True,
        )
    return Output(directory=directory, passphrase=passphrase, legacy=legacy)


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
            passphrase=output.passphrase,
            legacy=output.legacy,
        )
        contents["p12"] = (f"{stem}.p12", p12, files.PRIVATE)
    for name, octets, mode in contents.values():
        files.write_new(output.directory / name, octets, mode=mode)
    return {kind: str(output.directory / name) for kind, (name, _, _) in contents.items()}
