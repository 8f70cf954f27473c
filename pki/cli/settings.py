"""`smimegw-ca settings`: shows what ca.toml says, and changes single values of it."""

from __future__ import annotations

import json

import click

from pki import files, opening, revision, settings
from pki.cli.shell import Shell, common_options, examples, table
from smimegw.errors import UsageError


@click.command(
    "settings",
    epilog=examples(
        "smimegw-ca settings",
        "smimegw-ca settings set urls.ocsp http://pki.corp.example/ocsp",
        "smimegw-ca settings set requests.second_person true",
    ),
)
@click.argument("action", type=click.Choice(["show", "set"]), default="show")
@click.argument("key", default="", metavar="[KEY]")
@click.argument("words", nargs=-1, metavar="[VALUE]...")
@common_options
@click.pass_obj
def settings_command(shell: Shell, action: str, key: str, words: tuple[str, ...]) -> None:
    """Show the settings in ca.toml, or change one; a list takes several values, or none.

    The change is checked before it is written, and noted in the ledger.  What certificates say
    changes with those that are issued from then on.
    """
    if action == "set":
        _set(shell, key, words)
    elif words:
        raise UsageError("To change a setting write: smimegw-ca settings set KEY VALUE")
    opening.require(shell.directory)
    found = revision.values(settings.load(shell.directory / settings.FILE_NAME))
    if key:
        if key not in found:
            raise UsageError(f"There is no setting {key!r}. See them with: smimegw-ca settings")
        found = {key: found[key]}
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in found.items()]
    shell.answer(table(rows), kind="settings", settings=found)


def _set(shell: Shell, key: str, words: tuple[str, ...]) -> None:
    path = shell.directory / settings.FILE_NAME
    with opening.changing(shell.directory, now=shell.now) as opened:
        before = path.read_text("utf-8")
        text = revision.revise(before, key, words, chosen=opened.settings)
        settings.parse(text, path)
        if text != before:
            value = json.dumps(revision.values(settings.parse(text, path))[key])
            details = {"key": key, "value": value, "operator": shell.operator}
            opened.register.ledger.append("settings", at=shell.now, details=details)
            files.replace(path, text.encode(), mode=files.PRIVATE)
