"""PROXY headers under random input: an address, or a refusal; never anything else."""

from __future__ import annotations

import contextlib
import ipaddress
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from smimegw.adapters.smtp.xforward import XCLIENT_ATTRIBUTES, client_address, parse_attributes
from smimegw.errors import CommandError
from smimegw.smtp.proxy_protocol import (
    FIXED_OCTETS,
    SIGNATURE,
    parse_binary,
    parse_line,
    rest_length,
)

WORDS = st.sampled_from(
    [b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"127.0.0.1 ", b"::1 ", b"25", b" ", b"\r\n",
     b"\0", b"65536", b"-1", b"1e3", "²".encode(), b"::ffff:1.2.3.4 ", b"%eth0"]
)  # fmt: skip
LINES = st.lists(st.one_of(WORDS, st.binary(max_size=3)), max_size=12).map(b"".join)
PORTS = st.integers(min_value=0, max_value=65535)


def _is_address_or_nothing(text: str) -> None:
    if text:
        ipaddress.ip_address(text)


@settings(max_examples=600)
@given(LINES)
def test_any_line_is_an_address_or_refused(line: bytes) -> None:
    """Version 1 (cases A22, A26)."""
    with contextlib.suppress(CommandError):
        _is_address_or_nothing(parse_line(line))


@settings(max_examples=600)
@given(st.binary(max_size=40), st.binary(max_size=60), st.booleans())
def test_any_octets_are_an_address_or_refused(head: bytes, rest: bytes, signed: bool) -> None:
    """Version 2; the length that is asked for is bounded, whatever is written (cases A22, A26)."""
    fixed = (SIGNATURE + head)[:FIXED_OCTETS] if signed else head[:FIXED_OCTETS]
    with contextlib.suppress(CommandError):
        assert 0 <= rest_length(fixed) <= 4096
        _is_address_or_nothing(parse_binary(fixed, rest))


@given(st.ip_addresses(), st.ip_addresses(), PORTS, PORTS, st.binary(max_size=20))
def test_what_a_balancer_writes_is_read(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    server: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    own: int,
    more: bytes,
) -> None:
    """Both versions name the same client, with TLVs behind it or without."""
    if client.version != server.version:
        server = client
    six = client.version == 6
    line = f"PROXY TCP{client.version} {client} {server} {port} {own}\r\n"
    assert ipaddress.ip_address(parse_line(line.encode())) == client
    rest = client.packed + server.packed + struct.pack("!HH", port, own) + more
    fixed = SIGNATURE + bytes([0x21, 0x21 if six else 0x11]) + struct.pack("!H", len(rest))
    assert ipaddress.ip_address(parse_binary(fixed, rest)) == client


@settings(max_examples=400)
@given(st.lists(st.one_of(WORDS, st.sampled_from([b"ADDR=", b"HELO=", b"+41"])), max_size=8))
def test_any_xclient_is_an_address_or_refused(words: list[bytes]) -> None:
    """The other way in which a server names its client (case A26)."""
    with contextlib.suppress(CommandError):
        told = parse_attributes(b"".join(words), XCLIENT_ATTRIBUTES)
        _is_address_or_nothing(client_address(told.get("ADDR", "")))
