"""How every command talks: answers on stdout, talk on stderr, secrets from files or a prompt."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from smimegw.errors import UsageError

DEFAULT_DIRECTORY = Path("/var/lib/smimegw-ca")
SCHEMA = 1  # of --json: members may be added, never renamed or re-typed
_PASSPHRASE_CHARACTERS_MIN = 8
_PASSPHRASE_OCTETS_MAX = 1024

Command = TypeVar("Command", bound=Callable[..., Any])
Json = dict[str, Any]


@dataclass
class Shell:
    """The options that all commands share, and how to talk under them."""

    directory: Path = DEFAULT_DIRECTORY
    passphrase_file: str | None = None
    json: bool = False
    quiet: bool = False
    no_input: bool = False
    yes: bool = False
    debug: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def answer(self, text: str, **members: Any) -> None:
        """Write the answer to stdout: *text* for people, *members* with ``--json``."""
        if self.json:
            at = self.now.isoformat(timespec="seconds")
            click.echo(json.dumps({"schema": SCHEMA, "at": at, **members}, ensure_ascii=False))
        elif text:
            click.echo(text)

    def talk(self, text: str) -> None:
        """Write to stderr what a person may want to know."""
        if not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Write a warning to stderr, also with ``--quiet``."""
        click.echo(f"WARN  {text}", err=True)

    def suggest(self, command: str) -> None:
        """End with the likely next command, for the same directory."""
        named = os.environ.get("SMIMEGW_CA_DIRECTORY") or DEFAULT_DIRECTORY
        if self.directory != Path(named):
            program = "smimegw-ca "
            place = shlex.quote(str(self.directory))
            command = command.replace(program, f"{program}-d {place} ")
        self.talk(f"Next: {command}")

    @property
    def operator(self) -> str:
        """Who is at work, for the ledger: SMIMEGW_CA_OPERATOR, who came by sudo, or the user."""
        named = os.environ.get("SMIMEGW_CA_OPERATOR") or os.environ.get("SUDO_USER")
        return named or getpass.getuser()

    @property
    def may_ask(self) -> bool:
        """Whether somebody is there to answer."""
        return not self.no_input and sys.stdin.isatty()

    def confirm(self, question: str) -> None:
        """Ask before something final.

        Raises:
            UsageError: Nobody can be asked and ``--yes`` was not given.
        """
        if self.yes:
            return
        if not self.may_ask:
            raise UsageError(f"{question} Nobody is there to answer; add --yes to go on.")
        if not click.confirm(question, default=False, err=True):
            raise click.Abort

    def passphrase(self, *, new: bool = False) -> bytes:
        """Return the CA's passphrase from ``--passphrase-file`` or by asking.

        Raises:
            UsageError: None to be had, or not fit.
        """
        return self.secret(
            self.passphrase_file,
            option="--passphrase-file",
            prompt="Passphrase of the CA's keys",
            new=new,
        )

    def secret(self, source: str | None, *, option: str, prompt: str, new: bool = False) -> bytes:
        """Return a secret from a file (``-`` is stdin), else by asking; never from an argument.

        Raises:
            UsageError: None to be had, or not fit.
        """
        if source is not None:
            value = _first_line(source, option)
        elif self.may_ask:
            value = click.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True)
        else:
            raise UsageError(
                f"{prompt}: nobody is there to ask. Write it into a file that only you can read "
                f"and give {option} FILE ({option} - reads it from stdin)."
            )
        if not value:
            raise UsageError(f"{option}: the secret is empty. Its first line has to hold it.")
        if new and len(value) < _PASSPHRASE_CHARACTERS_MIN:
            raise UsageError(
                f"{option}: {len(value)} characters are too few to protect a private key; "
                f"take {_PASSPHRASE_CHARACTERS_MIN} or more, better a sentence."
            )
        return str(value).encode()


def common_options(command: Command) -> Command:
    """Add the options that every command has; they may also stand before the command's name."""
    for option in reversed(_COMMON):
        command = option(command)
    return command


def passphrase_option(command: Command) -> Command:
    """Add ``--passphrase-file``."""
    return _shared(
        "--passphrase-file",
        envvar="SMIMEGW_CA_PASSPHRASE_FILE",
        metavar="FILE",
        help="Read the CA's passphrase from the first line of FILE; - is stdin.",
    )(command)


def examples(*lines: str) -> str:
    """Return a help epilogue."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows in columns, two spaces apart."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _shared(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        shell = context.ensure_object(Shell)
        if value not in (None, False) and parameter.name:
            setattr(shell, parameter.name, value)

    return click.option(*names, callback=store, expose_value=False, **attributes)


_COMMON = (
    _shared(
        "-d",
        "--directory",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="SMIMEGW_CA_DIRECTORY",
        help=f"The CA's directory.  [default: {DEFAULT_DIRECTORY}]",
    ),
    _shared("--json", is_flag=True, help="Answer in JSON, one object a line."),
    _shared("-q", "--quiet", is_flag=True, help="Only answers, warnings and errors."),
    _shared("--no-input", is_flag=True, help="Never ask; a missing answer is an error (exit 2)."),
    _shared("-y", "--yes", is_flag=True, help="Answer confirmations with yes."),
    _shared("--debug", is_flag=True, help="Write a report with the traceback if a command fails."),
)


def _first_line(source: str, option: str) -> str:
    if source == "-":
        octets = sys.stdin.buffer.readline(_PASSPHRASE_OCTETS_MAX + 1)
    else:
        try:
            with Path(source).open("rb") as stream:
                octets = stream.readline(_PASSPHRASE_OCTETS_MAX + 1)
        except OSError as error:
            raise UsageError(f"{option}: cannot read {source}: {error.strerror}.") from error
    if len(octets) > _PASSPHRASE_OCTETS_MAX:
        raise UsageError(f"{option}: the first line is longer than {_PASSPHRASE_OCTETS_MAX}.")
    try:
        return octets.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{option}: {source} is not UTF-8 text.") from None
