"""Hides local parts of addresses in log lines, wherever in a value they stand."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
from pathlib import Path

from smimegw.config.choices import LogAddresses
from smimegw.errors import DependencyError
from smimegw.regular_files import SECRET_OCTETS, read_regular

_ADDRESS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s<>,;:"()\[\]]+)@([A-Za-z0-9.\-]+|\[[^\]\s]*\])')
_KEY_OCTETS = 32
_HASH_LETTERS = 12


class AddressMask:
    """Rewrites addresses as ``log.addresses`` says."""

    def __init__(self, mode: LogAddresses, key: bytes = b"") -> None:
        if mode is LogAddresses.HASH and not key:
            raise ValueError("hashed addresses need a key")
        self._mode = mode
        self._key = key

    @property
    def hides(self) -> bool:
        """Addresses are not shown as they are."""
        return self._mode is not LogAddresses.FULL

    def __call__(self, text: str) -> str:
        """Return *text* with every address in it masked."""
        if "@" not in text or not self.hides:
            return text
        return _ADDRESS.sub(self._masked, text)

    def _masked(self, match: re.Match[str]) -> str:
        local_part, domain = match[0].rpartition("@")[0], match[1].lower()
        if self._mode is LogAddresses.DOMAIN:
            return f"*@{domain}"
        digest = hmac.digest(self._key, f"{local_part.lower()}@{domain}".encode(), "sha256")
        return f"{digest.hex()[:_HASH_LETTERS]}@{domain}"


def address_key(path: Path) -> bytes:
    """Return the key for hashed addresses at *path*; it is made at the first use.

    Raises:
        DependencyError: It cannot be read or written.
    """
    try:
        if not path.exists():
            _make_key(path)
        key = read_regular(path, SECRET_OCTETS)[:_KEY_OCTETS]
    except OSError as error:
        text = f"key for hashed addresses at {path}: {error.strerror}"
        raise DependencyError(text, retryable=False) from error
    if len(key) < _KEY_OCTETS:  # a short one can be guessed, and with it every address
        text = f"key for hashed addresses at {path}: it has {len(key)} octets instead of"
        text += f" {_KEY_OCTETS}; delete it, a new one is made"
        raise DependencyError(text, retryable=False)
    return key


def _make_key(path: Path) -> None:
    """Write a new one, unless another process is faster: it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_OCTETS))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
