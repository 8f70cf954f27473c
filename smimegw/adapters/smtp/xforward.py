"""XFORWARD: what a trusted mail server says about the client that it speaks for.

The command is Postfix' own (its XFORWARD_README); only the queue id is kept, for the logs.
"""

from __future__ import annotations

import re

from smimegw.errors import CommandError

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")

_VALUE_OCTETS = 255
_PAIR = re.compile(rb"([A-Za-z]+)=((?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+)")  # xtext, RFC 3461, 4
_HEX = re.compile(r"\+([0-9A-Fa-f]{2})")


def parse_xforward(argument: bytes) -> dict[str, str]:
    """Read the attributes; ``[UNAVAILABLE]`` and ``[TEMPUNAVAIL]`` become empty.

    Raises:
        CommandError: Malformed, or an attribute that was not offered.
    """
    found: dict[str, str] = {}
    for word in argument.split():
        match = _PAIR.fullmatch(word)
        if match is None or len(match[2]) > _VALUE_OCTETS:
            raise CommandError(501, "5.5.4", "malformed XFORWARD attribute")
        name = match[1].decode("ascii").upper()
        if name not in ATTRIBUTES:
            raise CommandError(501, "5.5.4", "unknown XFORWARD attribute")
        value = _HEX.sub(lambda hit: chr(int(hit[1], 16)), match[2].decode("ascii"))
        if not value.isprintable():
            raise CommandError(501, "5.5.4", "malformed XFORWARD attribute")
        found[name] = "" if value.upper() in {"[UNAVAILABLE]", "[TEMPUNAVAIL]"} else value
    if not found:
        raise CommandError(501, "5.5.4", "XFORWARD needs an attribute")
    return found
