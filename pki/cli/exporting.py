"""`smimegw-ca export`: one certificate again, alone, with its issuers, or with its key."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding

from pki import export as packing
from pki import files, keys, mobileconfig, opening
from pki.certified import Certified
from pki.cli.handing import describe, open_sheets, sheet_options
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.errors import RequestError
from pki.export import Format
from pki.home import Home
from pki.mobileconfig import Identity
from pki.serial_numbers import serial_text
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.errors import UsageError
from smimegw.x509.certificate import Certificate

_WITH_KEY = (Format.P12, Format.MOBILECONFIG)


@click.command(
    epilog=examples(
        "smimegw-ca export 4F9A21 --format p12 -o alice.p12 --p12-passphrase-file p12.txt",
        "smimegw-ca export 4F9A21 --format p12 --legacy -o alice.p12    # for GnuPG 2.2",
        "smimegw-ca export 4F9A21 --format mobileconfig --signer 77AB12 -o alice.mobileconfig \\",
        "    --sheets sheets --client apple",
        "smimegw-ca export 4F9A21 --format chain > chain.pem",
    )
)
@click.argument("serial")
@click.option("--format", "form", type=click.Choice([form.value for form in Format]), required=True)
@click.option("--signer", metavar="SERIAL", help="Whose key signs the .mobileconfig.")
@click.option("--legacy", is_flag=True, help="3DES and SHA-1, for programs that read nothing else.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--p12-passphrase-file", metavar="FILE", help="Protects the key in the file.")
@sheet_options
@passphrase_option
@common_options
@click.pass_obj
def export(
    shell: Shell,
    serial: str,
    form: str,
    signer: str | None,
    legacy: bool,
    output: Path | None,
    p12_passphrase_file: str | None,
) -> None:
    """Write a certificate (pem), it and its issuers (chain), or also its key (p12, mobileconfig).

    A .mobileconfig installs key and issuers on Apple devices.  It is signed with the key of another
    certificate of this CA, for example one that was issued to the PKI administrator.
    """
    wanted = Format(form)
    _check(wanted, output, signer)
    with opening.reading(shell.directory) as opened:
        certified = opened.register.find(serial)
        match wanted:
            case Format.PEM:
                octets = packing.pem(certified)
            case Format.CHAIN:
                octets = packing.chain(opened, certified)
            case Format.P12 | Format.MOBILECONFIG:
                octets = _with_key(
                    opened, certified, shell, p12_passphrase_file, signer=signer, legacy=legacy
                )
    _deliver(shell, certified, octets, output, secret=wanted in _WITH_KEY)
    if wanted is Format.P12:
        shell.suggest(f"smimegw key import {output or 'FILE'}")
    elif wanted is Format.MOBILECONFIG:
        shell.suggest("send the file and the password by two different ways")
    else:
        shell.suggest("openssl x509 -noout -text -in FILE")


def _check(wanted: Format, output: Path | None, signer: str | None) -> None:
    if wanted in _WITH_KEY and output is None and sys.stdout.isatty():
        raise UsageError(f"A .{wanted} file is not for a terminal. Give -o FILE.")
    if output and output.exists():
        raise UsageError(f"{output}: exists already and is never overwritten. Give another name.")
    if (wanted is Format.MOBILECONFIG) != bool(signer):
        raise UsageError("--format mobileconfig and --signer SERIAL belong together.")


def _with_key(
    opened: Home,
    certified: Certified,
    shell: Shell,
    passphrase_file: str | None,
    *,
    signer: str | None,
    legacy: bool,
) -> bytes:
    mailbox = packing.require_key(certified)
    ca_passphrase = shell.passphrase()
    credential = _credential(opened, signer, ca_passphrase, shell) if signer else None
    sheets = open_sheets(shell)
    if sheets and passphrase_file:
        raise UsageError("--sheets takes the place of --p12-passphrase-file; give one of them.")
    option, prompt = "--p12-passphrase-file", "Passphrase for the .p12 file"
    if sheets:
        passphrase = sheets.password(mailbox, certified.name)
    else:
        passphrase = shell.secret(passphrase_file, option=option, prompt=prompt, new=True)
    pkcs12 = packing.pkcs12_file(
        opened, certified, ca_passphrase=ca_passphrase, passphrase=passphrase, legacy=legacy
    )
    if credential is None:
        return pkcs12
    profile = mobileconfig.write_profile(
        Identity(
            mailbox=mailbox,
            pkcs12=pkcs12,
            file_name=f"{packing.file_name(certified)}.p12",
            above=packing.issuers(opened, certified),
        ),
        organization=opened.settings.organization,
    )
    return mobileconfig.sign_profile(profile, credential, now=shell.now)


def _credential(opened: Home, serial: str, ca_passphrase: bytes, shell: Shell) -> SigningCredential:
    certified = opened.register.find(serial)
    packing.require_key(certified)
    text = serial_text(certified.serial)
    status = certified.status(shell.now)
    if status != "valid" or not (certified.profile and certified.profile.signs):
        raise UsageError(
            f"{text} cannot sign: it is {status}, for {certified.profile}. Take a valid one of "
            "profile mailbox-sign or mailbox-both."
        )
    key = keys.read_signing_key(opened.key_path(certified.serial), ca_passphrase)
    if isinstance(key, mldsa.MLDSA65PrivateKey):
        raise RequestError(f"{text} has an ML-DSA key, which Apple devices do not know.")
    above = (
        Certificate.parse(certificate.public_bytes(Encoding.DER))
        for certificate in packing.issuers(opened, certified)
    )
    return SigningCredential(
        Certificate.parse(certified.der), tuple(above), SoftwareSigningKey(key)
    )


def _deliver(
    shell: Shell, certified: Certified, octets: bytes, output: Path | None, *, secret: bool
) -> None:
    if output is None:
        sys.stdout.buffer.write(octets)
        return
    files.write_new(output, octets, mode=files.PRIVATE if secret else files.PUBLIC)
    shell.answer(str(output), **describe(certified, shell), file=str(output))
