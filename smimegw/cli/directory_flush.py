"""``smimegw directory flush``: let the running gateway ask its directories again."""

from __future__ import annotations

from pathlib import Path

import click

from smimegw.addresses import Mailbox
from smimegw.cli.exits import exits
from smimegw.cli.options import config_option
from smimegw.config.load import load
from smimegw.directories import flush_notes


@click.command()
@click.argument("address", required=False)
@config_option
@exits
def flush(address: str | None, config: Path) -> None:
    """Let the gateway ask again for ADDRESS, or for everybody, CA certificates and CRLs.

    Every process of this machine's gateway does so with the next mail. What it knew still stands in
    when a directory is down (R-06). Other nodes have caches of their own.

    \b
    Examples:
      smimegw directory flush bob@partner.example
      smimegw directory flush
    """
    mailbox = Mailbox.parse(address) if address else None
    flush_notes(load(config, check_files=False)).add(mailbox)
    whom = f"<{mailbox.address}>" if mailbox else "everybody"
    click.echo(f"with the next mail the directories are asked again for {whom}")
