"""Explains the configuration from its model: annotated sample, single keys, effective values."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any

from smimegw.config.directories import (
    EmbeddedDirectory,
    FoundLDAPDirectory,
    LDAPDirectory,
    SMIMEADirectory,
)
from smimegw.config.enrolment import Enrolment
from smimegw.config.keys import Keystore
from smimegw.config.logins import Bind
from smimegw.config.model import Configuration
from smimegw.config.sessions import Listener, NextHop
from smimegw.config.values import Secret, write_duration
from smimegw.limits import Limits
from smimegw.toml.document import dotted
from smimegw.toml.lines import KeyPath
from smimegw.toml.structure import did_you_mean, toml_value

_WIDTH = 96
_MODEL = frozenset(
    form.__module__
    for form in (Configuration, LDAPDirectory, Listener, Bind, Keystore, Enrolment, Limits)
)
_SETTING = re.compile(r"# \w+ = ")
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n(?: {8}.*|$))*)", re.MULTILINE)
_EXAMPLE = re.compile(r"\s*Example:\s*(.*)$", re.DOTALL)
_HEAD = """\
# Configuration of smimegw: every key with its meaning.  Lines that begin with "# key = " show the
# default; uncomment what you want different.  "#   [[directory]]" begins a table that you may add
# with the keys below it.  Files in smimegw.toml.d/*.toml beside this file are
# read after it and win.  Check with: smimegw config check
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyDescription:
    """One key for people.

    Attributes:
        key: Dotted, names in capitals stand for a name of your choice.
        text: What it means.
        example: A value in TOML, empty when the default says enough.
        default: In TOML; empty when the key must be written or is off without it.
        allowed: The words of a closed choice.
        required: There is no default.
    """

    key: str
    text: str
    example: str
    default: str
    allowed: tuple[str, ...]
    required: bool


def sample() -> str:
    """The annotated sample configuration."""
    lines = [_HEAD, "# " + _texts(Configuration)["version"][0], "version = 1"]
    lines += _section("gateway", _type_of("gateway"))
    lines += _section("listener.relay", Listener)
    lines += ["", "[listener.mx]", 'address = "127.0.0.1:10035"']
    lines += _section("next_hop.out", NextHop)
    lines += ["", "[next_hop.in]", 'address = "mail.corp.example:25"']
    lines += _section("[directory]", LDAPDirectory)
    for form in (FoundLDAPDirectory, SMIMEADirectory):
        lines += _unused(_section("[directory]", form))
    lines += _section("[directory]", EmbeddedDirectory)
    for name in _SECTIONS:
        lines += _section(name, _type_of(name))
    lines += ["", f"# {_texts(Configuration)['limits'][0]}", "[limits]"]
    lines += [f"# {f.name} = {toml_value(f.default)}" for f in dataclasses.fields(Limits)]
    return "\n".join(lines) + "\n"


_SECTIONS = (
    "dns", "enrolment", "trust", "revocation", "keystore", "database", "memory", "policies",
    "log", "records", "metrics",
)  # fmt: skip
_WRITTEN = frozenset({"key_encryption_key", "anchors", "peers"})  # what nobody does without


def _section(name: str, form: Any) -> Iterator[str]:
    yield ""
    yield "# " + _summary(form)
    yield f"[{name}]"
    for description in _fields_of("", form):
        yield from _comment(f"{description.key}: {description.text}")
        inner = _forms(_kinds(form)[description.key])
        if inner:
            yield from _inline_table(description.key, inner[0][0])
            continue
        value = description.example or description.default
        written = description.required or description.key in _WRITTEN
        if description.key in ("kind", "name") and description.default:
            written = True  # two tables of one kind tell themselves apart by it
        if description.key == "role":
            value, written = '"relay"', False
        if value not in ("", '""'):
            yield f"{'' if written else '# '}{description.key} = {value}"


def _unused(lines: Iterable[str]) -> Iterator[str]:
    """A section that nobody has without wanting it: all of it is comment, its keys indented."""
    for line in lines:
        if line.startswith("# ") and _SETTING.match(line):
            yield f"#   {line[2:]}"
        else:
            yield line if line.startswith("#") or not line else f"#   {line}"


def _inline_table(key: str, form: Any) -> Iterator[str]:
    pairs = []
    for description in _fields_of("", form):
        yield from _comment(f"    {key}.{description.key}: {description.text}")
        value = description.example or description.default
        pairs += [f"{description.key} = {value}"] if value else []
    yield f"# {key} = {{ {', '.join(pairs)} }}"


def _comment(text: str) -> list[str]:
    indent = "# " + " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(), _WIDTH, initial_indent=indent, subsequent_indent=indent + "    "
    )


