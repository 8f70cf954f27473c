"""`smimegw-ca crl`: makes the next CRLs, when they are due or at once, and shows the newest."""

from __future__ import annotations

from pathlib import Path

import click

from pki import crl as lists
from pki import crl_schedule, files, opening, places
from pki.certified import IssuerName, Listed
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.crl import Delta
from pki.home import Home


@click.command(
    epilog=examples(
        "smimegw-ca crl make",
        "smimegw-ca crl make --due --no-input     # for a timer, every hour",
        "smimegw-ca crl make --root -o root.crl",
        "smimegw-ca crl show --delta",
    )
)
@click.argument("action", type=click.Choice(["make", "show"]), default="make")
@click.option("--root", is_flag=True, help="The root's CRL; needs the root's key.")
@click.option("--due", is_flag=True, help="Make only what is due; nothing to do is no error.")
@click.option("--delta", is_flag=True, help="A delta: what changed since the last complete CRL.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy, DER.")
@passphrase_option
@common_options
@click.pass_obj
def crl(shell: Shell, action: str, root: bool, due: bool, delta: bool, output: Path | None) -> None:
    """Make the next CRL, or show the newest.

    --due makes one when half its time is over or when a revocation stands on no list yet, and asks
    for the passphrase only then.
    """
    opening.require(shell.directory)
    with opening.reading(shell.directory) as opened:
        names = (places.ROOT,) if root else _issuing(opened, shell)
        waiting = {name: crl_schedule.due(opened, name, now=shell.now) for name in names if due}
    if action == "show":
        for name in names:
            _show(shell, _newest(shell, name, delta=delta), _beside(output, name))
        return
    for name, reasons in waiting.items():
        shell.talk(f"{name} CRL due: " + "; ".join(reasons) if reasons else _not_due(name))
    names = tuple(name for name in names if not due or waiting[name])
    passphrase = shell.passphrase() if names else b""
    for name in names:
        made = _make(shell, name, passphrase, due=due, delta=delta)
        _show(shell, made, _beside(output, name))


def _issuing(opened: Home, shell: Shell) -> tuple[IssuerName, ...]:
    """The issuing CA, and those before it whose certificates are still about."""
    found = [name for name in opened.listing(now=shell.now) if name != places.ROOT]
    return tuple(found) or (opened.issuing,)


def _beside(output: Path | None, name: IssuerName) -> Path | None:
    """Where the copy for *name* goes: one file each, as in the addresses of certificates."""
    return output.with_name(places.located_name(output.name, name)) if output else None


def _not_due(name: IssuerName) -> str:
    return f"No CRL of the {name} CA is due."


def _make(
    shell: Shell, name: IssuerName, passphrase: bytes, *, due: bool, delta: bool
) -> Listed | Delta:
    with opening.changing(shell.directory, now=shell.now) as opened:
        issuer = opened.issuer(name, passphrase)
        if due:
            return crl_schedule.make_due(opened, name, issuer, now=shell.now)
        if delta:
            return lists.make_delta(opened, name, issuer, now=shell.now)
        return lists.make(opened, name, issuer, now=shell.now)


def _newest(shell: Shell, name: IssuerName, *, delta: bool) -> Listed | Delta:
    with opening.reading(shell.directory) as opened:
        current = lists.lists(opened.register, name)
    found = current.delta if delta else current.complete
    if found is None:
        raise lists.no_delta(name)
    return found


def _show(shell: Shell, made: Listed | Delta, output: Path | None) -> None:
    delta = isinstance(made, Delta)
    path = shell.directory / made.issuer / ("delta.der" if delta else "crl.der")
    if output:
        files.replace(output, made.der)
    shell.answer(
        str(output or path),
        kind="delta-crl" if delta else "crl",
        issuer=made.issuer,
        number=made.number,
        revoked=len(made.crl),
        next_update=made.next_update.isoformat(),
        file=str(output or path),
    )
    kind = "Delta CRL" if delta else "CRL"
    shell.talk(
        f"{kind} {made.number} of the {made.issuer} CA: {len(made.crl)} "
        f"{'changes' if delta else 'revoked'}, next update {made.next_update:%Y-%m-%d %H:%M}Z"
    )
    shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")
