"""Who judges logins, and who we are towards an LDAP directory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from smimegw.config.values import Endpoint, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """The identity with which we search an LDAP directory.

    Attributes:
        dn: Distinguished name. Example: "cn=smimegw,ou=services,dc=corp,dc=example"
        password: Its password. Example: { credential = "ldap-password" }
    """

    dn: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotLogins:
    """Dovecot as the judge of logins; write socket or address.

    Attributes:
        socket: Unix socket of its auth service. Example: "/run/dovecot/auth-client"
        address: Host and port of the same on TCP; passwords are not encrypted there, so it must
            be on this machine.
        deadline: Time for one answer; Dovecot itself delays those of an address that failed before,
            up to 17 seconds.
    """

    socket: Path | None = None
    address: Endpoint | None = None
    deadline: timedelta = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class IMAPLogins:
    """An IMAP server as the judge of logins: who may read mail there may send here.

    Attributes:
        url: imaps://, or imap:// with start_tls or to this host. Example: "imaps://mail.corp.example"
        ca: PEM file of the authorities for TLS; default is the system's list.
        start_tls: Use STARTTLS on an imap:// URL.
        deadline: Time for one answer; many servers delay the one to a wrong password.
    """

    url: str
    ca: Path | None = None
    start_tls: bool = False
    deadline: timedelta = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPLogins:
    """An LDAP directory as the judge of logins: the user's entry is found, then bound as.

    Attributes:
        url: One or more URLs separated by spaces, tried in order; ldaps://, or ldap:// with
            start_tls or to this host. Example: "ldaps://ldap.corp.example"
        base: Where the search begins. Example: "ou=people,dc=corp,dc=example"
        filter: Finds the one entry of a user; %{user} is replaced by the login, escaped.  Who is
            disabled must not be found.
        bind: Our identity for the search; without it the search is anonymous.
        ca: PEM file of the authorities for TLS; default is the system's list.
        start_tls: Use StartTLS on an ldap:// URL.
        deadline: Time for one login, all servers together.
    """

    url: str
    base: str
    filter: str = "(|(uid=%{user})(mail=%{user}))"
    bind: Bind | None = None
    ca: Path | None = None
    start_tls: bool = False
    deadline: timedelta = timedelta(seconds=5)
