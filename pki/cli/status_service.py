"""`smimegw-ca serve` and `ocsp`: what everybody may ask of the CA over HTTP."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import click
from cryptography import x509

from pki import opening, responder
from pki.certified import IssuerName
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.places import ROOT
from pki.serial_numbers import serial_text
from smimegw.errors import UsageError

_DUE = (("crl", "make", "--due"), ("ocsp", "make", "--due"))


@click.command(
    epilog=examples(
        "smimegw-ca serve --listen 127.0.0.1:8080",
        "smimegw-ca serve --make-due --passphrase-file /run/credentials/…/passphrase",
    )
)
@click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="ADDRESS:PORT")
@click.option(
    "--make-due",
    is_flag=True,
    help="Also make CRLs and the responder's certificate when due, in processes of their own.",
)
@passphrase_option
@common_options
@click.pass_obj
def serve(shell: Shell, listen: str, make_due: bool) -> None:
    """Answer OCSP, and hand out CRLs and the CA's certificates, over plain HTTP.

    /ocsp, /crl/issuing.crl, /crl/issuing-delta.crl, /crl/root.crl, /aia/issuing.cer, /aia/root.cer
    (or .p7c) and /healthz.  The process reads the ledger and holds the responder's key only.
    """
    require_extra("serve")
    from pki.serve import site  # noqa: PLC0415 - aiohttp is an extra
    from pki.serve.hosting import hosting, run_until_stopped  # noqa: PLC0415
    from pki.serve.records import Records  # noqa: PLC0415
    from pki.serve.timer import making_due  # noqa: PLC0415

    host, port = parse_listen(listen)
    if make_due and not shell.passphrase_file:
        raise UsageError("--make-due signs every day: it needs the passphrase in a file.")

    async def run() -> None:
        records = Records.open(shell.directory)
        companions: list[AbstractAsyncContextManager[None]] = []
        if make_due and shell.passphrase_file:
            timer = making_due(shell.directory, shell.passphrase_file, _DUE, shell.warn)
            companions.append(timer)
        for trouble in records.troubles(shell.now):
            shell.warn(trouble)
        try:
            served = hosting(site.application(records, lambda: datetime.now(UTC)), host, port)
            await run_until_stopped(served, lambda url: listening(shell, url), *companions)
        finally:
            records.close()

    asyncio.run(run())


@click.command(epilog=examples("smimegw-ca ocsp make", "smimegw-ca ocsp make --due --no-input"))
@click.argument("action", type=click.Choice(["make"]), default="make")
@click.option("--due", is_flag=True, help="Only when half the time of the last one is over.")
@passphrase_option
@common_options
@click.pass_obj
def ocsp(shell: Shell, action: str, due: bool) -> None:  # noqa: ARG001 - room for others
    """Appoint a new OCSP responder: a new key and a short-lived certificate for it."""
    opening.require(shell.directory)
    with opening.reading(shell.directory) as opened:
        issuing = [name for name in opened.listing(now=shell.now) if name != ROOT]
        waiting = [
            name
            for name in issuing or [opened.issuing]
            if not due or _is_due(shell, name, opened.authority(name).certificate)
        ]
    if not waiting:
        shell.talk("The OCSP responder is not due.")
        return
    passphrase = shell.passphrase()
    for name in waiting:
        with opening.changing(shell.directory, now=shell.now) as opened:
            issuer = opened.issuer(name, passphrase)
            made = responder.appoint(opened, name, issuer, now=shell.now)
        serial = serial_text(made.serial)
        shell.answer(
            str(made.path),
            kind="ocsp-responder",
            serial=serial,
            not_after=made.not_after.isoformat(),
            file=str(made.path),
        )
        shell.talk(f"Responder {serial} of the {name} CA, valid to {made.not_after:%Y-%m-%d}")
    shell.suggest("smimegw-ca serve")


def _is_due(shell: Shell, name: IssuerName, issuer: x509.Certificate) -> bool:
    return responder.is_due(shell.directory, name, issuer, now=shell.now)


def listening(shell: Shell, url: str) -> None:
    """Tell where the service is reached; the port may have been chosen just now."""
    shell.answer(url, kind="listening", url=url)


def parse_listen(text: str) -> tuple[str, int]:
    """Return address and port of ``127.0.0.1:8080`` or ``[::1]:8080``.

    Raises:
        UsageError: It is none.
    """
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise UsageError(f"--listen {text!r} is not ADDRESS:PORT, such as 127.0.0.1:8080.")
    return host, int(port)


def require_extra(command: str) -> None:
    """Make sure that what serves HTTP is installed.

    Raises:
        UsageError: It is not.
    """
    if importlib.util.find_spec("aiohttp") is None:
        raise UsageError(
            f"smimegw-ca {command} needs the package aiohttp. Install it with: pip install "
            "'smimegw[ca]'"
        )
