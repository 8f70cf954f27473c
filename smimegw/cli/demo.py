"""``smimegw demo``: the main job on real mail, in a throw-away place."""

from __future__ import annotations

import asyncio

import click

from smimegw.cli.exits import Exit, exits
from smimegw.demo.story import demonstrate


@click.command()
@click.option("--keep", is_flag=True, help="Leave the files behind and say where they are.")
@exits
def demo(keep: bool) -> Exit:
    """Show two companies exchanging protected mail: CA, certificates, two gateways, real SMTP.

    Needs no root, no configuration and no other program; removes everything at the end.

    \b
    Examples:
      smimegw demo
      smimegw demo --keep
    """
    return Exit.YES if asyncio.run(demonstrate(click.echo, keep=keep)) else Exit.NO
