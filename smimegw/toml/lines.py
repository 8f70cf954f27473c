"""Finds the line on which each key of a TOML document stands.

`tomllib` tells lines only of syntax errors.  This scanner is for documents that `tomllib` has
already accepted: it looks for structure alone and never judges.
"""

from __future__ import annotations

import bisect
import re
import tomllib

KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # white space, line ends, comments
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL)
_PLAIN_VALUE = re.compile(r"[^,\]}#\r\n]+")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) of every table, key and array element of *text*.

    Args:
        text: A document that `tomllib.loads` accepts.
    """
    return _Scanner(text).lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._position = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._array_lengths: dict[KeyPath, int] = {}
        table: KeyPath = ()
        while self._skip(_FILLER) < len(text):
            table = self._header() if text[self._position] == "[" else self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._position)
        if match:
            self._position = match.end()
        return self._position

    def _at(self, letters: str) -> bool:
        return self._text.startswith(letters, self._position)

    def _mark(self, path: KeyPath, position: int) -> None:
        self.lines.setdefault(path, bisect.bisect_right(self._starts, position))

    def _header(self) -> KeyPath:
        start = self._position
        is_array = self._at("[[")
        self._position += 2 if is_array else 1
        *parents, last = self._keys()
        path: KeyPath = ()
        for part in parents:
            path = self._member((*path, part))
        path = (*path, last)
        if is_array:
            index = self._array_lengths.get(path, 0)
            self._array_lengths[path] = index + 1
            self._mark(path, start)
            path = (*path, index)
        else:
            path = self._member(path)
        self._mark(path, start)
        self._position += 2 if is_array else 1
        return path

    def _member(self, path: KeyPath) -> KeyPath:
        """A table of an array is spoken of by the array's name: its newest one is meant."""
        length = self._array_lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            start = self._position
            if self._at('"'):
                self._skip(_BASIC)
            elif self._at("'"):
                self._skip(_LITERAL)
            else:
                self._skip(_BARE_KEY)
            keys.append(_unquote(self._text[start : self._position]))
            self._skip(_SPACE)
            if not self._at("."):
                return keys
            self._position += 1

    def _pair(self, table: KeyPath) -> KeyPath:
        start = self._position
        path = table
        for key in self._keys():
            path = (*path, key)
            self._mark(path, start)
        self._position += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)
        return table

    def _value(self, path: KeyPath) -> None:
        if self._at("["):
            self._array(path)
        elif self._at("{"):
            self._inline_table(path)
        elif self._at('"""'):
            self._skip(_LONG_BASIC)
        elif self._at("'''"):
            self._skip(_LONG_LITERAL)
        elif self._at('"'):
            self._skip(_BASIC)
        elif self._at("'"):
            self._skip(_LITERAL)
        else:
            self._skip(_PLAIN_VALUE)

    def _array(self, path: KeyPath) -> None:
        self._position += 1
        index = 0
        while self._skip(_FILLER) < len(self._text) and not self._at("]"):
            element = (*path, index)
            self._mark(element, self._position)
            self._value(element)
            index += 1
            self._skip(_FILLER)
            if self._at(","):
                self._position += 1
        self._position += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._position += 1
        while self._skip(_FILLER) < len(self._text) and not self._at("}"):
            self._pair(path)
            self._skip(_FILLER)
            if self._at(","):
                self._position += 1
        self._position += 1


def _unquote(key: str) -> str:
    if key.startswith('"'):
        return str(tomllib.loads(f"key = {key}")["key"])
    return key.strip("'")
