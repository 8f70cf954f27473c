"""Reads the PROXY protocol's header, with which a load balancer names the client it speaks for.

HAProxy's "The PROXY protocol, Versions 1 & 2".  Only what concerns us is kept: the client's
address.  Whoever may send the header at all is the caller's matter.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from smimegw.errors import CommandError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # version 2; no SMTP client begins so
FIRST_OCTETS = 12  # both versions are longer, and these tell them apart
FIXED_OCTETS = 16  # version 2: signature, version and command, family, length
LINE_OCTETS = 107  # version 1: the longest line with its CRLF

_REST_OCTETS = 4096  # addresses and TLVs; TLS details of a client certificate need some hundred
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+)"
    rb" ([0-9]{1,5}) ([0-9]{1,5}))\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED = 0
_STREAMS = {0x11: (IPv4Address, 4), 0x21: (IPv6Address, 16)}


def parse_line(line: bytes) -> str:
    """The client's address in a header of version 1, CRLF included; empty for UNKNOWN.

    Raises:
        CommandError: No such line.
    """
    match = _LINE.fullmatch(line) if len(line) <= LINE_OCTETS else None
    if match is None:
        raise _malformed()
    if match[1] is None:
        return ""
    kind = IPv4Address if match[1] == b"TCP4" else IPv6Address
    try:
        kind(match[3].decode("ascii"))
        client = kind(match[2].decode("ascii"))
    except ValueError:
        raise _malformed() from None
    if max(int(match[4]), int(match[5])) > 65535:
        raise _malformed()
    return str(client)


def rest_length(fixed: bytes) -> int:
    """How many octets follow the first sixteen of version 2.

    Raises:
        CommandError: No such header, or one far too long.
    """
    length = int.from_bytes(fixed[14:16])
    if len(fixed) != FIXED_OCTETS or not fixed.startswith(SIGNATURE) or length > _REST_OCTETS:
        raise _malformed()
    return length


def parse_binary(fixed: bytes, rest: bytes) -> str:
    """The client's address in a header of version 2; empty for LOCAL and for no family.

    Raises:
        CommandError: Another version or command, another transport than TCP, or too short.
    """
    if rest_length(fixed) != len(rest):
        raise _malformed()
    command, family = fixed[12], fixed[13]
    if command == _LOCAL or (command == _PROXY and family == _UNSPECIFIED):
        return ""
    if command != _PROXY or family not in _STREAMS:
        raise _malformed()
    kind, octets = _STREAMS[family]
    if len(rest) < 2 * octets + 4:
        raise _malformed()
    return str(kind(rest[:octets]))


def _malformed() -> CommandError:
    return CommandError(554, "5.5.2", "malformed PROXY header")
