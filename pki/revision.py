"""Changes one value of ca.toml and leaves the rest of the text, comments included, as it is."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Sequence

from pki import settings
from pki.settings import Settings
from smimegw.errors import UsageError

Value = str | int | bool | list[str]

_HEADER = re.compile(r"\s*\[\s*(\w+)\s*\]")
_SETTING = re.compile(
    r"""(?P<before>\s*(?P<key>\w+)\s*=\s*)
        (?P<value>"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[^\#\s]+)
        (?P<after>\s*(?:\#.*)?)""",
    re.VERBOSE,
)
_FIXED = ("version",)


def values(chosen: Settings) -> dict[str, Value]:
    """Return every setting with its value, as ``urls.crl``; in the order of the file."""
    return _flat(settings.write(chosen))


def revise(text: str, key: str, words: Sequence[str], *, chosen: Settings) -> str:
    """Return *text* with another value at *key*.

    Args:
        text: Of ca.toml.
        key: As ``urls.ocsp``.
        words: The value; several for a list, none for an empty one.
        chosen: What *text* says now.

    Raises:
        UsageError: There is no such key, the value is of another kind, or the text is written in a
            way that only a person should touch.
    """
    before = values(chosen)
    if key not in before or key in _FIXED:
        near = difflib.get_close_matches(key, before, n=1)
        hint = f"Did you mean {near[0]}?" if near else "See them with: smimegw-ca settings show"
        raise UsageError(f"There is no setting {key!r} to be changed. {hint}")
    value = _value(key, before[key], words)
    revised = _replaced(text, key, json.dumps(value, ensure_ascii=False))
    if not _says(revised, {**_flat(text), key: value}):
        raise UsageError(
            f"{key} is written in a way that only you should touch. Edit ca.toml by hand; "
            "smimegw-ca status says whether it can be read."
        )
    return revised


def _says(text: str, wanted: dict[str, Value]) -> bool:
    try:
        return _flat(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _value(key: str, old: Value, words: Sequence[str]) -> Value:
    if isinstance(old, list):
        return list(words)
    if len(words) != 1:
        raise UsageError(f"{key} takes one value, and {len(words)} were given.")
    (word,) = words
    if isinstance(old, bool):
        if word not in ("true", "false"):
            raise UsageError(f"{key} is true or false, and not {word!r}.")
        return word == "true"
    if isinstance(old, int):
        if not (word.isascii() and word.isdigit()):
            raise UsageError(f"{key} is a whole number, and {word!r} is none.")
        return int(word)
    return word


def _replaced(text: str, key: str, literal: str) -> str:
    table, _, name = key.rpartition(".")
    lines, current = text.splitlines(), ""
    header = None if table else -1
    for number, line in enumerate(lines):
        if found := _HEADER.match(line):
            current = found[1]
            header = number if current == table else header
        elif current == table and (found := _SETTING.fullmatch(line)) and found["key"] == name:
            lines[number] = f"{found['before']}{literal}{found['after']}"
            return "\n".join(lines) + "\n"
    if header is None:
        lines += ["", f"[{table}]"]
        header = len(lines) - 1
    lines.insert(header + 1, f"{name} = {literal}")
    return "\n".join(lines) + "\n"


def _flat(text: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in tomllib.loads(text).items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found
