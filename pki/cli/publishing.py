"""`smimegw-ca publish`: tells the gateway and everybody else what the CA has issued."""

from __future__ import annotations

from pathlib import Path

import click

from pki import home
from pki.cli.program import WARNINGS
from pki.cli.shell import Shell, common_options, examples
from pki.publish import EmbeddedTarget, LDAPTarget, Outcome, Plan, Target, carry_out, make_plan
from pki.register import Certified, serial_text
from smimegw.adapters.ldap.publisher import PublishingTarget
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
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
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
    dry_run: bool,
) -> None:
    """Publish encryption certificates, CA certificates and CRLs; withdraw revoked and expired ones.

    Repeating it changes nothing more.  Exit 3 when the directory refused single entries.
    """
    if bool(embedded) == bool(ldap_url):
        raise UsageError("Say where to: either --embedded DATABASE or --ldap URL.")
    home.require(shell.directory)
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
        )
    with home.reading(shell.directory) as opened:
        plan = make_plan(opened, now=shell.now)
        issuing = opened.authority("issuing")
    if ldap:
        _to_ldap(plan, ldap, issuing, shell, dry_run=dry_run)
    elif dry_run:
        _show(plan, shell)
    else:
        assert embedded
        outcome = _carry_out(plan, EmbeddedTarget.open(embedded, now=shell.now))
        _report(outcome, embedded, shell)


def _ldap_target(
    url: str,
    *,
    bind_dn: str,
    password: str,
    people_base: str,
    authorities_base: str,
    ca: Path | None,
    start_tls: bool,
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
    )


def _to_ldap(
    plan: Plan, where: PublishingTarget, issuing: Certified, shell: Shell, *, dry_run: bool
) -> None:
    try:
        target = LDAPTarget(where, issuing=issuing, dry_run=dry_run)
        outcome = _carry_out(plan, target)
    except DirectoryError as error:
        raise DirectoryError(_in_options(str(error)), server=error.server) from error
    if not dry_run:
        _report(outcome, where.urls, shell)
        return
    ldif = "\n".join(target.ldif)
    shell.answer(ldif, kind="plan", target=where.urls, ldif=ldif, refused=list(outcome.refused))
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


def _show(plan: Plan, shell: Shell) -> None:
    for word, items in (("publish", plan.publish), ("withdraw", plan.withdraw)):
        for item in items:
            serial = serial_text(item.serial)
            shell.answer(
                f"{word}  <{item.mailbox}>  {serial}",
                kind="plan",
                action=word,
                mailbox=item.mailbox.address if item.mailbox else None,
                serial=serial,
            )
    for authority in plan.authorities:
        shell.answer(
            f"publish  CA certificate  {authority.name}",
            kind="plan",
            action="publish-authority",
            serial=serial_text(authority.serial),
        )
    for listed in plan.crls:
        shell.answer(
            f"publish  CRL {listed.number} of the {listed.issuer} CA",
            kind="plan",
            action="publish-crl",
            issuer=listed.issuer,
            number=listed.number,
        )
    shell.talk("Nothing was written.")
    shell.suggest("the same without --dry-run")


def _report(outcome: Outcome, where: str, shell: Shell) -> None:
    shell.answer(
        f"{outcome.published} published, {outcome.withdrawn} withdrawn, "
        f"{outcome.authorities} CA certificates, {outcome.crls} CRLs",
        kind="published",
        target=where,
        published=outcome.published,
        withdrawn=outcome.withdrawn,
        authorities=outcome.authorities,
        crls=outcome.crls,
        refused=list(outcome.refused),
    )
    for text in outcome.refused:
        shell.warn(text)
    if outcome.refused:
        click.get_current_context().exit(WARNINGS)
    shell.suggest("smimegw directory find ADDRESS")
