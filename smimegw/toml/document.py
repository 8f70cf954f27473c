"""Reads one TOML file into values and turns places inside it into problems with a line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from smimegw.errors import ConfigurationError, Problem
from smimegw.toml.lines import KeyPath, key_lines

_SYNTAX_PLACE = re.compile(r"^(.*) \(at line (\d+), column (\d+)\)$", re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9](?:_?[0-9]){4000}")
_FILE_OCTETS = 4 * 1024 * 1024  # a configuration of that size is a mistaken file name


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        name: File name as messages show it.
        text: The text it was parsed from.
        values: What `tomllib` made of it.
    """

    name: str
    text: str
    values: dict[str, Any]

    @classmethod
    def parse(cls, name: str, octets: bytes) -> Document:
        """Read a file's octets.

        Raises:
            ConfigurationError: Not UTF-8 or not TOML; one problem with its line.
        """
        try:
            if len(octets) > _FILE_OCTETS:
                raise ConfigurationError((_problem(name, None, "larger than 4 MiB"),))
            text = octets.decode("utf-8-sig").replace("\r\n", "\n")
            return cls(name, text, tomllib.loads(text))
        except UnicodeDecodeError as error:
            line = octets.count(b"\n", 0, error.start) + 1
            problem = _problem(name, line, "not UTF-8.  Save the file as UTF-8")
        except tomllib.TOMLDecodeError as error:
            match = _SYNTAX_PLACE.match(str(error))
            what, line = (match[1], int(match[2])) if match else (str(error), octets.count(b"\n"))
            problem = _problem(name, max(line, 1), f"not valid TOML: {what}{_hint(what)}")
        except ValueError:  # of int(), which reads no number of thousands of digits
            found = _LONG_NUMBER.search(octets)
            place = octets.count(b"\n", 0, found.start()) + 1 if found else None
            problem = _problem(name, place, "not valid TOML: a number has too many digits")
        except RecursionError:
            problem = _problem(name, None, "nested too deep")
        raise ConfigurationError((problem,)) from None

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """The line of every key."""
        return key_lines(self.text)

    def line(self, path: KeyPath) -> int | None:
        """The line of *path*, or of the nearest thing around it; None at the top."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake at *path* of this file."""
        return Problem(file=self.name, line=self.line(path), key=dotted(path), message=message)


def _problem(name: str, line: int | None, message: str) -> Problem:
    return Problem(file=name, line=line, key="", message=message)


def _hint(what: str) -> str:
    """What is meant most often when the parser can say only that a value is none."""
    return ".  Text stands in quotation marks" if what.startswith("Invalid value") else ""


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as people do: ``directory[0].deadline``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
