"""LDAP directories of other domains, found by what their domains say in DNS (RFC 2782)."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.filter import FilterTemplate
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.adapters.names import addresses_of, is_public
from smimegw.addresses import Mailbox
from smimegw.config.hosts import HostRule
from smimegw.errors import DirectoryError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.ports import FoundCertificate
from smimegw.sources import ServiceHost, ServiceLookup, Services

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

SERVICE = "_ldap._tcp"
_LDAPS_PORT = 636
_SERVERS = 4  # of one domain; more do not fit into a deadline
_DOMAINS = 50  # whose connections are kept
_ANSWER_OCTETS = 4 * 2**20  # twenty people with many certificates
_PORTS = (389, 636)
_KEPT_SECONDS = (60, 3600)  # how long what DNS said counts, whatever its TTL is


@dataclasses.dataclass(kw_only=True)
class _Place:
    """What a domain named: its directory, or none."""

    directory: LDAPDirectory | None
    until: float
    users: int = 0
    left: bool = False


class FoundLDAPDirectory:
    """Implements `CertificateDirectory`.

    Whoever writes a domain's DNS chooses where we connect (T-14).  So the servers are public ones
    unless the administrator said otherwise, connected at the address that was looked at, over TLS,
    with no name and no password; and a server outside the domain needs DNSSEC to have sent us.

    Args:
        settings: For every domain; without servers, and without a base unless it is everybody's.
        services: Who finds the servers.
        private: Hosts that may be anywhere.
        resolve: How names become addresses.
        limits: For what is read.
    """

    def __init__(
        self,
        settings: LDAPSettings,
        services: ServiceLookup,
        *,
        private: Sequence[HostRule] = (),
        resolve: Resolve = addresses_of,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        FilterTemplate(settings.filter, origin=f"ldap-srv:{settings.name}")
        self._settings = settings
        self._services = services
        self._private = tuple(private)
        self._resolve = resolve
        self._limits = limits
        self._places: OrderedDict[str, _Place] = OrderedDict()

    @property
    def name(self) -> str:
        """``ldap-srv:name``."""
        return f"ldap-srv:{self._settings.name}"

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return what the directory of *mailbox*' domain has; () when the domain names none.

        Raises:
            DirectoryError: DNS or the directory could not answer, or DNS leads where we do not go.
        """
        if mailbox.domain.startswith("["):
            return ()
        try:
            async with asyncio.timeout(self._settings.deadline_seconds):
                place = await self._place(mailbox.domain)
                return await self._ask(place, mailbox)
        except TimeoutError:
            text = f"the directory of {mailbox.domain} did not answer in time"
            raise DirectoryError(text, server=mailbox.domain) from None

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Forget where the directory of one domain is, or of all."""
        for domain in [mailbox.domain] if mailbox else [*self._places]:
            await self._leave(domain)

    async def close(self) -> None:
        """Close the connections."""
        await self.flush()

    async def _ask(self, place: _Place, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        if place.directory is None:
            return ()
        place.users += 1
        try:
            found = await place.directory.find(mailbox)
        finally:
            place.users -= 1
            if place.left and not place.users:
                await place.directory.close()
        return tuple(dataclasses.replace(entry, source=self.name) for entry in found)

    async def _place(self, domain: str) -> _Place:
        place = self._places.get(domain)
        if place and time.monotonic() < place.until:
            self._places.move_to_end(domain)
            return place
        half = self._settings.deadline_seconds / 2
        services = await self._services.find(SERVICE, domain, seconds=half)
        servers = await self._servers(domain, services)
        await self._leave(domain)
        place = _Place(
            directory=self._directory(domain, servers) if servers else None,
            until=time.monotonic() + min(max(services.seconds, _KEPT_SECONDS[0]), _KEPT_SECONDS[1]),
        )
        self._places[domain] = place
        while len(self._places) > _DOMAINS:
            await self._leave(next(iter(self._places)))
        return place

    async def _servers(self, domain: str, services: Services) -> tuple[LDAPServer, ...]:
        servers: list[LDAPServer] = []
        for host in services.hosts[:_SERVERS]:
            if not (services.is_validated or _is_within(host.name, domain)):
                # RFC 4513, 3.1.3: TLS must prove a name that the domain, not the line, chose.
                text = (
                    f"{SERVICE}.{domain} leads to {host.name}, outside the domain, and is not "
                    "signed (DNSSEC); if that is right, write a [[directory]] of kind ldap for it"
                )
                raise DirectoryError(text, server=domain, retryable=False)
            servers += await self._at(host)
        return tuple(servers[:_SERVERS])

    async def _at(self, host: ServiceHost) -> list[LDAPServer]:
        try:
            addresses = await self._resolve(host.name, host.port)
        except (OSError, UnicodeError) as exc:
            text = f"the directory server {host.name} has no address"
            raise DirectoryError(text, server=host.name) from exc
        may_be_private = any(rule.matches(host.name, host.port) for rule in self._private)
        for address in addresses:
            if not (may_be_private or is_public(address)):
                text = (
                    f"{host.name} has the address {address}, which is not public; if it shall be "
                    f'asked, write "{host.name}:{host.port}" into private_hosts'
                )
                raise DirectoryError(text, server=host.name, retryable=False)
        if not (may_be_private or host.port in _PORTS):
            text = (
                f"{host.name} would be asked at port {host.port}, which is none of LDAP's; if it "
                f'shall be, write "{host.name}:{host.port}" into private_hosts'
            )
            raise DirectoryError(text, server=host.name, retryable=False)
        tls = host.port == _LDAPS_PORT
        return [
            LDAPServer(host=host.name, port=host.port, tls=tls, start_tls=not tls, address=address)
            for address in addresses
        ]

    def _directory(self, domain: str, servers: tuple[LDAPServer, ...]) -> LDAPDirectory:
        base = self._settings.base or name_of(domain)
        settings = dataclasses.replace(
            self._settings, servers=servers, base=base, answer_octets=_ANSWER_OCTETS
        )
        return LDAPDirectory(settings, limits=self._limits)

    async def _leave(self, domain: str) -> None:
        place = self._places.pop(domain, None)
        if place is None or place.directory is None:
            return
        place.left = True
        if not place.users:
            await place.directory.close()


def name_of(domain: str) -> str:
    """A domain as a distinguished name: dc=partner,dc=example (RFC 2247, 2)."""
    return ",".join(f"dc={label}" for label in domain.split("."))


def _is_within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
