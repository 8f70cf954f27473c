"""Checks of listeners and next hops: open relays, passwords in clear, keys without effect."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from smimegw.config.choices import AuthenticationMode, ClientCertificate, TLSMode
from smimegw.config.logins import DovecotLogins, IMAPLogins, LDAPLogins
from smimegw.config.model import Configuration
from smimegw.config.sessions import EVERYBODY, Listener, ListenerTLS, NextHop
from smimegw.config.values import is_loopback
from smimegw.smtp.roles import ListenerRole
from smimegw.toml.lines import KeyPath
from smimegw.toml.structure import Fault, did_you_mean, show


def listener_faults(configuration: Configuration, name: str, listener: Listener) -> Iterator[Fault]:
    """Yield what contradicts itself in one listener."""
    path = ("listener", name)
    if listener.next_hop not in configuration.next_hop:
        known = list(configuration.next_hop)
        wanted = listener.next_hop
        hint, shown = did_you_mean(wanted, known), show(wanted).strip('"')
        yield Fault(
            (*path, "next_hop"),
            f"there is no [next_hop.{shown}].{hint}  Configured: {', '.join(known) or 'none'}",
        )
    if not (listener.peers or listener.peer_certificates):
        message = 'empty: nobody could connect.  Write the mail server\'s address: ["192.0.2.10"]'
        yield Fault((*path, "peers"), message)
    yield from _login_faults(listener, path)
    if listener.senders is not None and listener.role is not ListenerRole.SUBMISSION:
        yield Fault((*path, "senders"), f'only for role "submission", this is "{listener.role}"')
    if listener.tls is not None:
        yield from _client_certificate_faults(listener.tls, path)
    asks = listener.tls and listener.tls.client_certificate is not ClientCertificate.NONE
    if listener.peer_certificates and not asks:
        message = 'nobody is asked for one.  Write tls.client_certificate = "optional"'
        yield Fault((*path, "peer_certificates"), message)
    for key in ("connections_per_minute", "messages_per_minute"):
        if getattr(listener, key) < 0:
            yield Fault((*path, key), "below 0.  Write 0 for no limit")


def _login_faults(listener: Listener, path: KeyPath) -> Iterator[Fault]:
    if listener.auth is not AuthenticationMode.NONE:
        if listener.role is not ListenerRole.SUBMISSION:
            yield Fault((*path, "auth"), f'only for role "submission", this is "{listener.role}"')
        elif listener.tls is None and not is_loopback(listener.address.host):
            message = "passwords would cross the network in clear.  Configure tls for this listener"
            yield Fault((*path, "auth"), message)
    elif listener.role is ListenerRole.SUBMISSION and listener.peers == EVERYBODY:
        message = 'without logins everybody could send.  Configure peers, or auth = "next-hop"'
        yield Fault((*path, "auth"), message)
    for mode, section in (
        (AuthenticationMode.DOVECOT, listener.dovecot),
        (AuthenticationMode.LDAP, listener.ldap),
        (AuthenticationMode.IMAP, listener.imap),
    ):
        if listener.auth is mode and section is None:
            message = f"missing.  Write [{'.'.join(map(str, path))}.{mode}]"
            yield Fault((*path, str(mode)), message)
        elif section is not None and listener.auth is not mode:
            yield Fault((*path, str(mode)), f'without effect: only auth = "{mode}" uses it')
    if listener.dovecot is not None:
        yield from _dovecot_faults(listener.dovecot, (*path, "dovecot"))
    if listener.ldap is not None:
        yield from _ldap_faults(listener.ldap, (*path, "ldap"))
    if listener.imap is not None:
        yield from _imap_faults(listener.imap, (*path, "imap"))


def _dovecot_faults(dovecot: DovecotLogins, path: KeyPath) -> Iterator[Fault]:
    if (dovecot.socket is None) == (dovecot.address is None):
        message = 'write exactly one of socket and address: "/run/dovecot/auth-client"'
        yield Fault((*path, "socket"), message)
    if dovecot.address is not None and not is_loopback(dovecot.address.host):
        message = "passwords would cross the network in clear.  Write an address of this machine"
        yield Fault((*path, "address"), message)
    if dovecot.deadline.total_seconds() <= 0:
        yield Fault((*path, "deadline"), 'must be longer than nothing.  Write "20s"')


def _ldap_faults(logins: LDAPLogins, path: KeyPath) -> Iterator[Fault]:
    yield from url_faults(tuple(logins.url.split()), logins.start_tls, path)
    if "%{user}" not in logins.filter:
        yield Fault((*path, "filter"), "finds the same for everybody.  Use %{user}")
    if logins.filter.count("(") != logins.filter.count(")"):
        yield Fault((*path, "filter"), "brackets do not match")
    if logins.deadline.total_seconds() <= 0:
        yield Fault((*path, "deadline"), 'must be longer than nothing.  Write "5s"')


def _imap_faults(logins: IMAPLogins, path: KeyPath) -> Iterator[Fault]:
    scheme, host = _server_of(logins.url)
    if scheme not in ("imap", "imaps"):
        message = f"{_shown(logins.url)} is not an IMAP URL.  Allowed: imaps://host, imap://host"
        yield Fault((*path, "url"), message)
    elif scheme == "imap" and not (logins.start_tls or is_loopback(host)):
        message = f"{show(logins.url)} is clear text.  Write imaps:// or set start_tls = true"
        yield Fault((*path, "url"), message)
    elif scheme == "imaps" and logins.start_tls:
        yield Fault((*path, "start_tls"), "without effect: imaps:// is TLS from the first octet")
    if logins.deadline.total_seconds() <= 0:
        yield Fault((*path, "deadline"), 'must be longer than nothing.  Write "20s"')


def url_faults(urls: tuple[str, ...], start_tls: bool, path: KeyPath) -> Iterator[Fault]:
    """Yield what is wrong with LDAP URLs."""
    if not urls:
        yield Fault((*path, "url"), 'empty.  Write "ldaps://ldap.corp.example"')
    for url in urls:
        scheme, host = _server_of(url)
        if scheme not in ("ldap", "ldaps"):
            message = f"{_shown(url)} is not an LDAP URL.  Allowed: ldaps://host, ldap://host"
            yield Fault((*path, "url"), message)
        elif scheme == "ldap" and not (start_tls or is_loopback(host)):
            message = f"{show(url)} is clear text.  Write ldaps:// or set start_tls = true"
            yield Fault((*path, "url"), message)


def _server_of(url: str) -> tuple[str, str]:
    """Return scheme and host; both empty when *url* is malformed or holds more than a server."""
    try:
        parts = urlsplit(url)
        odd = parts.path.strip("/") or parts.query or parts.fragment or parts.port == 0
    except ValueError:
        return "", ""
    if odd or not parts.hostname or "@" in parts.netloc:
        return "", ""
    return parts.scheme, parts.hostname


def _shown(url: str) -> str:
    """What a complaint shows of *url*: a password may stand before an @."""
    return show(url) if "@" not in url else "what holds a login"


def _client_certificate_faults(tls: ListenerTLS, path: KeyPath) -> Iterator[Fault]:
    asks = tls.client_certificate is not ClientCertificate.NONE
    if asks and tls.client_ca is None:
        yield Fault((*path, "tls", "client_ca"), "missing: whose certificates are taken?")
    if tls.client_ca is not None and not asks:
        message = 'without effect: client_certificate is "none"'
        yield Fault((*path, "tls", "client_ca"), message)


def next_hop_faults(name: str, next_hop: NextHop) -> Iterator[Fault]:
    """Yield what contradicts itself in one next hop."""
    path, tls = ("next_hop", name), next_hop.tls
    if next_hop.address.port == 0:
        yield Fault((*path, "address"), "port 0 cannot be connected to")
    for index, endpoint in enumerate(next_hop.fallback):
        if endpoint.port == 0:
            yield Fault((*path, "fallback", index), "port 0 cannot be connected to")
    for key, value in (("ca", tls.ca), ("name", tls.name), ("pins", tls.pins)):
        if value and tls.mode is not TLSMode.VERIFY:
            yield Fault((*path, "tls", key), 'without effect: only mode = "verify" uses it')
    for key, value in (("ca", tls.ca), ("name", tls.name)):
        if value and tls.pins:
            yield Fault((*path, "tls", key), "without effect: with pins only the key counts")
    if (tls.certificate is None) != (tls.key is None):
        yield Fault((*path, "tls", "certificate"), "certificate and key are needed together")
