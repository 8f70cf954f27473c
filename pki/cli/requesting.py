"""`smimegw-ca request`: who asks for a certificate, and who says yes or no."""

from __future__ import annotations

from pathlib import Path

import click

from pki import approval, files, opening, profiles
from pki.approval import Filing
from pki.cli.handing import hand_out, open_output, output_options, parse_mailbox
from pki.cli.program import NO
from pki.cli.shell import Json, Shell, common_options, examples, passphrase_option, table
from pki.keys import KeyKind
from pki.requests import Request, RequestState
from pki.serial_numbers import serial_text
from smimegw.errors import UsageError

_FILE_OCTETS = 1024 * 1024


@click.group(
    epilog=examples(
        "smimegw-ca request create alice@corp.example",
        "smimegw-ca request list",
        "smimegw-ca request approve 3",
    )
)
def request() -> None:
    """Requests for certificates: filed by one person, decided by another where ca.toml says so."""


@request.command(
    epilog=examples(
        "smimegw-ca request create alice@corp.example --profile pair",
        "smimegw-ca request create bob@corp.example --csr bob.csr --profile mailbox-sign",
        "smimegw-ca request create bob@corp.example --public-key bob.pub --challenge bob.p7m \\",
        "    --profile mailbox-encrypt",
    )
)
@click.argument("address")
@click.option("--name", default="", help="The person's name; the address when left out.")
@click.option(
    "--profile",
    type=click.Choice(list(profiles.CHOICES)),
    default=profiles.Profile.BOTH.value,
    show_default=True,
)
@click.option(
    "--key",
    type=click.Choice([kind.value for kind in KeyKind if not kind.experimental]),
    default=KeyKind.RSA_3072.value,
    show_default=True,
    help="What the CA makes, without --csr and --public-key.",
)
@click.option("--csr", type=click.Path(path_type=Path, dir_okay=False), help="A PKCS #10 request.")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A key that cannot sign; its owner has to answer a challenge.",
)
@click.option(
    "--challenge",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it, with --public-key (CMS, DER).",
)
@click.option("--days", type=click.IntRange(1, 3650), help="Validity.  [default: from ca.toml]")
@common_options
@click.pass_obj
def create(
    shell: Shell,
    address: str,
    name: str,
    profile: str,
    key: str,
    csr: Path | None,
    public_key: Path | None,
    challenge: Path | None,
    days: int | None,
) -> None:
    """File a request and print its number; nothing is issued yet, and no passphrase is needed.

    Decrypted, a challenge is a text that proves whose the key is; see `request prove`.
    """
    if csr and public_key:
        raise UsageError("--csr proves possession itself; leave --public-key out.")
    if bool(public_key) != bool(challenge):
        raise UsageError("--public-key and --challenge belong together.")
    if challenge and challenge.exists():
        raise UsageError(f"{challenge}: exists already and is never overwritten.")
    filing = Filing(
        mailbox=parse_mailbox(address),
        profiles=profiles.CHOICES[profile],
        requester=shell.operator,
        name=name,
        csr=_read(csr) if csr else None,
        public_key=_read(public_key) if public_key else None,
        key_kind=KeyKind(key),
        days=days or 0,
    )
    with opening.changing(shell.directory, now=shell.now) as opened:
        filed, question = approval.file(opened, filing, now=shell.now)
        second = opened.settings.practice.second_person
    if challenge:
        files.write_new(challenge, question, mode=files.PUBLIC)
    _show_filed(shell, filed)
    if challenge:
        shell.suggest(f"smimegw-ca request prove {filed.number} --answer FILE")
    else:
        who = "    (somebody else)" if second else ""
        shell.suggest(f"smimegw-ca request approve {filed.number}{who}")


def _show_filed(shell: Shell, filed: Request) -> None:
    shell.answer(str(filed.number), **_members(filed, shell))
    for finding in filed.findings.splitlines():
        shell.warn(finding)
    shell.talk(f"Filed for <{filed.mailbox}>; it expires on {filed.expires_at:%Y-%m-%d}")


@request.command(
    "list",
    epilog=examples("smimegw-ca request list", "smimegw-ca request list --all --json"),
)
@click.option("--all", "everything", is_flag=True, help="Also what is issued, refused, expired.")
@common_options
@click.pass_obj
def list_requests(shell: Shell, everything: bool) -> None:
    """List what waits for a proof, a decision or a certificate; exit 1 when nothing does."""
    with opening.reading(shell.directory) as opened:
        found = approval.waiting(opened, now=shell.now)
        if everything:
            found = tuple(opened.register.history.requests.values())
    if shell.json:
        for item in found:
            shell.answer("", **_members(item, shell))
    elif found:
        rows = [("REQUEST", "MAILBOX", "FOR", "BY", "EXPIRES", "STATE")]
        rows += [_row(item, shell) for item in found]
        shell.answer(table(rows))
    shell.talk(f"{len(found)} requests")
    if not found:
        click.get_current_context().exit(NO)
    shell.suggest(f"smimegw-ca request show {found[0].number}")


