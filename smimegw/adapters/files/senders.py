"""Reads which addresses a login may use in From besides its own."""

from __future__ import annotations

from pathlib import Path

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, ConfigurationError, Problem
from smimegw.regular_files import TEXT_OCTETS, read_regular


def read_senders(path: Path) -> dict[str, frozenset[str]]:
    """Return login (case folded) to comparison forms of addresses.

    The file has lines ``login: address, address``; empty lines and ``#`` comments do not count.

    Raises:
        ConfigurationError: Unreadable, or a line that is not like that; every one is listed.
    """
    try:
        lines = read_regular(path, TEXT_OCTETS).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            (Problem(file=str(path), line=None, key="senders", message=f"cannot be read: {error}"),)
        ) from error
    senders: dict[str, frozenset[str]] = {}
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        login, _, addresses = text.partition(":")
        try:
            keys = frozenset(Mailbox.parse(entry.strip()).key for entry in addresses.split(","))
        except AddressError as error:
            problems.append(Problem(file=str(path), line=number, key="senders", message=str(error)))
            continue
        known = senders.get(login.strip().casefold(), frozenset())
        senders[login.strip().casefold()] = known | keys
    if problems:
        raise ConfigurationError(tuple(problems))
    return senders
