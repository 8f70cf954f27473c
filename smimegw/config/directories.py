"""Where certificates are looked for: every kind of directory, and who is asked about DNS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from smimegw.config.choices import Absence
from smimegw.config.hosts import DomainRule, HostRule
from smimegw.config.logins import Bind
from smimegw.config.values import Endpoint

_LOCAL_RESOLVER = Endpoint("127.0.0.1", 53)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """How long answers of a directory are kept.

    Attributes:
        found: Certificates that were found.
        absent: The answer that there is none.
        stale: How old a found answer may be while the directory is unreachable.
    """

    found: timedelta = timedelta(hours=1)
    absent: timedelta = timedelta(minutes=5)
    stale: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPDirectory:
    """An LDAP directory that holds people's certificates.

    Attributes:
        kind: "ldap".
        name: Our name for it in logs. Example: "staff"
        url: One or more URLs separated by spaces, tried in order; ldaps://, or ldap:// with
            start_tls or to this host. Example: "ldaps://ldap.corp.example"
        base: Where the search begins. Example: "ou=people,dc=corp,dc=example"
        filter: The search filter; %{address}, %{local_part} and %{domain} are replaced, escaped.
        attributes: Attributes that hold certificates.
        bind: Our identity; without it the search is anonymous.
        ca: PEM file of the authorities for TLS; default is the system's list.
        start_tls: Use StartTLS on an ldap:// URL.
        deadline: Time for one look-up, all servers together.
        cache: How long answers are kept.
        authority_base: Where CA certificates and CRLs are searched; default is base, or, in a
            directory that is bound to domains, nowhere.
        domains: Only recipients of these domains are looked for here: "partner.example",
            "*.partner.example" (all names below); empty is everybody.
        may_be_skipped: When it cannot answer, the next directories are asked all the same; mail
            still waits when none of them has a certificate.
        absence: Of several servers, whose word it takes that somebody has no certificate: of "one",
            of every one that is "reachable" (a copy may lag behind), or of "all" (mail to people
            without a certificate waits while one is down).
    """

    kind: str = "ldap"
    name: str
    url: str
    base: str
    filter: str = "(mail=%{address})"
    attributes: tuple[str, ...] = ("userSMIMECertificate", "userCertificate;binary")
    bind: Bind | None = None
    ca: Path | None = None
    start_tls: bool = False
    deadline: timedelta = timedelta(seconds=2)
    cache: Cache = Cache()
    authority_base: str = ""
    domains: tuple[DomainRule, ...] = ()
    may_be_skipped: bool = False
    absence: Absence = Absence.REACHABLE

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs in order."""
        return tuple(self.url.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLDAPDirectory:
    """LDAP directories of other domains, found by their _ldap._tcp records in DNS.

    They are asked over TLS, without a name, and only at public addresses.

    Attributes:
        kind: "ldap-srv".
        name: Our name for it in logs.
        domains: Recipients of these domains are looked for where their domain says:
            "partner.example", "*.partner.example" (all names below) or "*" (everybody).
            Example: ["partner.example"]
        base: Where the search begins; default is the domain as a name (partner.example is
            dc=partner,dc=example).
        filter: As of an LDAP directory.
        attributes: Attributes that hold certificates.
        ca: PEM file of the authorities for TLS; default is the system's list.
        private_hosts: Hosts that may be asked although their addresses are private or this
            machine's own, or their port is not 389 or 636, such as "ldap.partner.example:1636".
        deadline: Time for one look-up: DNS, connection and answer together.
        cache: How long answers are kept.
        may_be_skipped: As of an LDAP directory.
    """

    kind: str = "ldap-srv"
    name: str = "found"
    domains: tuple[DomainRule, ...]
    base: str = ""
    filter: str = "(mail=%{address})"
    attributes: tuple[str, ...] = ("userSMIMECertificate", "userCertificate;binary")
    ca: Path | None = None
    private_hosts: tuple[HostRule, ...] = ()
    deadline: timedelta = timedelta(seconds=3)
    cache: Cache = Cache()
    may_be_skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SMIMEADirectory:
    """Certificates that domains publish in DNS, signed with DNSSEC (SMIMEA, RFC 8162).

    Attributes:
        kind: "smimea".
        name: Our name for it in logs.
        domains: As of an LDAP directory.
        deadline: Time for one look-up.
        cache: How long answers are kept.
        may_be_skipped: As of an LDAP directory.
    """

    kind: str = "smimea"
    name: str = "dns"
    domains: tuple[DomainRule, ...] = ()
    deadline: timedelta = timedelta(seconds=3)
    cache: Cache = Cache()
    may_be_skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDirectory:
    """The gateway's own database of certificates.

    Attributes:
        kind: "embedded".
        name: Our name for it in logs.
        path: A database file of its own; default is the gateway's database (database.url).
    """

    kind: str = "embedded"
    name: str = "embedded"
    path: Path | None = None


Directory = LDAPDirectory | FoundLDAPDirectory | SMIMEADirectory | EmbeddedDirectory
OutsideDirectory = LDAPDirectory | FoundLDAPDirectory | SMIMEADirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class DNS:
    """Who is asked about DNS for directories of the kinds smimea and ldap-srv.

    Attributes:
        resolver: Address and port of a resolver that validates DNSSEC, such as Unbound on this
            machine; on another machine it is asked over TLS (port 853).
        tls_name: The name that the resolver's TLS certificate is for; empty is no TLS, which only
            a resolver on this machine may do without.
        ca: PEM file of the authorities for TLS; default is the system's list.
    """

    resolver: Endpoint = _LOCAL_RESOLVER
    tls_name: str = ""
    ca: Path | None = None
