"""What the SMTP adapters need to know of the configuration, as plain values."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from smimegw.config.choices import TLSMode
from smimegw.config.values import IPNetwork, Secret
from smimegw.smtp.login import Login
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole


class LoginJudge(Protocol):
    """Whoever knows which logins are right."""

    async def judge(self, login: Login, client: str) -> Reply:
        """Answer with `smtp.login.ACCEPTED`, `REFUSED` or `LATER`; *client* is an IP address.

        Raises:
            DependencyError: Nobody can tell now; the text says why.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """One listening socket.

    Attributes:
        name: The configured name, for logs.
        role: What the listener is for.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        hostname: What we call ourselves in the greeting.
        lmtp: Speak LMTP (RFC 2033) instead of SMTP.
        peers: Who may connect; None is everybody.
        peer_certificates: Fingerprints; who shows such a certificate may send from anywhere.
        proxy_from: Balancers; when there are any, nobody else may connect, and each connection
            begins with a PROXY header that names the client.
        xforward_from: Whose XFORWARD is believed.
        xclient_from: Whose XCLIENT is believed.
        next_hop: Configured name of the next hop that mail is handed to.
        tls: Makes STARTTLS (or implicit TLS) possible.
        tls_required: Nothing but EHLO, STARTTLS, NOOP and QUIT without TLS (RFC 3207, 4).
        tls_implicit: TLS from the first octet (RFC 8314, 3.3); needs *tls*.
        auth: Offer AUTH, and on `submission` demand it.
        judge: Judges logins; None leaves that to the next hop.
        postmaster: Address that a bare ``RCPT TO:<postmaster>`` means (RFC 5321, 4.5.1); empty for
            the one at our hostname.
        reuse_port: Let several processes share the port.
        connections_per_minute: Of one peer; 0 is no limit.
        messages_per_minute: The same for messages.
    """

    name: str
    role: ListenerRole
    host: str = "127.0.0.1"
    port: int = 0
    hostname: str = "localhost"
    lmtp: bool = False
    peers: tuple[IPNetwork, ...] | None = None
    peer_certificates: frozenset[str] = frozenset()
    proxy_from: tuple[IPNetwork, ...] = ()
    xforward_from: tuple[IPNetwork, ...] = ()
    xclient_from: tuple[IPNetwork, ...] = ()
    next_hop: str = ""
    tls: ssl.SSLContext | None = None
    tls_required: bool = False
    tls_implicit: bool = False
    auth: bool = False
    judge: LoginJudge | None = None
    postmaster: str = ""
    reuse_port: bool = False
    connections_per_minute: int = 0
    messages_per_minute: int = 0

    def knows(self, peer: str) -> bool:
        """Whether *peer*, an IP address, may send without showing a certificate."""
        return self.peers is None or contains(self.peers, peer)

    def admits(self, peer: str) -> bool:
        """Whether *peer* may connect; who it is may still have to be shown."""
        return bool(self.peer_certificates) or self.knows(peer)


_REMEMBERED = 1024  # addresses of clients; each is looked at several times


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Our certificate towards a next hop, and where its key stands."""

    certificate: Path
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHopSettings:
    """One server that takes our mail.

    Attributes:
        host: Name or address.
        port: Its port.
        fallback: Tried in this order when it cannot be used.
        lmtp: It speaks LMTP.
        tls_mode: How the connection is protected.
        ca: PEM file with the authorities for `TLSMode.VERIFY`; None is the system's list.
        name: What the certificate must be for; empty is the host.
        pins: SHA-256 of the keys it may have, instead of authorities and names.
        credentials: Our own certificate.
    """

    host: str
    port: int
    fallback: tuple[Server, ...] = ()
    lmtp: bool = False
    tls_mode: TLSMode = TLSMode.NONE
    ca: Path | None = None
    name: str = ""
    pins: frozenset[str] = frozenset()
    credentials: ClientCredentials | None = field(default=None, repr=False)

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them, in order."""
        return (Server(self.host, self.port), *self.fallback)


def contains(networks: tuple[IPNetwork, ...], address: str) -> bool:
    """Whether *address* lies in one of *networks*; what is no IP address lies in none."""
    if not networks:
        return False
    try:
        parsed = ipaddress.ip_address(plain_address(address))
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


@lru_cache(_REMEMBERED)
def plain_address(address: str) -> str:
    """*address* without zone, and as IPv4 when it is an IPv4 address in IPv6 clothes."""
    bare = address.partition("%")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