def describe_key(key: str) -> KeyDescription:
    """Explain one key such as ``listener.relay.peers`` or ``directory.deadline``.

    Raises:
        KeyError: There is no such key; its text says which one may be meant.
    """
    found = [entry for entry in all_keys() if re.fullmatch(_pattern(entry.key), key)]
    if found:
        return found[0]
    names = [entry.key for entry in all_keys()]
    raise KeyError(f"there is no key {key}.{did_you_mean(key, names)}")


def _pattern(key: str) -> str:
    return re.escape(key).replace("NAME", r"[^.]+").replace(r"\[\]", r"(?:\[\d*\])?")


@cache
def all_keys() -> tuple[KeyDescription, ...]:
    """Every key there is, in the order of the model."""
    return tuple(_walk("", Configuration))


def _walk(prefix: str, form: Any) -> Iterator[KeyDescription]:
    for description, kind in zip(_fields_of(prefix, form), _kinds(form).values(), strict=True):
        inner = _forms(kind)
        if not inner:
            yield description
        for each, suffix in inner:
            yield from _walk(f"{description.key}{suffix}.", each)


def _forms(kind: Any) -> list[tuple[Any, str]]:
    """The dataclasses of the model inside a type, and what stands behind the key for them."""
    if _is_form(kind):
        return [(kind, "")]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return [(form, "[]") for form, _ in _forms(arguments[0])]
    if typing.get_origin(kind) is Mapping:
        return [(form, ".NAME") for form, _ in _forms(arguments[1])]
    if isinstance(kind, UnionType) or typing.get_origin(kind) is typing.Union:
        return [pair for argument in arguments for pair in _forms(argument)]
    return []


def _is_form(kind: Any) -> bool:
    own = getattr(kind, "__module__", "") in _MODEL
    return isinstance(kind, type) and dataclasses.is_dataclass(kind) and own


def _fields_of(prefix: str, form: Any) -> Iterator[KeyDescription]:
    texts, kinds = _texts(form), _kinds(form)
    for field in dataclasses.fields(form):
        text, example = texts.get(field.name, ("", ""))
        required = field.default is dataclasses.MISSING
        plain = not required and not _is_form(type(field.default))
        yield KeyDescription(
            key=prefix + field.name,
            text=text,
            example=example,
            default=write_value(field.default) if plain else "",
            allowed=_allowed(kinds[field.name]),
            required=required,
        )


def _allowed(kind: Any) -> tuple[str, ...]:
    if kind is bool:
        return ("true", "false")
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(member.value) for member in kind)
    return ()


@cache
def _kinds(form: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(form)
    return {field.name: hints[field.name] for field in dataclasses.fields(form)}


def _type_of(section: str) -> Any:
    return _kinds(Configuration)[section]


def _summary(form: Any) -> str:
    return (inspect.getdoc(form) or "").partition("\n")[0]


@cache
def _texts(form: Any) -> dict[str, tuple[str, str]]:
    """Text and example of every field, from the class's ``Attributes``; limits speak by name."""
    if form is Limits:
        return {
            field.name: (field.name.replace("_", " "), "") for field in dataclasses.fields(form)
        }
    attributes = inspect.cleandoc(form.__doc__ or "").partition("Attributes:\n")[2]
    found = {}
    for match in _ATTRIBUTE.finditer(attributes):
        text = " ".join(match[2].split())
        example = _EXAMPLE.search(text)
        found[match[1]] = (_EXAMPLE.sub("", text), example[1] if example else "")
    return found


# --- values --------------------------------------------------------------------------------------


def write_value(value: Any) -> str:
    """A value of the configuration in TOML; empty for one that is off."""
    if value is None:
        return ""
    if isinstance(value, timedelta):
        return toml_value(write_duration(value))
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(write_value(item) for item in value)}]"
    if isinstance(value, str | int | float | Enum):
        return toml_value(value)
    return toml_value(str(value))


def effective_values(configuration: Configuration) -> Iterator[tuple[KeyPath, str]]:
    """Every key with its value in TOML; secrets show where they stand, never what they are."""
    yield from _values((), configuration)


def _values(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if _is_form(type(value)):
        for field in dataclasses.fields(value):
            yield from _values((*path, field.name), getattr(value, field.name))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _values((*path, name), item)
    elif isinstance(value, tuple) and value and _is_form(type(value[0])):
        for index, item in enumerate(value):
            yield from _values((*path, index), item)
    elif value is not None:
        yield path, write_value(value)


def show(
    configuration: Configuration, origins: Mapping[KeyPath, str] | None = None, key: str = ""
) -> Iterator[str]:
    """Lines ``key = value``, with *origins* also where each comes from.

    Args:
        configuration: What to show.
        origins: From `load_with_origins`; None leaves the origin out.
        key: Only this key or section.
    """
    for path, value in effective_values(configuration):
        name = dotted(path)
        if key and name != key and not name.startswith((f"{key}.", f"{key}[")):
            continue
        line = f"{name} = {value}"
        if origins is not None:
            line = f"{line:<60}  # {origins.get(path, 'default')}"
        yield line
