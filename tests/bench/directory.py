"""What a look-up of a recipient's certificate costs, in directories of two sizes."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Iterator
from typing import Any

from smimegw.adapters.chain.cache import CachingDirectory
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.addresses import Mailbox
from tests.bench.cast import cast_of
from tests.contract.conftest import ldap_settings
from tests.peers.slapd import Slapd

_AT_ONCE = 100_000  # entries in one run of slapadd
_OCTETS_EACH = 6_000  # of the database, with its indexes
_QUESTIONS = 1_000


def measure(people: tuple[int, ...] = (13_000, 1_000_000)) -> list[dict[str, Any]]:
    """One row for each size: first questions, and the same again from the cache."""
    rows = []
    for count in people:
        with Slapd(database_octets=max(2**28, count * _OCTETS_EACH)) as server:
            began = time.monotonic()
            server.load(*_everybody(server, count))
            row: dict[str, Any] = {"entries": count, "load_seconds": time.monotonic() - began}
            row |= asyncio.run(_questions(server, count))
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def _everybody(server: Slapd, count: int) -> Iterator[str]:
    certificate = base64.b64encode(cast_of("P-256").reader.certificate.der).decode()
    for first in range(0, count, _AT_ONCE):
        yield "\n".join(
            f"dn: mail={_address(number)},{server.people_base}\n"
            "objectClass: inetOrgPerson\nobjectClass: smimegwMailPerson\n"
            f"cn: Person {number}\nsn: {number}\nmail: {_address(number)}\n"
            f"userCertificate;binary:: {certificate}\n"
            for number in range(first, min(first + _AT_ONCE, count))
        )


def _address(number: int) -> str:
    return f"person{number}@corp.example"


async def _questions(server: Slapd, count: int) -> dict[str, float]:
    behind = LDAPDirectory(ldap_settings(server, deadline_seconds=30.0))
    directory = CachingDirectory(behind)
    chance = random.Random(1)
    asked = [Mailbox.parse(_address(chance.randrange(count))) for _ in range(_QUESTIONS)]
    await directory.find(Mailbox.parse("nobody@corp.example"))  # connects
    figures: dict[str, float] = {}
    for name in ("miss", "hit"):
        cpu, waits = time.process_time(), []
        for mailbox in asked:
            began = time.perf_counter()
            assert await directory.find(mailbox)
            waits.append((time.perf_counter() - began) * 1000)
        waits.sort()
        figures[f"{name}_p50_ms"] = waits[len(waits) // 2]
        figures[f"{name}_p99_ms"] = waits[int(len(waits) * 0.99)]
        figures[f"{name}_cpu_ms"] = (time.process_time() - cpu) / len(asked) * 1000
    await behind.close()
    return figures