@request.command(epilog=examples("smimegw-ca request show 3", "smimegw-ca request show 3 --json"))
@click.argument("number", type=click.IntRange(1))
@common_options
@click.pass_obj
def show(shell: Shell, number: int) -> None:
    """Show one request and what became of it."""
    with opening.reading(shell.directory) as opened:
        item = approval.find(opened, number)
    members = _members(item, shell)
    rows = [
        (word.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value))
        for word, value in members.items()
        if word != "kind" and value not in (None, "", [])
    ]
    shell.answer(table(rows), **members)
    if item.state_at(shell.now) is RequestState.PENDING:
        shell.suggest(f"smimegw-ca request approve {number}   or   request refuse {number} …")


@request.command(
    epilog=examples(
        "openssl cms -decrypt -inform DER -in bob.p7m -inkey bob.pem > answer.txt",
        "smimegw-ca request prove 3 --answer answer.txt",
        "smimegw-ca request prove 3 --answer answer.txt --json",
    )
)
@click.argument("number", type=click.IntRange(1))
@click.option(
    "--answer",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="The text in the challenge, decrypted by the owner of the key.",
)
@common_options
@click.pass_obj
def prove(shell: Shell, number: int, answer: Path) -> None:
    """Record that the owner of the key answered the challenge (RFC 4211, 4.2)."""
    with opening.changing(shell.directory, now=shell.now) as opened:
        item = approval.find(opened, number)
        item = approval.prove(opened, item, _read(answer), now=shell.now)
    shell.answer(str(number), **_members(item, shell))
    shell.talk("Possession of the key is proven.")
    shell.suggest(f"smimegw-ca request approve {number}")


@request.command(
    epilog=examples(
        "smimegw-ca request approve 3 -o out --p12-passphrase-file p12.txt",
        "smimegw-ca request approve 3 --later    # issued when approved again",
    )
)
@click.argument("number", type=click.IntRange(1))
@click.option("--later", is_flag=True, help="Only approve; needs no passphrase.")
@output_options
@passphrase_option
@common_options
@click.pass_obj
def approve(
    shell: Shell,
    number: int,
    later: bool,
) -> None:
    """Approve a request and issue its certificates; what is approved already is issued.

    Your name for the ledger is SMIMEGW_CA_OPERATOR, who came by sudo, or the user's.
    """
    opening.require(shell.directory)
    with opening.reading(shell.directory) as opened:
        holds_key = bool(approval.find(opened, number).key)
    passphrase = b"" if later else shell.passphrase()
    target = open_output(shell, holds_key=holds_key)
    with opening.changing(shell.directory, now=shell.now) as opened:
        item = approval.find(opened, number)
        if item.state is not RequestState.ISSUED:
            item = approval.approve(opened, item, operator=shell.operator, now=shell.now)
        if later:
            shell.answer(str(number), **_members(item, shell))
            shell.suggest(f"smimegw-ca request approve {number}")
            return
        issued = approval.issue(
            opened,
            opened.issuer(opened.issuing, passphrase),
            item,
            passphrase=passphrase,
            operator=shell.operator,
            now=shell.now,
        )
        hand_out(opened, issued, shell, passphrase=passphrase, output=target)
    shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")


@request.command(
    epilog=examples(
        'smimegw-ca request refuse 3 --reason "not with us any more"',
        'smimegw-ca request refuse 4 --reason "wrong address" --json',
    )
)
@click.argument("number", type=click.IntRange(1))
@click.option("--reason", required=True, help="One line, for the ledger and the requester.")
@common_options
@click.pass_obj
def refuse(shell: Shell, number: int, reason: str) -> None:
    """Refuse a request; whoever still wants a certificate files a new one."""
    with opening.changing(shell.directory, now=shell.now) as opened:
        item = approval.find(opened, number)
        item = approval.refuse(opened, item, operator=shell.operator, reason=reason, now=shell.now)
    shell.answer(str(number), **_members(item, shell))
    shell.suggest("smimegw-ca request list")


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_FILE_OCTETS)


def _row(item: Request, shell: Shell) -> tuple[str, str, str, str, str, str]:
    return (
        str(item.number),
        f"<{item.mailbox}>",
        " ".join(item.profiles),
        item.requester,
        f"{item.expires_at:%Y-%m-%d}",
        item.state_at(shell.now),
    )


def _members(item: Request, shell: Shell) -> Json:
    return {
        "kind": "request",
        "number": item.number,
        "state": item.state_at(shell.now).value,
        "mailbox": item.mailbox.address,
        "profiles": [profile.value for profile in item.profiles],
        "name": item.name,
        "proof": item.proof.value,
        "key": item.key or None,
        "days": item.days or None,
        "filed_at": item.filed_at.isoformat(),
        "requester": item.requester,
        "expires_at": item.expires_at.isoformat(),
        "decided_at": item.decided_at.isoformat() if item.decided_at else None,
        "decided_by": item.decided_by or None,
        "reason": item.reason or None,
        "findings": item.findings.splitlines(),
        "serials": [serial_text(serial) for serial in item.serials],
    }
