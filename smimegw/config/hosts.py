"""Values that say which hosts outside may be asked, and through which proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smimegw.config.values import Domain, Endpoint, domain, endpoint
from smimegw.toml.structure import FaultError, show

_WEB_PORTS = (80, 443)


@dataclass(frozen=True, slots=True)
class HostRule:
    """Hosts that may be asked: one name or address, or all names below a domain.

    Attributes:
        host: Name or IP address, lower case.
        below: The names below *host* are meant, not *host* itself.
        port: The one port; None for those of http and https.
    """

    host: str
    below: bool = False
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        """Whether *host*, lower case and without a final dot, may be asked at *port*."""
        if port != self.port and (self.port is not None or port not in _WEB_PORTS):
            return False
        return host.endswith(f".{self.host}") if self.below else host == self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{'*.' if self.below else ''}{host}{port}"


@dataclass(frozen=True, slots=True)
class ProxyURL:
    """An HTTP proxy."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{Endpoint(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class DomainRule:
    """Domains of mailboxes: one, all below one, or with an empty domain all.

    Attributes:
        domain: A-label form, lower case.
        below: The names below *domain* are meant, not *domain* itself.
    """

    domain: Domain
    below: bool = False

    def matches(self, name: str) -> bool:
        """Whether *name*, in A-label form, is one of them."""
        if not self.domain:
            return True
        return name.endswith(f".{self.domain}") if self.below else name == self.domain

    def __str__(self) -> str:
        return f"{'*.' if self.below else ''}{self.domain or '*'}"


def domain_rule(value: Any, _: Any = None) -> DomainRule:
    """Read ``partner.example``, ``*.partner.example`` or ``*``."""
    if value == "*":
        return DomainRule(Domain(""))
    below = isinstance(value, str) and value.startswith("*.")
    try:
        return DomainRule(domain(value[2:] if below else value), below)
    except FaultError:
        advice = 'Write "partner.example", "*.partner.example" or "*"'
        raise FaultError(f"{show(value)} is not a domain.  {advice}") from None


def host_rule(value: Any, _: Any = None) -> HostRule:
    """Read ``crl.ca.example``, ``*.ca.example`` or ``crl.ca.example:8080``."""
    advice = 'Write "crl.ca.example", "*.ca.example" or "crl.ca.example:8080"'
    text = value.lower() if isinstance(value, str) else ""
    below = text.startswith("*.")
    text = text.removeprefix("*.")
    with_port = text.startswith("[") or text.count(":") == 1
    try:
        if with_port and not text.endswith("]"):
            place = endpoint(text)
            rule = HostRule(place.host, below, place.port)
        else:
            bare = text.removeprefix("[").removesuffix("]")
            rule = HostRule(endpoint(f"[{bare}]:0" if ":" in bare else f"{bare}:0").host, below)
    except FaultError:
        raise FaultError(f"{show(value)} is not a host.  {advice}") from None
    if below and ("." not in rule.host or rule.host.replace(".", "").isdigit()):
        raise FaultError(f"{show(value)} would allow too much.  {advice}")
    return rule


def proxy_url(value: Any, _: Any = None) -> ProxyURL:
    """Read ``http://host:port``."""
    scheme, _, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
    try:
        place = endpoint(rest.removesuffix("/"))
    except FaultError:
        place = None
    if scheme.lower() != "http" or place is None or place.port == 0:
        message = f'{show(value)} is not a proxy.  Write "http://proxy.corp.example:3128"'
        raise FaultError(message)
    return ProxyURL(place.host, place.port)
