"""``smimegw policy``: check, test, list, explain and compare the rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from smimegw.cli.exits import Exit, Failure, exits
from smimegw.cli.options import config_option, json_option
from smimegw.cli.policy_diff import diff
from smimegw.config.load import load
from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError
from smimegw.policy.cases import CaseResult, run_cases
from smimegw.policy.explain import explain_rule
from smimegw.policy.matrix import FailureMatrix
from smimegw.policy.model import Policy, Rule
from smimegw.policy.parse_matrix import changes
from smimegw.toml.structure import did_you_mean

_policy_option = click.option(
    "-p",
    "--policy",
    "folder",
    type=click.Path(path_type=Path),
    help="A policy file or folder, instead of the one the configuration names.",
)


@click.group(epilog="Example: smimegw policy test")
def policy() -> None:
    """Check, test, list, explain and compare the rules."""


policy.add_command(diff)


def _folder(folder: Path | None, config: Path) -> PolicyFolder:
    if folder is not None:
        return PolicyFolder(folder)
    return PolicyFolder.configured(load(config, check_files=False).policies)


@policy.command()
@_policy_option
@config_option
@json_option
@exits
def check(folder: Path | None, config: Path, as_json: bool) -> Exit:
    """Report every mistake in the policy files; cases that fail are mistakes.

    Also says which failure matrix is used, and where it is not the shipped one.

    \b
    Examples:
      smimegw policy check
      smimegw policy check -p ./draft-policies
    """
    try:
        found = _folder(folder, config).load()
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        number = len(error.problems)
        text = "1 problem" if number == 1 else f"{number} problems"
        click.echo(f"{text}, nothing loaded.  The running gateway keeps its policy.", err=True)
        return Exit.USAGE
    for warning in found.warnings:
        click.echo(f"WARN  {warning}", err=True)
    if as_json:
        click.echo(json.dumps(_summary(found)))
    else:
        text = f"{len(found.rules)} rules, {len(found.cases)} cases passed"
        click.echo(f"OK    {text}, digest {found.digest[:12]}")
        _print_matrix(found.matrix)
        click.echo("Next: systemctl reload smimegw", err=True)
    return Exit.YES


def _print_matrix(matrix: FailureMatrix) -> None:
    changed = changes(matrix)
    difference = (
        f"{len(changed)} of its cells differ from the shipped one" if changed else "as shipped"
    )
    click.echo(f"OK    failure matrix {matrix.source or 'of the program'}: {difference}")
    for line in changed:
        click.echo(f"      {line}")


def _summary(found: Policy) -> dict[str, object]:
    return {
        "schema": 1,
        "kind": "policy.check",
        "rules": len(found.rules),
        "cases": len(found.cases),
        "digest": found.digest,
        "failure_matrix": {
            "file": found.matrix.source,
            "cells": {
                trouble.value: {
                    protection.value: verdict.value for protection, verdict in row.items()
                }
                for trouble, row in found.matrix.cells.items()
            },
        },
        "warnings": list(found.warnings),
    }


@policy.command()
@click.argument("case", required=False, default="")
@_policy_option
@config_option
@json_option
@exits
def test(case: str, folder: Path | None, config: Path, as_json: bool) -> Exit:
    """Run the cases in the policy files, all or those with CASE in their name.

    \b
    Examples:
      smimegw policy test
      smimegw policy test "partner without certificate"
    """
    results = [
        result
        for result in run_cases(_folder(folder, config).parse())
        if case.casefold() in result.case.name.casefold()
    ]
    if not results:
        raise Failure(f'no case has "{case}" in its name', Exit.USAGE)
    _print_results(results, as_json)
    return Exit.YES if all(result.passed for result in results) else Exit.NO


def _print_results(results: Sequence[CaseResult], as_json: bool) -> None:
    for result in results:
        if as_json:
            entry = {
                "schema": 1,
                "kind": "policy.case",
                "case": result.case.name,
                "source": result.case.source,
                "passed": result.passed,
                "differences": list(result.differences),
            }
            click.echo(json.dumps(entry))
            continue
        click.echo(f"{'OK  ' if result.passed else 'FAIL'}  {result.case.name}")
        for difference in result.differences:
            click.echo(f"      {result.case.source}: {difference}")
    failed = sum(not result.passed for result in results)
    if not as_json:
        click.echo(f"{len(results) - failed} OK, {failed} FAIL", err=True)


@policy.command("list")
@_policy_option
@config_option
@json_option
@exits
def list_rules(folder: Path | None, config: Path, as_json: bool) -> Exit:
    """List the rules in the order in which they are tried.

    \b
    Examples:
      smimegw policy list
      smimegw policy list --json
    """
    for number, rule in enumerate(_folder(folder, config).parse().rules, 1):
        if as_json:
            click.echo(json.dumps(_rule_entry(rule)))
        else:
            click.echo(f"{number:>3}  {_action(rule):<18} {rule.name}  ({rule.source})")
    return Exit.YES


def _action(rule: Rule) -> str:
    direction = rule.when.direction
    if direction is not None and direction.value == "inbound":
        return f"require {rule.then.require.value}"
    return rule.then.protect.value


def _rule_entry(rule: Rule) -> dict[str, object]:
    return {
        "schema": 1,
        "kind": "policy.rule",
        "name": rule.name,
        "why": rule.why,
        "source": rule.source,
        "protect": rule.then.protect.value,
        "require": rule.then.require.value,
    }


@policy.command()
@click.argument("rule")
@_policy_option
@config_option
@exits
def explain(rule: str, folder: Path | None, config: Path) -> Exit:
    """Say in words what RULE does; part of its name is enough.

    \b
    Examples:
      smimegw policy explain "encrypt when possible"
      smimegw policy explain partner
    """
    found = _folder(folder, config).parse()
    exact = [each for each in found.rules if each.name == rule]
    wanted = exact or [each for each in found.rules if rule.casefold() in each.name.casefold()]
    if not wanted:
        hint = did_you_mean(rule, [each.name for each in found.rules])
        raise Failure(f'there is no rule "{rule}".{hint}  See: smimegw policy list', Exit.USAGE)
    click.echo("\n\n".join("\n".join(explain_rule(each)) for each in wanted))
    return Exit.YES
