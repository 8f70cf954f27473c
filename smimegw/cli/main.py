"""The ``smimegw`` command: for administrators of the gateway."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from smimegw import __version__
from smimegw.adapters.host.standard_streams import settle_standard_streams
from smimegw.adapters.host.termination import ended_cleanly
from smimegw.cli.exits import Exit, Failure

# Each lives in the module of its name; only the one that is asked for is imported.
_COMMANDS = (
    "run", "doctor", "explain", "trace", "records", "config", "policy", "key", "key-agent",
    "message", "directory", "correspondent", "demo",
)  # fmt: skip


class _LateGroup(click.Group):
    """Imports a command when it is named: the gateway's libraries take a second to load."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program: whatever the streams are, there is no traceback."""
        settle_standard_streams()
        try:
            named = kwargs.get("args") or (args[0] if args else None) or sys.argv[1:]
            with ended_cleanly(named, services=("run", "key-agent", "demo")):
                return super().main(*args, **kwargs)
        except OSError as exc:  # such as a full disk under --help
            click.echo(f"Error: {exc.strerror or exc}", err=True)
            raise SystemExit(2) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Also while its libraries are loaded a command may be interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Failure("interrupted", Exit.INTERRUPTED) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"smimegw.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=_COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LateGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: smimegw demo",
)
@click.version_option(__version__, prog_name="smimegw")
def main() -> None:
    """S/MIME mail gateway: sign and encrypt what leaves, open and judge what comes.

    \b
    Exit codes: 0 done or yes · 1 no · 2 usage or configuration · 3 done, with warnings ·
    4 cannot tell now · 5 not allowed (locked) · 70 a bug of ours · 130 interrupted ·
    143 ended by SIGTERM
    """


if __name__ == "__main__":
    main()
