"""Decides where a URL that a stranger wrote may lead: by name before, by address after resolving.

Certificates carry URLs, and whoever makes one chooses them (T-14).  So a host must be allowed by
name, its addresses must be public unless the administrator said otherwise, and the connection goes
to the very address that was looked at, whatever the name resolves to a moment later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from smimegw.adapters.names import addresses_of, is_public
from smimegw.config.hosts import HostRule
from smimegw.errors import RevocationError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A parsed http or https URL.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Lower case, without a final dot.
        port: The default one applied.
        target: Path and query.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> Destination:
        """Read *url*.

        Raises:
            RevocationError: Not http or https, with a login, a fragment or odd characters.
        """
        if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
            raise RevocationError("the URL has characters that no URL has")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise RevocationError("the URL is malformed") from exc
        if parts.scheme not in _PORTS or not parts.hostname:
            raise RevocationError("only http and https are asked")
        if "@" in parts.netloc or "#" in url:
            raise RevocationError("the URL has a login or a fragment")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname.removesuffix("."),
            port=_PORTS[parts.scheme] if port is None else port,
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        )

    @property
    def authority(self) -> str:
        """For the Host field: the port only where it is not the default (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, as a proxy wants it."""
        return f"{self.scheme}://{self.authority}{self.target}"


class Gatekeeper:
    """Knows which hosts may be asked, and at which addresses.

    Args:
        allowed: Hosts whose addresses must be public.
        private: Hosts that may be anywhere.
        resolve: How names become addresses.
    """

    def __init__(
        self,
        allowed: Sequence[HostRule],
        private: Sequence[HostRule] = (),
        *,
        resolve: Resolve = addresses_of,
    ) -> None:
        self._allowed = tuple(allowed)
        self._private = tuple(private)
        self._resolve = resolve

    def admits(self, destination: Destination) -> bool:
        """Whether the host may be asked at that port."""
        host, port = destination.host, destination.port
        return any(rule.matches(host, port) for rule in (*self._allowed, *self._private))

    async def addresses(self, destination: Destination) -> Sequence[str]:
        """The addresses to connect to.

        Raises:
            RevocationError: Unknown name, or an address among them that is not public.
        """
        try:
            found = await self._resolve(destination.host, destination.port)
        except (OSError, UnicodeError) as exc:
            raise RevocationError("the host name is not known") from exc
        for address in found:
            self._check(destination, address)
        return found

    def check_literal(self, destination: Destination) -> None:
        """Check a host that is an address itself; names are the proxy's matter.

        Raises:
            RevocationError: It is not public.
        """
        try:
            ip_address(destination.host)
        except ValueError:
            return
        self._check(destination, destination.host)

    def _check(self, destination: Destination, address: str) -> None:
        host, port = destination.host, destination.port
        if not is_public(address) and not any(r.matches(host, port) for r in self._private):
            raise RevocationError(
                f"{address} is not a public address; if it shall be asked, write the host into "
                "revocation.private_hosts"
            )
