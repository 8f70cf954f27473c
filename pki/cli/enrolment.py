"""`smimegw-ca est`: certificates for the gateway's senders, asked for by the gateway itself."""

from __future__ import annotations

import asyncio
import shlex
from datetime import UTC, datetime
from pathlib import Path

import click

from pki import files, opening
from pki.certified import Certified
from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.cli.status_service import listening, parse_listen, require_extra
from pki.serial_numbers import serial_text
from pki.subjects import clean_name


@click.group(
    epilog=examples(
        "smimegw-ca est make --host localhost --gateway gw1 -o ./for-the-gateway",
        "smimegw-ca est serve --listen 127.0.0.1:8443 --passphrase-file pass.txt",
    )
)
@common_options
@passphrase_option
def est() -> None:
    """Enrol senders of the gateway by EST (RFC 7030), with the CA's key open.

    A process of its own: what everybody may ask (smimegw-ca serve) runs without any key of the CA.
    """


@est.command(
    epilog=examples(
        "smimegw-ca est make -o ./for-the-gateway",
        "smimegw-ca est make --host ca.corp.example --gateway gw2 -o ./for-gw2",
    )
)
@click.option("--host", "hosts", multiple=True, default=("localhost",), show_default=True)
@click.option("--gateway", default="gateway", show_default=True, help="Its name, for the ledger.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True,
    help="Where the gateway's files go.",
)  # fmt: skip
@passphrase_option
@common_options
@click.pass_obj
def make(shell: Shell, hosts: tuple[str, ...], gateway: str, output: Path) -> None:
    """Make TLS certificates for the server and for one gateway, and an authority for both.

    Once more for another gateway, or before the certificates end after 825 days.
    """
    from pki.serve import access  # noqa: PLC0415 - not for the other commands

    opening.require(shell.directory)
    name = clean_name(gateway)
    passphrase = shell.passphrase()
    with opening.locked(shell.directory):
        places = access.Places.of(shell.directory)
        access.make_server(places, hosts, passphrase, now=shell.now)
        certificate, key = access.make_client(places, name, passphrase, now=shell.now)
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(output / "est-ca.pem", places.authority.read_bytes())
    files.replace(output / "gateway.key", key, mode=files.PRIVATE)
    files.replace(output / "gateway.pem", certificate)
    shell.answer(
        str(output),
        kind="est-access",
        server=str(places.server),
        authority=str(output / "est-ca.pem"),
        certificate=str(output / "gateway.pem"),
        key=str(output / "gateway.key"),
    )
    shell.talk(
        f"Carry {output} to the gateway; in smimegw.toml, table [enrolment]: ca = est-ca.pem, "
        "certificate = gateway.pem, key = { file = gateway.key }"
    )
    shell.suggest("smimegw-ca est serve")


@est.command(
    epilog=examples(
        "smimegw-ca est serve --passphrase-file pass.txt",
        "smimegw-ca est serve --listen 127.0.0.1:9443 --server est.pem --client-ca gateways.pem",
    )
)
@click.option("--listen", default="127.0.0.1:8443", show_default=True, metavar="ADDRESS:PORT")
@click.option(
    "--server", type=click.Path(path_type=Path, dir_okay=False),
    help="Certificate and key for TLS, PEM.  [default: what est make wrote]",
)  # fmt: skip
@click.option(
    "--client-ca", type=click.Path(path_type=Path, dir_okay=False),
    help="Who certifies gateways, PEM.  [default: what est make wrote]",
)  # fmt: skip
@click.option(
    "--publish", metavar="OPTIONS",
    help="After each certificate run smimegw-ca publish with these options.",
)  # fmt: skip
@passphrase_option
@common_options
@click.pass_obj
def serve(
    shell: Shell, listen: str, server: Path | None, client_ca: Path | None, publish: str | None
) -> None:
    """Serve /.well-known/est over TLS: cacerts, csrattrs, simpleenroll, simplereenroll.

    A label before these names the profile: /.well-known/est/mailbox-sign/simpleenroll; without one
    it is mailbox-both.  With requests.second_person in ca.toml each request waits for somebody to
    approve it.
    """
    require_extra("est")
    from pki.serve import est as site  # noqa: PLC0415 - aiohttp is an extra
    from pki.serve.access import Places  # noqa: PLC0415
    from pki.serve.hosting import hosting, run_until_stopped  # noqa: PLC0415
    from pki.serve.office import Office  # noqa: PLC0415
    from pki.serve.timer import AfterEach  # noqa: PLC0415

    opening.require(shell.directory)
    host, port = parse_listen(listen)
    places = Places.of(shell.directory)
    tls = site.tls_context(server or places.server, client_ca or places.authority)
    passphrase = shell.passphrase()
    command = ("publish", *shlex.split(publish)) if publish else ()

    async def run() -> None:
        office = Office(shell.directory, passphrase, lambda: datetime.now(UTC))
        publishing = AfterEach(shell.directory, command, shell.warn)

        def issued(certified: Certified) -> None:
            shell.talk(f"{serial_text(certified.serial)} for <{certified.mailbox}>")
            if command and certified.profile and certified.profile.encrypts:
                publishing.wanted()

        try:
            await office.open()
            served = hosting(site.application(office, issued, shell.warn), host, port, tls=tls)
            await run_until_stopped(served, lambda url: _ready(shell, url), publishing.running())
        finally:
            await office.close()

    asyncio.run(run())


def _ready(shell: Shell, url: str) -> None:
    listening(shell, f"{url}/.well-known/est")
