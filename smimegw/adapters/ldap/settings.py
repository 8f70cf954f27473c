"""What one LDAP directory is: its servers, identity, tree and deadline, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from smimegw.config.choices import Absence
from smimegw.config.values import is_loopback
from smimegw.errors import ConfigurationError, Problem
from smimegw.limits import DEFAULT_LIMITS

_PORTS = {"ldap": 389, "ldaps": 636}
CERTIFICATE_ATTRIBUTES = ("userCertificate", "userSMIMECertificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPServer:
    """One server of a directory.

    Attributes:
        host: Name or address, without brackets; the TLS certificate must be for it.
        port: TCP port.
        tls: TLS from the first octet (``ldaps``).
        start_tls: TLS by the StartTLS operation (RFC 4511, 4.14).
        address: Where to connect when *host* was resolved and looked at before; "" resolves it.
    """

    host: str
    port: int
    tls: bool
    start_tls: bool
    address: str = ""

    @classmethod
    def parse(cls, url: str, *, start_tls: bool) -> LDAPServer:
        """Read ``ldaps://host[:port]`` or ``ldap://host[:port]``.

        Raises:
            ValueError: Not such a URL, or it would send names and passwords in clear.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is not an LDAP URL; write ldaps://ldap.corp.example")
        if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(
                f"{url!r} holds more than a server; base, filter and bind are keys of their own"
            )
        port = parts.port or _PORTS[parts.scheme]  # .port raises ValueError when out of range
        tls = parts.scheme == "ldaps"
        if not (tls or start_tls or is_loopback(parts.hostname)):
            raise ValueError(
                f"{url} would be read and changed on the way by anybody in between; "
                f"write ldaps://{parts.netloc} or set start_tls = true"
            )
        return cls(host=parts.hostname, port=port, tls=tls, start_tls=start_tls and not tls)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.tls else 'ldap'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPSettings:
    """One LDAP directory.

    Attributes:
        name: As in the configuration; appears in logs as ``ldap:name``.
        servers: Asked in this order; the next one takes over when one fails or hangs.
        base: Where people's entries are (DN).
        filter: Template of the search filter, see `filter.FilterTemplate`.
        attributes: Attributes that hold certificates, without ``;binary``.
        bind_dn: Who asks; empty is anonymous.
        password: Gives the password at each bind, so that it can be changed while we run.
        ca: PEM file of the authorities for TLS; None means those of the operating system.
        deadline_seconds: For one question, all servers together.
        authority_base: Where CA entries are; *base* when empty.
        answer_octets: More than that is no answer, but an attack.
        absence: Which servers must say that something is not there.
    """

    name: str
    servers: tuple[LDAPServer, ...]
    base: str
    filter: str = "(mail=%{address})"
    attributes: tuple[str, ...] = CERTIFICATE_ATTRIBUTES
    bind_dn: str = ""
    password: Callable[[], str] | None = field(default=None, repr=False)
    ca: Path | None = None
    deadline_seconds: float = 2.0
    authority_base: str = ""
    answer_octets: int = 4 * DEFAULT_LIMITS.crl_octets
    absence: Absence = Absence.ONE


def parse_servers(
    urls: str, *, start_tls: bool = False, origin: str = ""
) -> tuple[LDAPServer, ...]:
    """Read URLs separated by spaces.

    Raises:
        ConfigurationError: Every URL that is wrong, or none given; *origin* names the directory.
    """
    servers: list[LDAPServer] = []
    problems: list[Problem] = []
    for url in urls.split():
        try:
            servers.append(LDAPServer.parse(url, start_tls=start_tls))
        except ValueError as error:
            problems.append(Problem(file=origin, line=None, key="url", message=str(error)))
    if not (servers or problems):
        message = "no server; write ldaps://ldap.corp.example"
        problems.append(Problem(file=origin, line=None, key="url", message=message))
    if problems:
        raise ConfigurationError(tuple(problems))
    return tuple(servers)
