"""Where to publish and as whom, and the connection for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.connection import LDAPConnection
from smimegw.adapters.ldap.reading import SECONDS
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.errors import DirectoryError


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingTarget:
    """Where to publish and as whom.

    Attributes:
        urls: One or more ``ldaps://`` URLs, separated by spaces; the first that answers is used.
        bind_dn: Who publishes.
        password: Gives the password.
        people_base: Where people's entries are, and new ones are made.
        authorities_base: Where the entries of CAs are, and new ones are made.
        ca: PEM file of the authorities for TLS; None means those of the operating system.
        start_tls: Use StartTLS on ``ldap://``.
        person_filter: Finds a person's entry.
        may_add_people: Make an entry for a person who has none; otherwise he is refused.
    """

    urls: str
    bind_dn: str
    password: Callable[[], str] = field(repr=False)
    people_base: str
    authorities_base: str
    ca: Path | None = None
    start_tls: bool = False
    person_filter: str = "(|(mail=%{address})(smimegwMailAlternateAddress=%{address}))"
    may_add_people: bool = True


def connect(target: PublishingTarget) -> LDAPConnection:
    """Bind at the first server that lets us in, for writing.

    Raises:
        ConfigurationError: A URL is wrong.
        DirectoryError: None did; the text says for each why.
    """
    settings = LDAPSettings(
        name="publish",
        servers=parse_servers(target.urls, start_tls=target.start_tls, origin="publish"),
        base=target.people_base,
        bind_dn=target.bind_dn,
        password=target.password,
        ca=target.ca,
    )
    failures = []
    for server in settings.servers:
        try:
            return LDAPConnection.open(server, settings, Attempt(SECONDS), writing=True)
        except DirectoryError as error:
            failures.append(str(error))
    raise DirectoryError("; ".join(failures), server=target.urls)
