"""Makes the manual pages: the programs' from their ``--help``, smimegw.toml(5) from its model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator

import click

from smimegw import __version__
from smimegw.config.describe import KeyDescription, all_keys

_WHAT = {
    "smimegw": "S/MIME mail gateway",
    "smimegw-ca": "certificate authority for the mail gateway",
}
_FILES = {
    "smimegw": (
        ("/etc/smimegw/smimegw.toml", "The configuration, see smimegw.toml(5)."),
        ("/etc/smimegw/smimegw.toml.d/*.toml", "Read after it, in the order of their names."),
    ),
    "smimegw-ca": (
        ("/var/lib/smimegw-ca", "The CA's directory, unless --directory names another."),
        ("/var/lib/smimegw-ca/ca.toml", "Its settings, see smimegw-ca settings."),
        ("/var/lib/smimegw-ca/ledger.db", "Everything that it did, chained; never edited."),
    ),
}
_SEE = {
    "smimegw": "smimegw-ca(1), smimegw.toml(5)",
    "smimegw-ca": "smimegw(1), openssl(1)",
    "smimegw.toml": "smimegw(1)",
}
_SPECIAL = {
    "\\": "\\e",
    "-": "\\-",
    "^": "\\(ha",
    "~": "\\(ti",
    "`": "\\(ga",
    "'": "\\(aq",
    "“": "\\(lq",
    "”": "\\(rq",
    "–": "\\(en",
    "…": "...",
    "|": "|\\:",  # where a long word may be broken
    ",": ",\\:",
    "/": "/\\:",
    "@": "@\\:",
}
_AS_IT_IS = "\b\n"  # click's mark
_EXAMPLES = re.compile(r"\s*\x08?\n?Examples:\n(.*)", re.DOTALL)


def manual_pages(programs: dict[str, click.Command]) -> dict[str, str]:
    """Every page by its file name."""
    pages = {f"{name}.1": _program(name, program) for name, program in programs.items()}
    return {**pages, "smimegw.toml.5": _configuration()}


def escaped(text: str) -> str:
    """Return *text* so that roff shows it as it is, on one line."""
    shown = "".join(_character(each) for each in " ".join(text.split()))
    return f"\\&{shown}" if shown.startswith(".") else shown


def _character(one: str) -> str:
    if one in _SPECIAL:
        return _SPECIAL[one]
    return one if one.isascii() else f"\\[u{ord(one):04X}]"


# --- programs ------------------------------------------------------------------------------------


def _program(name: str, program: click.Command) -> str:
    context = _context(name, program, None)
    lines = _head(name, 1, _WHAT[name])
    lines += [".SH SYNOPSIS", f".B {escaped(name)}", escaped(_usage(program, context))]
    lines += [".SH DESCRIPTION", *_text(program), ".SH OPTIONS", *_options(program, context, ())]
    common = {record[0] for record in _records(program, context)}
    lines += [".SH COMMANDS"]
    for words, command, inner in _commands(name, program, context):
        lines += [f".SS {escaped(words)} {escaped(_usage(command, inner))}", *_text(command)]
        lines += [*_options(command, inner, common), *_examples(command)]
    lines += [*_environment(program), ".SH EXAMPLES", *_examples(program, heading=False)]
    lines += [".SH FILES"]
    for path, text in _FILES[name]:
        lines += [".TP", f".I {escaped(path)}", escaped(text)]
    return _page([*lines, ".SH SEE ALSO", escaped(_SEE[name])])


def _context(name: str, command: click.Command, parent: click.Context | None) -> click.Context:
    names = ["-h", "--help"]
    return click.Context(command, info_name=name, parent=parent, help_option_names=names)


def _commands(
    prefix: str, group: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = _context(name, command, context)
        yield f"{prefix} {name}", command, inner
        yield from _commands(f"{prefix} {name}", command, inner)


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join(command.collect_usage_pieces(context))


def _text(command: click.Command) -> Iterator[str]:
    text = inspect.cleandoc(command.help or command.short_help or "")
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            yield ".PP"
        if paragraph.startswith(_AS_IT_IS):
            yield from _as_it_is(paragraph.removeprefix(_AS_IT_IS))
        else:
            yield escaped(paragraph)


def _as_it_is(text: str) -> Iterator[str]:
    yield ".EX"
    for line in inspect.cleandoc(text).splitlines():
        yield " " * (len(line) - len(line.lstrip())) + escaped(line)
    yield ".EE"


def _records(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    found = [option.get_help_record(context) for option in options]
    return [record for record in found if record is not None]


def _options(command: click.Command, context: click.Context, known: Iterable[str]) -> Iterator[str]:
    for names, text in _records(command, context):
        if names not in known:
            yield from (".TP", f".B {escaped(names)}", escaped(text) or "\\&")


def _examples(command: click.Command, *, heading: bool = True) -> Iterator[str]:
    found = _EXAMPLES.search(command.epilog or "")
    if not found:
        return
    if heading:
        yield from (".PP", "Examples:")
    yield ".PP"
    yield from _as_it_is(found[1])


def _environment(program: click.Command) -> Iterator[str]:
    named = [
        (str(parameter.envvar), parameter.opts[-1])
        for parameter in program.params
        if parameter.envvar
    ]
    if named:
        yield ".SH ENVIRONMENT"
    for variable, option in sorted(named):
        yield from (".TP", f".B {escaped(variable)}", f"Stands in for {escaped(option)}.")


# --- configuration -------------------------------------------------------------------------------


def _configuration() -> str:
    lines = _head("smimegw.toml", 5, "configuration of the S/MIME mail gateway")
    lines += [".SH DESCRIPTION"]
    lines += [
        escaped(
            "A TOML file. Each key stands here with its table; NAME is a name of your choice, [] "
            "an array of tables. Files in smimegw.toml.d beside it are read after it and win."
        ),
        ".PP",
        escaped("Check it with smimegw config check; smimegw config sample prints one to edit."),
    ]
    section = ""
    for entry in all_keys():
        table = entry.key.rpartition(".")[0]
        if table != section:
            section = table
            lines.append(f".SH {escaped(table.upper() if table.islower() else table)}")
        lines += _key(entry)
    return _page([*lines, ".SH SEE ALSO", escaped(_SEE["smimegw.toml"])])


def _key(entry: KeyDescription) -> Iterator[str]:
    yield from (".TP", f".B {escaped(entry.key)}", escaped(entry.text))
    notes = [f"One of {', '.join(entry.allowed)}."] if entry.allowed else []
    notes += ["Has to be written."] if entry.required else []
    notes += [f"Default: {entry.default}."] if entry.default not in ("", '""') else []
    notes += [f"Example: {entry.example}."] if entry.example else []
    if notes:
        yield from (".br", escaped(" ".join(notes)))


# --- pages ---------------------------------------------------------------------------------------


def _head(name: str, section: int, what: str) -> list[str]:
    title = f'.TH "{escaped(name.upper())}" {section} "" "smimegw {__version__}"'
    return [title, ".nh", ".ad l", ".SH NAME", f"{escaped(name)} \\- {escaped(what)}"]


def _page(lines: Iterable[str]) -> str:
    return '.\\" Made by `make format`; do not edit.\n' + "\n".join(lines) + "\n"
