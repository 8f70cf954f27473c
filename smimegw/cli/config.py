"""``smimegw config``: check, show, explain and sample the configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from smimegw.adapters.files.advice import advice
from smimegw.adapters.files.settings import read_settings
from smimegw.cli.exits import Exit, Failure, exits
from smimegw.cli.options import config_option, json_option
from smimegw.config.describe import KeyDescription, describe_key, effective_values, sample, show
from smimegw.config.load import load_with_origins
from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError, Problem
from smimegw.toml.document import dotted


@click.group(epilog="Example: smimegw config check")
def config() -> None:
    """Check, show and explain the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@config_option
@json_option
@exits
def check(file: Path | None, config: Path, as_json: bool) -> Exit:
    """Report every mistake in the configuration and in the policies it names.

    \b
    Examples:
      smimegw config check
      smimegw config check /etc/smimegw/smimegw.toml --json
    """
    problems, summary = _problems(file or config)
    if as_json:
        listed = [
            {"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in problems
        ]
        click.echo(json.dumps({"schema": 1, "kind": "config.check", "problems": listed}))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if problems:
            click.echo(f"{_count(len(problems), 'problem')}, nothing loaded.", err=True)
        else:
            click.echo(summary)
            click.echo("Next: smimegw policy test", err=True)
    return Exit.USAGE if problems else Exit.YES


def _problems(path: Path) -> tuple[tuple[Problem, ...], str]:
    """Problems of the configuration, of the files it names and of its policies."""
    try:
        found = load_with_origins(path).configuration
    except ConfigurationError as error:
        return error.problems, ""
    problems: list[Problem] = []
    rules = cases = 0
    try:
        anchors = read_settings(found).trust.every_anchor  # reads senders' lists, too
        for sentence in advice(found, anchors, now=datetime.now(UTC)):
            click.echo(f"WARN  {sentence}", err=True)
    except ConfigurationError as error:
        problems += error.problems
    try:
        policy = PolicyFolder.configured(found.policies).load()
        rules, cases = len(policy.rules), len(policy.cases)
        for warning in policy.warnings:
            click.echo(f"WARN  {warning}", err=True)
    except ConfigurationError as error:
        problems += error.problems
    parts = (
        _count(len(found.listener), "listener"),
        _count(len(found.next_hop), "next hop"),
        _count(len(found.directories), "directory", "directories"),
        _count(rules, "rule"),
        f"{_count(cases, 'case')} passed",
    )
    return tuple(problems), f"OK    {path}: {', '.join(parts)}"


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


@config.command("show")
@click.argument("key", required=False, default="")
@config_option
@json_option
@click.option("--origin", is_flag=True, help="Also show where each value comes from.")
@click.option("--defaults", is_flag=True, help="Show the defaults of every key; no file is read.")
@exits
def show_command(key: str, config: Path, as_json: bool, origin: bool, defaults: bool) -> Exit:
    """Show the effective values, all or those of KEY; secrets show where they stand.

    \b
    Examples:
      smimegw config show --origin
      smimegw config show listener.mx
      smimegw config show --defaults
    """
    if defaults:
        click.echo(sample().encode(), nl=False)  # TOML is UTF-8, whatever the terminal is
        return Exit.YES
    loaded = load_with_origins(config, check_files=False)
    if as_json:
        for place, value in effective_values(loaded.configuration):
            name = dotted(place)
            if not key or name == key or name.startswith((f"{key}.", f"{key}[")):
                origin_text = loaded.origins.get(place, "default")
                click.echo(json.dumps({"key": name, "value": value, "origin": origin_text}))
        return Exit.YES
    lines = list(show(loaded.configuration, loaded.origins if origin else None, key))
    if not lines:
        raise Failure(f"there is no value {key}; try: smimegw config explain {key}", Exit.USAGE)
    click.echo("\n".join(lines))
    return Exit.YES


@config.command()
@click.argument("key")
@exits
def explain(key: str) -> Exit:
    """Say what KEY means, what is allowed and what the default is.

    \b
    Examples:
      smimegw config explain listener.mx.peers
      smimegw config explain directory.deadline
    """
    try:
        description = describe_key(key)
    except KeyError as error:
        raise Failure(str(error.args[0]), Exit.USAGE) from None
    click.echo("\n".join(_explanation(description)))
    return Exit.YES


def _explanation(description: KeyDescription) -> list[str]:
    lines = [description.key, f"  {description.text}"]
    if description.allowed:
        lines.append(f"  allowed  {', '.join(description.allowed)}")
    if description.required:
        lines.append("  default  none, this key must be written")
    elif description.default:
        lines.append(f"  default  {description.default}")
    if description.example:
        lines.append(f"  example  {description.key.rpartition('.')[2]} = {description.example}")
    return lines


@config.command("sample")
@exits
def sample_command() -> None:
    """Print a configuration with every key explained.

    \b
    Examples:
      smimegw config sample
      smimegw config sample > /etc/smimegw/smimegw.toml
    """
    click.echo(sample().encode(), nl=False)  # TOML is UTF-8, whatever the terminal is
