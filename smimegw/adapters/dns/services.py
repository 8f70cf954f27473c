"""Finds the servers of a service by SRV records (RFC 2782)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from dns.rdtypes.IN.SRV import SRV

from smimegw.adapters.dns.resolver import ValidatingResolver
from smimegw.sources import ServiceHost, Services

Below = Callable[[int], int]


class DNSServices:
    """Implements `ServiceLookup` with a validating resolver.

    Args:
        resolver: Who is asked.
        below: Chance: a number from 0 to less than its argument.
    """

    def __init__(self, resolver: ValidatingResolver, *, below: Below = secrets.randbelow) -> None:
        self._resolver = resolver
        self._below = below

    async def find(self, service: str, domain: str, *, seconds: float) -> Services:
        """Return the servers of *service*, such as ``_ldap._tcp``, in the order to try them.

        Raises:
            DirectoryError: The resolver could not tell.
        """
        answer = await self._resolver.ask(f"{service}.{domain}", "SRV", seconds=seconds)
        records = [record for record in answer.records if isinstance(record, SRV)]
        return Services(
            hosts=tuple(_host(record) for record in in_order(records, self._below)),
            is_validated=answer.is_validated,
            seconds=answer.seconds,
        )


def in_order(records: Iterable[SRV], below: Below) -> list[SRV]:
    """*records* by priority, and among equals by chance in the proportion of their weights.

    A record whose target is the root says that there is no such service (RFC 2782).
    """
    groups: dict[int, list[SRV]] = {}
    for record in records:
        if str(record.target) != ".":
            groups.setdefault(record.priority, []).append(record)
    found = []
    for _, left in sorted(groups.items()):
        left.sort(key=lambda record: record.weight)  # those of weight 0 first
        while left:
            found.append(left.pop(_drawn(left, below)))
    return found


def _drawn(records: list[SRV], below: Below) -> int:
    ticket = below(sum(record.weight for record in records) + 1)
    for position, record in enumerate(records):
        ticket -= record.weight
        if ticket <= 0:
            return position
    return len(records) - 1


def _host(record: SRV) -> ServiceHost:
    name = record.target.to_text(omit_final_dot=True).lower()
    return ServiceHost(name=name, port=record.port)
