"""`smimegw-ca init`: a new CA directory."""

from __future__ import annotations

from dataclasses import dataclass

import click

from pki import lint, opening
from pki.cli.first_settings import issuing_options, read_settings
from pki.cli.shell import Command, Shell, common_options, examples, passphrase_option
from pki.export import fingerprint
from pki.founding import Founding, initialise, initialise_issuing, refuse_second
from pki.keys import KeyKind
from pki.own_keys import TokenChoice
from pki.places import FIRST, ROOT
from pki.profiles import Baseline
from pki.settings import Settings
from smimegw.errors import UsageError

SIGNING_KINDS = [kind.value for kind in KeyKind if kind.signs]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """How the CA's keys are to be made."""

    kind: KeyKind
    token: TokenChoice | None


def key_options(command: Command) -> Command:
    """Add --key, --experimental, --token and --pin-file; `read_key_options` reads them."""
    for option in (
        click.option("--pin-file", metavar="FILE", help="Its first line is the token's PIN."),
        click.option("--token", metavar="URI", help="Make keys in this PKCS #11 token."),
        click.option("--experimental", is_flag=True, help="Allow kinds of keys that few read yet."),
        click.option(
            "--key",
            type=click.Choice(SIGNING_KINDS),
            default=KeyKind.RSA_3072.value,
            show_default=True,
        ),
    ):
        command = option(command)
    return command


def read_key_options(
    key: str, token: str | None, pin_file: str | None, *, experimental: bool
) -> KeyOptions:
    """Return what `key_options` asked for.

    Raises:
        UsageError: The options contradict each other.
    """
    kind = parse_kind(key, experimental=experimental)
    if bool(token) != bool(pin_file):
        raise UsageError(
            "--token and --pin-file go together: the PIN comes from a file that only you can "
            "read, never from the command line."
        )
    choice = TokenChoice(uri=token, pin_file=pin_file) if token and pin_file else None
    return KeyOptions(kind=kind, token=choice)


def parse_kind(key: str, *, experimental: bool) -> KeyKind:
    """Return the kind of key that somebody asked for.

    Raises:
        UsageError: Hardly anybody reads it yet, and nobody said that this is known.
    """
    kind = KeyKind(key)
    if kind.experimental and not experimental:
        raise UsageError(
            f"{kind} is experimental: hardly any mail program reads it yet (RFC 9881, RFC 9935). "
            "Add --experimental when you know who reads yours."
        )
    return kind


@click.command(
    epilog=examples(
        'smimegw-ca init --name "Corp Mail CA" --domain corp.example --domain .corp.example',
        "smimegw-ca init -d ./ca --name Test --key p-256 --passphrase-file pass.txt --no-input",
        'smimegw-ca init --name "Corp Mail CA" --external-root   # the root is on another machine',
    )
)
@click.option("--name", help="Name of the issuing CA; the root gets “Root” behind it.")
@issuing_options
@key_options
@click.option("--external-root", is_flag=True, help="Make a request for a root that is elsewhere.")
@click.option("--root-days", type=click.IntRange(1, 14600), default=7300, show_default=True)
@click.option("--issuing-days", type=click.IntRange(1, 7300), default=1825, show_default=True)
@passphrase_option
@common_options
@click.pass_obj
def init(
    shell: Shell,
    name: str | None,
    key: str,
    experimental: bool,
    token: str | None,
    pin_file: str | None,
    external_root: bool,
    root_days: int,
    issuing_days: int,
) -> None:
    """Make a root and an issuing CA in an empty directory.

    With --external-root only the issuing CA: its request is carried to the root (`smimegw-ca
    root sign`), and what comes back is taken by `smimegw-ca install`.
    """
    name = name or asked_name(shell)
    keys = read_key_options(key, token, pin_file, experimental=experimental)
    chosen = read_settings(keys.kind)
    founding = Founding(
        name=name,
        settings=chosen,
        key_kind=keys.kind,
        root_days=root_days,
        issuing_days=issuing_days,
        token=keys.token,
    )
    refuse_second(shell.directory)
    passphrase = shell.passphrase(new=True)
    if external_root:
        initialise_issuing(shell.directory, founding, passphrase=passphrase, now=shell.now)
        show_request(shell, FIRST)
        _remark(shell, chosen)
        return
    initialise(shell.directory, founding, passphrase=passphrase, now=shell.now)
    _show_new(shell, in_token=keys.token is not None)
    if not chosen.domains:
        shell.warn("no --domain was given: a thief of this CA could issue for any address")
    _remark(shell, chosen)
    shell.suggest("smimegw-ca issue ADDRESS --profile pair")


def asked_name(shell: Shell) -> str:
    """Ask for the CA's name.

    Raises:
        UsageError: Nobody is there.
    """
    if not shell.may_ask:
        raise UsageError("The CA needs a name. Give --name, for example --name 'Corp Mail CA'.")
    return str(click.prompt("Name of the CA", default="Mail CA", err=True))


def show_request(shell: Shell, place: str) -> None:
    """Tell where the request to the root is, and what happens with it."""
    path = shell.directory / place / "request.pem"
    shell.answer(str(path), kind="authority-request", request=str(path), place=place)
    shell.talk(
        f"Carry {path} to the machine with the root and sign it there:\n"
        f"  smimegw-ca root sign request.pem --domain … -o answer.pem\n"
        "Then bring answer.pem (and the root's CRL) back:"
    )
    shell.suggest("smimegw-ca install answer.pem root.crl")


def _remark(shell: Shell, chosen: Settings) -> None:
    if chosen.baseline is not Baseline.NONE:
        return
    if not chosen.crl_urls:
        shell.talk(
            "Certificates will not follow the S/MIME Baseline Requirements: give --crl-url and "
            "--issuer-url, or write them and baseline into ca.toml."
        )
    elif internal := lint.internal_names(chosen.domains, chosen.crl_urls):
        shell.talk(
            "Certificates will not follow the S/MIME Baseline Requirements: no registry gives out "
            f"what {', '.join(internal)} ends in."
        )


def _show_new(shell: Shell, *, in_token: bool) -> None:
    with opening.reading(shell.directory) as opened:
        root = fingerprint(opened.authority(ROOT))
        certificate = opened.certificate_path(ROOT)
        issuing = opened.certificate_path(FIRST)
    shell.answer(
        str(certificate),
        kind="authority",
        root_certificate=str(certificate),
        issuing_certificate=str(issuing),
        root_fingerprint=root,
    )
    apart = "keep root/key.pem off this machine except for renewing the root's CRL."
    shell.talk(
        f"Root fingerprint {root}\n"
        f"Readers have to trust {certificate} (gateway: trust.anchors).\n"
        f"Back up {shell.directory}; {'back up the token as well.' if in_token else apart}"
    )
