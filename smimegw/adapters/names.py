"""Asks the operating system for the addresses of a name, and knows which ones are the Internet's.

It is asked in threads that nobody else waits for: a name server that does not answer keeps each of
them for many seconds.  In the event loop's own threads, where it would be asked by default, it
would soon hold up whatever else needs one of them: decision records, keys.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_THREADS = ThreadPoolExecutor(8, thread_name_prefix="names")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1
# QUIRK 2026-11 Python knows these registrations in its newest versions only.
_V4_OF_PROTOCOLS = IPv4Network("192.0.0.0/24")  # RFC 6890, 2.1; clouds serve secrets there, too
_V6_OF_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637


async def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """Every address of *host* in the system's order; of an address, itself, without asking.

    Raises:
        OSError: It has none, or the name servers do not answer.
        UnicodeError: It cannot be a name.
    """
    try:
        return (str(ip_address(host)),)
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_THREADS, _look_up, host, port)
    return tuple(dict.fromkeys(found))


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    """Whether *address* is one of the Internet's, also where IPv6 only wraps an IPv4 address."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        wrapped = _wrapped(parsed)
        if wrapped is not None:
            return is_public(str(wrapped))
        if parsed.is_site_local or parsed in _V6_OF_DOCUMENTATION:
            return False
    elif parsed in _V4_OF_PROTOCOLS:
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
