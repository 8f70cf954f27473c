"""Changes to a directory as values, and as LDIF that ldapmodify accepts (RFC 2849)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# RFC 2849 allows control characters in plain values, but some readers end a line at them.
_SAFE = re.compile(r"[!-9;=-~][ -~]*")
_LINE = 76

Operation = Literal["add", "delete", "replace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddEntry:
    """Make an entry."""

    dn: str
    attributes: tuple[tuple[str, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """Add, delete or replace values of one attribute; replace by nothing removes it."""

    operation: Operation
    attribute: str
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyEntry:
    """Change attributes of an entry."""

    dn: str
    changes: tuple[AttributeChange, ...]


Change = AddEntry | ModifyEntry


def write_ldif(change: Change) -> str:
    """Write one change record, without the version line."""
    lines = [_line("dn", change.dn.encode())]
    if isinstance(change, AddEntry):
        lines.append("changetype: add")
        for name, values in change.attributes:
            lines += [_line(name, value) for value in values]
    else:
        lines.append("changetype: modify")
        for item in change.changes:
            lines.append(f"{item.operation}: {item.attribute}")
            lines += [_line(item.attribute, value) for value in item.values]
            lines.append("-")
    return "\n".join(lines) + "\n"


def write_dn(attribute: str, value: str, parent: str) -> str:
    """Return the DN ``attribute=value,parent`` with *value* escaped (RFC 4514, 2.4)."""
    escaped = re.sub(r'[\\,+"<>;=#\x00]', lambda found: f"\\{ord(found[0]):02x}", value)
    escaped = re.sub(r"^ | $", r"\\20", escaped)
    return f"{attribute}={escaped},{parent}"


def _line(name: str, value: bytes) -> str:
    text = value.decode("ascii", "replace")
    if _SAFE.fullmatch(text) and value.isascii() and not text.endswith(" "):
        return _fold(f"{name}: {text}")
    return _fold(f"{name}:: {base64.b64encode(value).decode()}")


def _fold(line: str) -> str:
    pieces: Sequence[str] = [line[:_LINE]]
    rest = [line[i : i + _LINE - 1] for i in range(_LINE, len(line), _LINE - 1)]
    return "\n ".join([*pieces, *rest])
