"""Options that mean the same for every command that has them."""

from __future__ import annotations

from pathlib import Path

import click

from smimegw.config.load import DEFAULT_PATH

config_option = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    envvar="SMIMEGW_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
