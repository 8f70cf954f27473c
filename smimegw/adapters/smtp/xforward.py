"""XFORWARD and XCLIENT: what a trusted mail server says about the client that it speaks for.

The commands are Postfix' own (its XFORWARD_README and XCLIENT_README).  Of the first only the
queue id is kept, for the logs; the second puts the client in the place of who says it.
"""

from __future__ import annotations

import ipaddress
import re

from smimegw.adapters.smtp.settings import plain_address
from smimegw.errors import CommandError

XCLIENT_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO")
XFORWARD_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")

_VALUE_OCTETS = 255
_PAIR = re.compile(rb"([A-Za-z]+)=((?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+)")  # xtext, RFC 3461, 4
_HEX = re.compile(r"\+([0-9A-Fa-f]{2})")


def parse_attributes(argument: bytes, offered: tuple[str, ...]) -> dict[str, str]:
    """Read the attributes; ``[UNAVAILABLE]`` and ``[TEMPUNAVAIL]`` become empty.

    Raises:
        CommandError: Malformed, or an attribute that was not offered.
    """
    found: dict[str, str] = {}
    for word in argument.split():
        match = _PAIR.fullmatch(word)
        if match is None or len(match[2]) > _VALUE_OCTETS:
            raise CommandError(501, "5.5.4", "malformed attribute")
        name = match[1].decode("ascii").upper()
        if name not in offered:
            raise CommandError(501, "5.5.4", "unknown attribute")
        value = _HEX.sub(lambda hit: chr(int(hit[1], 16)), match[2].decode("ascii"))
        if not value.isprintable():
            raise CommandError(501, "5.5.4", "malformed attribute")
        found[name] = "" if value.upper() in {"[UNAVAILABLE]", "[TEMPUNAVAIL]"} else value
    if not found:
        raise CommandError(501, "5.5.4", "an attribute is needed")
    return found


def client_address(value: str) -> str:
    """The IP address in XCLIENT's ADDR, in its shortest form; empty when it is not known.

    Raises:
        CommandError: No IP address.
    """
    text = value[5:] if value[:5].upper() == "IPV6:" else value
    if not text:
        return ""
    try:
        return plain_address(str(ipaddress.ip_address(text)))
    except ValueError:
        raise CommandError(501, "5.5.4", "ADDR is no IP address") from None
