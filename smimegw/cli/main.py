"""The ``smimegw`` command: for administrators of the gateway."""

from __future__ import annotations

import click

from smimegw import __version__
from smimegw.cli.config import config
from smimegw.cli.demo import demo
from smimegw.cli.directory import directory
from smimegw.cli.explain import explain
from smimegw.cli.key import key
from smimegw.cli.message import message
from smimegw.cli.policy import policy
from smimegw.cli.run import run


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: smimegw demo",
)
@click.version_option(__version__, prog_name="smimegw")
def main() -> None:
    """S/MIME mail gateway: sign and encrypt what leaves, open and judge what comes.

    \b
    Exit codes: 0 done or yes · 1 no · 2 usage or configuration · 4 cannot tell now ·
    5 not allowed (locked) · 70 a bug of ours · 130 interrupted
    """


for command in (run, explain, config, policy, key, message, directory, demo):
    main.add_command(command)

if __name__ == "__main__":
    main()
