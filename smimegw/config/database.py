"""The value that says which database is the gateway's own, and never holds its password."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from smimegw.config.values import is_loopback
from smimegw.toml.structure import FaultError, show

_SCHEME = "postgresql"
_EXAMPLE = '"postgresql://smimegw@db.corp.example/smimegw?sslmode=verify-full"'
_WHERE = "write database.password = { credential = … }, { file = … } or { env = … }"
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})  # libpq's words


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """An SQLite file or a PostgreSQL database.

    Attributes:
        text: Absolute path, or URL without password.
    """

    text: str

    @property
    def is_server(self) -> bool:
        """A PostgreSQL server, so that several nodes can share it."""
        return self.text.startswith(f"{_SCHEME}:")

    @property
    def in_clear(self) -> bool:
        """What is asked and answered could be read on the network."""
        parts = urlsplit(self.text)
        given = dict(parse_qsl(parts.query))
        host = parts.hostname or given.get("host", "")
        if not self.is_server or not host or host.startswith("/") or is_loopback(host):
            return False
        return given.get("sslmode") not in _ENCRYPTED

    def __str__(self) -> str:
        return self.text


def database_location(value: Any, folder: Path) -> DatabaseLocation:
    """Read a path, relative to *folder*, or ``postgresql://user@host/name``."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise FaultError(f'{show(value)} is no database.  Write "/path/to/file" or {_EXAMPLE}')
    if "://" not in value:
        return DatabaseLocation(str(folder / value))
    try:
        parts = urlsplit(value)
        secret = parts.password is not None or "password" in dict(parse_qsl(parts.query))
        _ = parts.port
    except ValueError:
        raise FaultError(f"not a URL.  Write {_EXAMPLE}") from None
    if secret:
        # The value is not shown: it holds the password.
        raise FaultError(f"a password never stands in this file itself.  Take it out and {_WHERE}")
    if parts.scheme != _SCHEME:
        raise FaultError(f"{show(value)} is of no kind we know.  Write a path or {_EXAMPLE}")
    return DatabaseLocation(value)
