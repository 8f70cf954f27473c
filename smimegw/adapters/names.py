"""Asks the operating system for the addresses of a name, in threads that nobody else waits for.

A name server that does not answer keeps each thread for many seconds.  In the event loop's own
threads, where it would be asked by default, it would soon hold up whatever else needs one of them:
decision records, keys.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

_THREADS = ThreadPoolExecutor(8, thread_name_prefix="names")


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
