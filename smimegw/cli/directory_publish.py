"""``smimegw directory publish``: put certificates where the gateway and others look for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.addresses import Mailbox
from smimegw.cli.certificate_files import contents_of
from smimegw.cli.directory_targets import (
    Bundles,
    EmbeddedTarget,
    LDAPTarget,
    Target,
    publishing_target,
)
from smimegw.cli.exits import Exit, exits
from smimegw.cli.key_source import read_bounded, read_password
from smimegw.cli.options import config_option
from smimegw.config.directories import Directory, EmbeddedDirectory, LDAPDirectory
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import DirectoryError, UsageError
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import encryption_flaw


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--name", "only", metavar="NAME", help="The directory; default is the first one.")
@click.option("--bind-dn", metavar="DN", help="Who writes, in LDAP; default is the gateway.")
@click.option(
    "--password-file",
    metavar="FILE",
    help="File whose first line is the password of --bind-dn; - is standard input.",
)
@click.option("--withdraw", is_flag=True, help="Take them back.")
@click.option(
    "--sign",
    is_flag=True,
    help="Let the owner's key, if it is in the keystore, sign in userSMIMECertificate what the "
    "gateway reads.",
)
@click.option("--dry-run", is_flag=True, help="Write the changes of an LDAP directory as LDIF.")
@config_option
@exits
def publish(
    files: tuple[Path, ...],
    only: str | None,
    bind_dn: str | None,
    password_file: str | None,
    withdraw: bool,
    sign: bool,
    dry_run: bool,
    config: Path,
) -> Exit:
    """Put the certificates in FILES (PEM or DER) into a directory of the configuration.

    Each goes to the addresses that it names; CA certificates go to CA entries. Repeating it changes
    nothing more. Exit 3 when the directory refused one. Whole CAs publish with `smimegw-ca
    publish`, certificates of correspondents come in with `smimegw directory import`.

    \b
    Examples:
      smimegw directory publish alice.pem
      smimegw directory publish alice.pem --name staff \\
          --bind-dn cn=smimegw-ca,ou=services,dc=corp,dc=example --password-file ca.password
    """
    configuration = load(config, check_files=False)
    certificates = [item for path in files for item in _certificates(path)]
    now = datetime.now(UTC)
    entry = _chosen(configuration, only)
    if isinstance(entry, EmbeddedDirectory):
        if dry_run:
            raise UsageError("--dry-run shows the changes of an LDAP directory; this one has none")
        target: Target = EmbeddedTarget.open(entry, configuration, now)
    else:
        bundles = Bundles(certificates, configuration if sign else None, now)
        where = publishing_target(entry, bind_dn, read_password(password_file))
        target = LDAPTarget(LDAPPublisher(where, dry_run=dry_run), bundles.bundle)
    act = target.withdraw if withdraw else target.publish
    try:
        refused = [
            _one(item, act, target, now=None if withdraw else now, ldif=dry_run)
            for item in certificates
        ]
    finally:
        target.close()
    return Exit.WARNINGS if any(refused) else Exit.YES


def _one(
    certificate: Certificate,
    act: Callable[[Mailbox, Certificate], str],
    target: Target,
    *,
    now: datetime | None,
    ldif: bool,
) -> bool:
    """Publish a certificate, or withdraw it without *now*; whether anything was refused."""
    if certificate.is_ca:
        if now is None:
            raise UsageError("CA certificates are taken back by `smimegw-ca publish`")
        _say(target.publish_authority(certificate), certificate.subject_text, ldif=ldif)
        return False
    flaw = encryption_flaw(certificate, now) if now else ""
    if flaw or not certificate.mailboxes:
        reason = flaw or "it names no address"
        click.echo(f"WARN  {certificate.subject_text}: not published: {reason}", err=True)
        return True
    refused = False
    for mailbox in certificate.mailboxes:
        try:
            _say(act(mailbox, certificate), f"<{mailbox.address}>", ldif=ldif)
        except DirectoryError as error:
            if error.retryable:
                raise
            click.echo(f"WARN  <{mailbox.address}>: {error}", err=True)
            refused = True
    return refused


def _say(change: str, whose: str, *, ldif: bool) -> None:
    if ldif:
        click.echo(change)
    else:
        click.echo(f"{'changed' if change else 'as it was'}  {whose}")


def _certificates(path: Path) -> tuple[Certificate, ...]:
    contents = contents_of(read_bounded(path))
    if contents.flaws or not contents.certificates:
        raise UsageError(f"{path}: {'; '.join(contents.flaws) or 'there is no certificate in it'}")
    return contents.certificates


def _chosen(configuration: Configuration, only: str | None) -> LDAPDirectory | EmbeddedDirectory:
    entries: Sequence[Directory] = configuration.directories
    writable = [
        entry
        for entry in entries
        if isinstance(entry, LDAPDirectory | EmbeddedDirectory) and only in (None, entry.name)
    ]
    if not writable:
        known = ", ".join(f"{entry.name} ({entry.kind})" for entry in entries)
        raise UsageError(f"no directory of that name that can be written; there are: {known}")
    return writable[0]
