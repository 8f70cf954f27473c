"""`smimegw-ca install` and `rollover`: the issuing CA's certificate and its successor."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from pki import installing, opening, rollover
from pki.certified import IssuerName
from pki.cli.founding import (
    key_options,
    read_key_options,
    show_request,
)
from pki.cli.handing import describe
from pki.cli.root import read_carried
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.hierarchy import NewKey
from pki.home import Home
from pki.places import FIRST, ROOT, successor
from pki.serial_numbers import serial_text
from pki.subjects import clean_name
from smimegw.errors import UsageError
from smimegw.x509.certificate import PARSE_ERRORS

_FILE_OCTETS = 16 * 1024 * 1024
_PEM_CRL = b"-----BEGIN X509 CRL-----"


@click.command(
    epilog=examples("smimegw-ca install answer.pem", "smimegw-ca install answer.pem root.crl")
)
@click.argument(
    "sources",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
)
@passphrase_option
@common_options
@click.pass_obj
def install(shell: Shell, sources: tuple[Path, ...]) -> None:
    """Take what an offline root sent: certificates, its CRL, or both."""
    certificates, crls = _sorted_out([(path, read_carried(path)) for path in sources])
    opening.require(shell.directory)
    if certificates:
        _install_certificates(shell, certificates)
    for crl in crls:
        with opening.changing(shell.directory, now=shell.now) as opened:
            number = installing.install_crl(opened, crl, now=shell.now)
        shell.answer(str(number), kind="crl", issuer=ROOT, number=number)
        shell.talk(f"Took CRL {number} of the root.")
    shell.suggest("smimegw-ca status")


@click.command(
    "rollover",
    epilog=examples(
        "smimegw-ca rollover",
        "smimegw-ca rollover --key p-384 --days 1825",
        "smimegw-ca rollover --external-root   # the root is on another machine",
    ),
)
@key_options
@click.option("--days", type=click.IntRange(1, 7300), default=1825, show_default=True)
@click.option("--name", help="Another name; then there are no cross certificates.")
@click.option("--external-root", is_flag=True, help="Make a request for a root that is elsewhere.")
@passphrase_option
@common_options
@click.pass_obj
def rollover_command(
    shell: Shell,
    key: str,
    experimental: bool,
    token: str | None,
    pin_file: str | None,
    days: int,
    name: str | None,
    external_root: bool,
) -> None:
    """Give the issuing CA a new key and a new certificate.

    From then on the new key issues.  What the old one issued stays good to its end, and the old
    key signs CRLs until then: keep it.  An interrupted roll-over is finished by the same command.
    """
    keys = read_key_options(key, token, pin_file, experimental=experimental)
    named = clean_name(name) if name is not None else ""
    with opening.reading(shell.directory) as opened:
        current = opened.issuing
        unfinished = _unfinished(opened, current)
        subject = opened.authority(current).name
        if not (unfinished or external_root or opened.holds_key(ROOT)):
            raise UsageError(
                f"The root's key is not in {opened.path}. Bring it back for the roll-over, or, "
                "where the root is on another machine, add --external-root: then a request to it "
                "is written."
            )
    if not unfinished:
        shell.confirm(f"Give {subject} a new key?")
    passphrase = shell.passphrase()
    with opening.changing(shell.directory, now=shell.now) as opened:
        place = current
        if not unfinished:
            new = NewKey(kind=keys.kind, token=keys.token)
            place, request = rollover.begin(
                opened, new, passphrase=passphrase, now=shell.now, name=named
            )
            if not external_root:
                rollover.certify_here(
                    opened, place, request, days=days, passphrase=passphrase, now=shell.now
                )
        if not external_root or unfinished:
            _finish(shell, opened, place, passphrase)
            return
    show_request(shell, successor(current))


def _unfinished(opened: Home, place: IssuerName) -> bool:
    """Whether the newest issuing CA was certified, and a crash kept it from its first CRL."""
    return place != FIRST and opened.register.last_crl(place) is None


def _finish(shell: Shell, opened: Home, place: IssuerName, passphrase: bytes) -> None:
    crossed = rollover.finish(opened, place, passphrase=passphrase, now=shell.now)
    new = opened.authority(place)
    path = opened.certificate_path(place)
    shell.answer(
        str(path),
        **describe(new, shell),
        place=place,
        file=str(path),
        cross_certificates=[serial_text(item.serial) for item in crossed],
    )
    shell.talk(
        f"{new.name} issues with its key {place} now, to {new.not_after:%Y-%m-%d}; "
        f"{len(crossed)} cross certificates. Keep the older keys: they sign CRLs."
    )
    shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")


def _install_certificates(shell: Shell, certificates: list[x509.Certificate]) -> None:
    passphrase = shell.passphrase()
    with opening.changing(shell.directory, now=shell.now) as opened:
        known = ROOT in opened.issuers
        for certificate in certificates if not known else []:
            if certificate.subject == certificate.issuer:
                digest = fingerprint_of(certificate)
                shell.confirm(f"Trust the root {certificate.subject.rfc4514_string()}, {digest}?")
        place = installing.install(opened, certificates, passphrase=passphrase, now=shell.now)
        _finish(shell, opened, place, passphrase)


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return ``sha256:`` and 64 hexadecimal digits, to compare with what the root's people say."""
    return "sha256:" + certificate.fingerprint(SHA256()).hex()


def _sorted_out(
    sources: list[tuple[Path, bytes]],
) -> tuple[list[x509.Certificate], list[x509.CertificateRevocationList]]:
    certificates: list[x509.Certificate] = []
    crls: list[x509.CertificateRevocationList] = []
    for path, octets in sources:
        try:
            if octets.startswith(_PEM_CRL):
                crls.append(x509.load_pem_x509_crl(octets))
            elif octets.lstrip().startswith(b"-----BEGIN"):
                certificates += x509.load_pem_x509_certificates(octets)
            else:
                _read_der(octets, certificates, crls)
        except PARSE_ERRORS as error:
            raise UsageError(
                f"{path}: is neither a certificate nor a CRL, PEM or DER. Give the files that the "
                "root wrote: smimegw-ca root sign -o, smimegw-ca root crl -o."
            ) from error
    return certificates, crls


def _read_der(
    octets: bytes,
    certificates: list[x509.Certificate],
    crls: list[x509.CertificateRevocationList],
) -> None:
    try:
        certificates.append(x509.load_der_x509_certificate(octets))
    except ValueError:
        crls.append(x509.load_der_x509_crl(octets))
