"""What the SMTP adapters need to know of the configuration, as plain values."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from smimegw.config.choices import TLSMode
from smimegw.config.values import IPNetwork
from smimegw.smtp.roles import ListenerRole


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
        proxy_from: Balancers; when there are any, nobody else may connect, and each connection
            begins with a PROXY header that names the client.
        xforward_from: Whose XFORWARD is believed.
        next_hop: Configured name of the next hop that mail is handed to.
        tls: Makes STARTTLS (or implicit TLS) possible.
        tls_required: Nothing but EHLO, STARTTLS, NOOP and QUIT without TLS (RFC 3207, 4).
        tls_implicit: TLS from the first octet (RFC 8314, 3.3); needs *tls*.
        auth: Offer AUTH, and on `submission` demand it.
        postmaster: Address that a bare ``RCPT TO:<postmaster>`` means (RFC 5321, 4.5.1); empty for
            the one at our hostname.
        reuse_port: Let several processes share the port.
    """

    name: str
    role: ListenerRole
    host: str = "127.0.0.1"
    port: int = 0
    hostname: str = "localhost"
    lmtp: bool = False
    peers: tuple[IPNetwork, ...] | None = None
    proxy_from: tuple[IPNetwork, ...] = ()
    xforward_from: tuple[IPNetwork, ...] = ()
    next_hop: str = ""
    tls: ssl.SSLContext | None = None
    tls_required: bool = False
    tls_implicit: bool = False
    auth: bool = False
    postmaster: str = ""
    reuse_port: bool = False

    def admits(self, peer: str) -> bool:
        """Whether *peer*, an IP address, may connect."""
        return self.peers is None or contains(self.peers, peer)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHopSettings:
    """One server that takes our mail.

    Attributes:
        host: Name or address.
        port: Its port.
        lmtp: It speaks LMTP.
        tls_mode: How the connection is protected.
        ca: PEM file with the authorities for `TLSMode.VERIFY`; None is the system's list.
    """

    host: str
    port: int
    lmtp: bool = False
    tls_mode: TLSMode = TLSMode.NONE
    ca: Path | None = None


def contains(networks: tuple[IPNetwork, ...], address: str) -> bool:
    """Whether *address* lies in one of *networks*; what is no IP address lies in none."""
    try:
        parsed = ipaddress.ip_address(plain_address(address))
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


def plain_address(address: str) -> str:
    """*address* without zone, and as IPv4 when it is an IPv4 address in IPv6 clothes."""
    bare = address.partition("%")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
