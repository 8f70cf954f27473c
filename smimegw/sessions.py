"""Makes listeners' and next hops' settings from the configuration, TLS and judges included."""

from __future__ import annotations

import ssl
from dataclasses import replace
from urllib.parse import urlsplit

from smimegw.adapters.imap.judge import IMAPJudge
from smimegw.adapters.ldap.judge import LDAPJudge
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.adapters.smtp.dovecot import DovecotJudge
from smimegw.adapters.smtp.settings import (
    ClientCredentials,
    ListenerSettings,
    LoginJudge,
    NextHopSettings,
    Server,
)
from smimegw.adapters.smtp.tls import load_chain
from smimegw.config.choices import AuthenticationMode, ClientCertificate, Protocol
from smimegw.config.logins import DovecotLogins, IMAPLogins, LDAPLogins
from smimegw.config.model import Configuration
from smimegw.config.sessions import Listener, ListenerTLS, NextHop
from smimegw.errors import ConfigurationError, Problem
from smimegw.limits import Limits


def next_hop_settings(hop: NextHop) -> NextHopSettings:
    """One next hop's values."""
    tls = hop.tls
    return NextHopSettings(
        host=hop.address.host,
        port=hop.address.port,
        fallback=tuple(Server(entry.host, entry.port) for entry in hop.fallback),
        lmtp=hop.protocol is Protocol.LMTP,
        tls_mode=tls.mode,
        ca=tls.ca,
        name=str(tls.name or ""),
        pins=frozenset(str(pin) for pin in tls.pins),
        credentials=ClientCredentials(tls.certificate, tls.key)
        if tls.certificate and tls.key
        else None,
    )


def share_of(limit: int, processes: int) -> int:
    """What each of *processes* may admit of *limit*: together as many, or one more by rounding.

    The kernel spreads connections over the processes by chance, and none knows of the others.
    """
    return -(-limit // processes)


def worker_limits(limits: Limits, processes: int) -> Limits:
    """The limits of one of *processes* that together keep *limits*."""
    return replace(
        limits,
        sessions=share_of(limits.sessions, processes),
        sessions_per_peer=share_of(limits.sessions_per_peer, processes),
    )


def listener_settings(
    name: str, listener: Listener, configuration: Configuration, processes: int = 1
) -> ListenerSettings:
    """One listener's values, in one of *processes*.

    Raises:
        ConfigurationError: Certificate or key cannot be used.
    """
    tls = listener.tls
    return ListenerSettings(
        name=name,
        role=listener.role,
        host=listener.address.host,
        port=listener.address.port,
        hostname=str(configuration.gateway.hostname),
        lmtp=listener.protocol is Protocol.LMTP,
        peers=listener.peers,
        peer_certificates=frozenset(str(entry) for entry in listener.peer_certificates),
        proxy_from=listener.proxy_from,
        xforward_from=listener.xforward_from,
        xclient_from=listener.xclient_from,
        next_hop=listener.next_hop,
        tls=server_context(name, tls) if tls else None,
        tls_required=tls.require if tls else False,
        tls_implicit=tls.implicit if tls else False,
        auth=listener.auth is not AuthenticationMode.NONE,
        judge=_judge(name, listener),
        postmaster=f"postmaster@{configuration.gateway.internal_domains[0]}",
        connections_per_minute=share_of(listener.connections_per_minute, processes),
        messages_per_minute=share_of(listener.messages_per_minute, processes),
    )


def _judge(name: str, listener: Listener) -> LoginJudge | None:
    """Whoever judges logins here; None when the next hop does, or nobody has to."""
    if listener.auth is AuthenticationMode.DOVECOT and listener.dovecot is not None:
        return _dovecot(listener.dovecot)
    if listener.auth is AuthenticationMode.LDAP and listener.ldap is not None:
        return _ldap(name, listener.ldap)
    if listener.auth is AuthenticationMode.IMAP and listener.imap is not None:
        return _imap(listener.imap)
    return None


def _dovecot(logins: DovecotLogins) -> DovecotJudge:
    return DovecotJudge(
        socket=logins.socket,
        host=logins.address.host if logins.address else "",
        port=logins.address.port if logins.address else 0,
        deadline_seconds=logins.deadline.total_seconds(),
    )


def _imap(logins: IMAPLogins) -> IMAPJudge:
    parts = urlsplit(logins.url)
    implicit = parts.scheme == "imaps"
    return IMAPJudge(
        host=parts.hostname or "",
        port=parts.port or (993 if implicit else 143),
        implicit_tls=implicit,
        start_tls=logins.start_tls,
        ca=logins.ca,
        deadline_seconds=logins.deadline.total_seconds(),
    )


def _ldap(name: str, logins: LDAPLogins) -> LDAPJudge:
    origin = f"listener.{name}.ldap"
    return LDAPJudge(
        settings=LDAPSettings(
            name=origin,
            servers=parse_servers(logins.url, start_tls=logins.start_tls, origin=origin),
            base=logins.base,
            filter=logins.filter,
            bind_dn=logins.bind.dn if logins.bind else "",
            password=logins.bind.password.read_text if logins.bind else None,
            ca=logins.ca,
            deadline_seconds=logins.deadline.total_seconds(),
        ),
    )


def server_context(name: str, tls: ListenerTLS) -> ssl.SSLContext:
    """What a listener shakes hands with.

    Raises:
        ConfigurationError: Certificate, key and authorities do not go together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325, 3.5: a client could make us compute, and say half of a session as somebody else.
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        load_chain(context, tls.certificate, tls.key)
        if tls.client_certificate is not ClientCertificate.NONE:
            context.load_verify_locations(cafile=tls.client_ca)
            required = tls.client_certificate is ClientCertificate.REQUIRED
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError, ValueError) as exc:
        problem = Problem(
            file=str(tls.certificate),
            line=None,
            key=f"listener.{name}.tls",
            message=f"certificate and key cannot be used together: {exc}",
        )
        raise ConfigurationError((problem,)) from exc
    return context
