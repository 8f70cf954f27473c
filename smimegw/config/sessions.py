"""The keys of listeners and next hops: who may connect how, and where mail goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smimegw.config.choices import AuthenticationMode, ClientCertificate, Protocol, TLSMode
from smimegw.config.logins import DovecotLogins, IMAPLogins, LDAPLogins
from smimegw.config.values import SHA256, Domain, Endpoint, IPNetwork, Secret, network
from smimegw.smtp.roles import ListenerRole

EVERYBODY: tuple[IPNetwork, ...] = (network("0.0.0.0/0"), network("::/0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerTLS:
    """TLS of a listener.

    Attributes:
        certificate: PEM file with our certificate and its intermediates.
            Example: "/etc/smimegw/tls.pem"
        key: The private key, as { credential = … }, { file = … } or { env = … }.
            Example: { credential = "tls-key" }
        require: Refuse MAIL before STARTTLS.
        implicit: TLS from the first octet, without STARTTLS.
        client_certificate: Whether clients are asked for a certificate: none, optional (who shows
            one shows a valid one) or required.
        client_ca: PEM file of the authorities of clients' certificates.
    """

    certificate: Path
    key: Secret
    require: bool = False
    implicit: bool = False
    client_certificate: ClientCertificate = ClientCertificate.NONE
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A port we listen on; the name is free, each role may be used several times.

    Attributes:
        role: submission (users' clients), relay (our mail server, outbound) or mx (mail from
            outside); default is the listener's name when that is a role.
        address: Address and port to listen on. Example: "127.0.0.1:10025"
        protocol: smtp or lmtp.
        peers: IP addresses and networks that may connect; default for submission and mx is
            everybody, relay needs a list. Example: ["192.0.2.10"]
        peer_certificates: SHA-256 fingerprints of client certificates; who shows one of them may
            send from any address, besides the peers. Needs tls.client_certificate.
        next_hop: Name of the next hop that gets the mail; default "in" for mx, else "out".
        tls: Our certificate and key; without it there is no STARTTLS.
        proxy_from: Load balancers that speak the PROXY protocol (version 1 or 2); then nobody else
            may connect, and peers means the clients that the balancers name.
        xforward_from: Addresses whose XFORWARD command is believed (Postfix's queue id).
        xclient_from: Addresses whose XCLIENT command is believed: they may speak in the name of
            any client, for limits, log and peers as well.
        auth: Logins of a submission listener: next-hop (its default) passes user and password on
            to the next hop, which judges them; dovecot, ldap and imap ask there; none offers no
            AUTH.
        dovecot: Where logins are judged with auth = "dovecot".
        ldap: Where logins are judged with auth = "ldap".
        imap: Where logins are judged with auth = "imap".
        senders: File that lists for each login the addresses it may use in From, one line each:
            login, colon, addresses separated by commas.
        edge_authserv_ids: Names in which the filter in front of this listener writes
            Authentication-Results; they stay in mail that comes through here, and are removed from
            mail that comes elsewhere. Let peers name that filter only.
        connections_per_minute: New connections of one client address in a minute, more are
            refused with 421; 0 is no limit.
        messages_per_minute: Messages of one client address in a minute, more are refused with
            451; 0 is no limit.
    """

    role: ListenerRole
    address: Endpoint
    protocol: Protocol = Protocol.SMTP
    peers: tuple[IPNetwork, ...] = ()
    peer_certificates: tuple[SHA256, ...] = ()
    next_hop: str = ""
    tls: ListenerTLS | None = None
    proxy_from: tuple[IPNetwork, ...] = ()
    xforward_from: tuple[IPNetwork, ...] = ()
    xclient_from: tuple[IPNetwork, ...] = ()
    auth: AuthenticationMode = AuthenticationMode.NONE
    dovecot: DovecotLogins | None = None
    ldap: LDAPLogins | None = None
    imap: IMAPLogins | None = None
    senders: Path | None = None
    edge_authserv_ids: tuple[Domain, ...] = ()
    connections_per_minute: int = 0
    messages_per_minute: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHopTLS:
    """TLS towards a next hop.

    Attributes:
        mode: none, opportunistic (unverified, clear when not offered), required (unverified) or
            verify (certificate and name must be right, or the key one of pins).
        ca: PEM file of the authorities for mode verify; default is the system's list.
        name: The name that the certificate must be for; default is the host in address.
        pins: SHA-256 of the public keys (SubjectPublicKeyInfo) that the server may have; then
            mode verify needs no authority, and no name or date is looked at.
        certificate: PEM file with our own certificate, if the server wants one.
        key: Its private key.
    """

    mode: TLSMode = TLSMode.OPPORTUNISTIC
    ca: Path | None = None
    name: Domain | None = None
    pins: tuple[SHA256, ...] = ()
    certificate: Path | None = None
    key: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """A server that takes mail after us.

    Attributes:
        address: Host and port; every address of the host is tried in turn.
            Example: "127.0.0.1:10026"
        fallback: More servers, used in this order while those before them cannot be connected to.
        protocol: smtp or lmtp.
        tls: How much TLS is demanded.
    """

    address: Endpoint
    fallback: tuple[Endpoint, ...] = ()
    protocol: Protocol = Protocol.SMTP
    tls: NextHopTLS = NextHopTLS()
