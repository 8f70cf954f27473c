"""`smimegw-ca publish`: tells the gateway and everybody else what the CA has issued."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click

from pki import opening
from pki.bundles import Bundles, CertificatesOnly, NoBundles, Reader, SignedByOwner
from pki.cli.published import report, show_plan
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.home import Home
from pki.plan import Keep, Plan, make_plan
from pki.publish import Outcome, Target, carry_out
from pki.targets import EmbeddedTarget, LDAPTarget
from smimegw.adapters.ldap.target import PublishingTarget
from smimegw.errors import DirectoryError, UsageError

# The adapter speaks of the gateway's configuration keys; here they are options.
_OPTIONS = {
    "url": "--ldap",
    "ca": "--ca",
    "base": "--people-base or --authorities-base",
    "bind": "--bind-dn",
    "bind.dn": "--bind-dn",
    "start_tls": "--start-tls",
}


@click.command(
    epilog=examples(
        "smimegw-ca publish --embedded /var/lib/smimegw/smimegw.db",
        "smimegw-ca publish --ldap ldaps://ldap.corp.example --bind-dn cn=ca,dc=corp,dc=example \\",
        "    --password-file ldap.txt --people-base ou=people,dc=corp,dc=example --dry-run",
    )
)
@click.option("--embedded", metavar="DATABASE", help="The gateway's database file or its URL.")
@click.option("--ldap", "ldap_url", metavar="URL", help="ldaps://HOST; several in quotation marks.")
@click.option("--bind-dn", default="", help="Who writes to the LDAP directory.")
@click.option(
    "--password-file", metavar="FILE", help="His password, in the first line; - is stdin."
)
@click.option("--people-base", default="", metavar="DN", help="Below it are people's entries.")
@click.option("--authorities-base", default="", metavar="DN", help="Below it are CA entries.")
@click.option(
    "--ca",
    "tls_ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CA certificates for TLS, PEM.",
)
@click.option("--start-tls", is_flag=True, help="Begin TLS on an ldap:// connection.")
@click.option(
    "--existing-only", is_flag=True, help="Make no entries for people who have none in LDAP."
)
@click.option(
    "--without-smime-attribute",
    is_flag=True,
    help="Write userCertificate only, not userSMIMECertificate, to LDAP.",
)
@click.option(
    "--sign-for",
    type=click.Choice([reader.value for reader in Reader]),
    help="Let people's keys, where the CA has them, sign in userSMIMECertificate what is read: by "
    "the gateway, or by their mail programs. Needs the CA's passphrase.",
)
@click.option(
    "--keep-expired",
    type=click.IntRange(0),
    default=0,
    metavar="DAYS",
    help="Leave expired certificates there for so long.",
)
@click.option(
    "--keep-revoked",
    type=click.IntRange(0),
    default=0,
    metavar="DAYS",
    help="Leave revoked certificates there for so long; the CRL names them.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@passphrase_option
@common_options
@click.pass_obj
def publish(
    shell: Shell,
    embedded: str | None,
    ldap_url: str | None,
    bind_dn: str,
    password_file: str | None,
    people_base: str,
    authorities_base: str,
    tls_ca: Path | None,
    start_tls: bool,
    existing_only: bool,
    without_smime_attribute: bool,
    sign_for: str | None,
    keep_expired: int,
    keep_revoked: int,
    dry_run: bool,
) -> None:
    """Publish encryption certificates, CA certificates and CRLs; withdraw revoked and expired ones.

    Repeating it changes nothing more.  Exit 3 when the directory refused single entries.
    """
    if bool(embedded) == bool(ldap_url):
        raise UsageError("Say where to: either --embedded DATABASE or --ldap URL.")
    opening.require(shell.directory)
    ldap = None
    if ldap_url:
        ldap = _ldap_target(
            ldap_url,
            bind_dn=bind_dn,
            password=_password(shell, password_file).decode(),
            people_base=people_base,
            authorities_base=authorities_base,
            ca=tls_ca,
            start_tls=start_tls,
            may_add_people=not existing_only,
        )
    keep = Keep(expired=timedelta(days=keep_expired), revoked=timedelta(days=keep_revoked))
    with opening.reading(shell.directory) as opened:
        plan = make_plan(opened, now=shell.now, keep=keep)
        if ldap:
            bundles = _bundles(opened, shell, sign_for, without=without_smime_attribute)
            _to_ldap(plan, ldap, bundles, shell, dry_run=dry_run)
        elif dry_run:
            show_plan(plan, shell)
        else:
            assert embedded
            outcome = _carry_out(plan, EmbeddedTarget.open(embedded, now=shell.now))
            report(outcome, embedded, shell)


def _bundles(opened: Home, shell: Shell, sign_for: str | None, *, without: bool) -> Bundles:
    if without and sign_for:
        raise UsageError("--sign-for is about the attribute that --without-smime-attribute omits.")
    if without:
        return NoBundles()
    plain = CertificatesOnly(authorities=opened.register.own_certificates())
    if not sign_for:
        return plain
    return SignedByOwner(
        home=opened,
        passphrase=shell.passphrase(),
        reader=Reader(sign_for),
        now=shell.now,
        otherwise=plain,
    )


def _ldap_target(
    url: str,
    *,
    bind_dn: str,
    password: str,
    people_base: str,
    authorities_base: str,
    ca: Path | None,
    start_tls: bool,
    may_add_people: bool,
) -> PublishingTarget:
    needed = {
        "--bind-dn": bind_dn,
        "--people-base": people_base,
        "--authorities-base": authorities_base,
    }
    missing = [option for option, value in needed.items() if not value]
    if missing:
        raise UsageError(f"--ldap also needs {', '.join(missing)}.")
    return PublishingTarget(
        urls=url,
        bind_dn=bind_dn,
        password=lambda: password,
        people_base=people_base,
        authorities_base=authorities_base,
        ca=ca,
        start_tls=start_tls,
        may_add_people=may_add_people,
    )


def _to_ldap(
    plan: Plan, where: PublishingTarget, bundles: Bundles, shell: Shell, *, dry_run: bool
) -> None:
    def show(ldif: str) -> None:
        shell.answer(ldif, kind="plan", target=where.urls, ldif=ldif)

    try:
        target = LDAPTarget(
            where, bundle=bundles.bundle, show=show if dry_run else None, dry_run=dry_run
        )
        outcome = _carry_out(plan, target)
    except DirectoryError as error:
        raise DirectoryError(
            _in_options(str(error)), server=error.server, retryable=error.retryable
        ) from error
    outcome = replace(outcome, refused=tuple(_in_options(text) for text in outcome.refused))
    if not dry_run:
        report(outcome, where.urls, shell)
        return
    for text in outcome.refused:
        shell.warn(text)
    shell.talk("Nothing was written.")
    shell.suggest("the same without --dry-run")


def _in_options(text: str) -> str:
    """The gateway's keys in *text* as the options of this command."""
    for word, option in _OPTIONS.items():
        text = text.replace(f"`{word}`", option)
    return text


def _carry_out(plan: Plan, target: Target) -> Outcome:
    try:
        return carry_out(plan, target)
    finally:
        target.close()


def _password(shell: Shell, source: str | None) -> bytes:
    return shell.secret(source, option="--password-file", prompt="Password for the LDAP directory")
