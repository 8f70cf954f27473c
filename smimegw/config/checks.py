"""Checks that need more than one key: references, ports used twice, open relays."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smimegw.config.choices import RecordsRequired
from smimegw.config.directories import FoundLDAPDirectory, LDAPDirectory, OutsideDirectory
from smimegw.config.enrolment import enrolment_faults
from smimegw.config.model import Configuration
from smimegw.config.session_checks import listener_faults, next_hop_faults, url_faults
from smimegw.config.values import Endpoint, is_loopback
from smimegw.mime.marked_subject import skeleton
from smimegw.toml.document import dotted
from smimegw.toml.lines import KeyPath
from smimegw.toml.structure import Fault, show

_OBJECT_IDENTIFIER = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,20})){1,32}")
_LDAP_FIELDS = ("%{address}", "%{local_part}", "%{domain}")


def consistency_faults(configuration: Configuration) -> Iterator[Fault]:
    """Yield what contradicts itself, without looking at any file."""
    if configuration.version != 1:
        yield Fault(("version",), f"{configuration.version} is not a known format.  Allowed: 1")
    if not configuration.gateway.internal_domains:
        message = 'empty: nothing would be outbound.  Write ["corp.example"]'
        yield Fault(("gateway", "internal_domains"), message)
    yield from _mark_faults(configuration)
    if not 1 <= configuration.gateway.worker_threads <= 256:
        yield Fault(("gateway", "worker_threads"), "not between 1 and 256")
    if not 0 <= configuration.gateway.workers <= 256:
        yield Fault(("gateway", "workers"), "not between 0 and 256")
    if not configuration.listener:
        message = "empty: write a [listener.submission], [listener.relay] or [listener.mx]"
        yield Fault(("listener",), message)
    for name, listener in configuration.listener.items():
        yield from listener_faults(configuration, name, listener)
    yield from _port_faults(configuration)
    for name, next_hop in configuration.next_hop.items():
        yield from next_hop_faults(name, next_hop)
    yield from _directory_faults(configuration)
    yield from _database_faults(configuration)
    yield from enrolment_faults(
        configuration.enrolment, keys_elsewhere=configuration.keystore.agent is not None
    )
    yield from _limit_faults(configuration)
    yield from _policy_faults(configuration)
    yield from _record_faults(configuration)


def _policy_faults(configuration: Configuration) -> Iterator[Fault]:
    for policy in configuration.trust.policies:
        if not _OBJECT_IDENTIFIER.fullmatch(policy):
            message = f'{show(policy)} is not an object identifier.  Write "2.23.140.1.5.2.2"'
            yield Fault(("trust", "policies"), message)


def _record_faults(configuration: Configuration) -> Iterator[Fault]:
    second = configuration.records.second_directory
    if second is not None and second == configuration.gateway.state_directory:
        message = "is the state directory, which has them already.  Write one on another disk"
        yield Fault(("records", "second_directory"), message)
    if second is None and configuration.records.required is RecordsRequired.BOTH:
        yield Fault(("records", "required"), "without effect: there is no second_directory")


def _mark_faults(configuration: Configuration) -> Iterator[Fault]:
    for mark in configuration.gateway.subject_marks:
        seen = skeleton(mark)
        # Without brackets it would be cut out of the middle of words.
        if not (3 <= len(seen) <= 40 and seen[0] == "[" and seen[-1] == "]"):
            message = f'{show(mark)} is not a short word in brackets.  Write "[signed]"'
            yield Fault(("gateway", "subject_marks"), message)


def _port_faults(configuration: Configuration) -> Iterator[Fault]:
    used: list[tuple[str, str, int]] = []
    endpoints: list[tuple[KeyPath, Endpoint]] = [
        (("listener", name, "address"), listener.address)
        for name, listener in configuration.listener.items()
    ]
    endpoints.append((("metrics", "address"), configuration.metrics.address))
    for path, address in endpoints:
        for owner, host, port in used:
            if port == address.port != 0 and (
                host == address.host or {host, address.host} & {"0.0.0.0", "::"}  # noqa: S104
            ):
                yield Fault(path, f"port {port} is already used by {owner}")
        used.append((dotted(path[:-1]), address.host, address.port))


def _directory_faults(configuration: Configuration) -> Iterator[Fault]:
    names: set[str] = set()
    for index, directory in enumerate(configuration.directory):
        path: KeyPath = ("directory", index)
        if directory.name in names:
            yield Fault((*path, "name"), f"{show(directory.name)} is used twice")
        names.add(directory.name)
        if isinstance(directory, LDAPDirectory):
            yield from url_faults(directory.urls, directory.start_tls, path)
        if isinstance(directory, LDAPDirectory | FoundLDAPDirectory):
            yield from _search_faults(directory, path)
        if isinstance(directory, FoundLDAPDirectory) and not directory.domains:
            message = 'empty: nobody would be looked for here.  Write ["partner.example"]'
            yield Fault((*path, "domains"), message)
        if isinstance(directory, OutsideDirectory) and directory.deadline.total_seconds() <= 0:
            yield Fault((*path, "deadline"), 'must be longer than nothing.  Write "2s"')
    dns = configuration.dns
    if not (dns.tls_name or is_loopback(dns.resolver.host)):
        message = (
            f"{dns.resolver} is another machine, whose word on DNSSEC anybody in between could"
            " change.  Write tls_name, or run a resolver here"
        )
        yield Fault(("dns", "resolver"), message)


def _search_faults(directory: LDAPDirectory | FoundLDAPDirectory, path: KeyPath) -> Iterator[Fault]:
    if not any(name in directory.filter for name in _LDAP_FIELDS):
        message = f"finds the same for everybody.  Use one of {', '.join(_LDAP_FIELDS)}"
        yield Fault((*path, "filter"), message)
    if directory.filter.count("(") != directory.filter.count(")"):
        yield Fault((*path, "filter"), "brackets do not match")
    if not directory.attributes:
        yield Fault((*path, "attributes"), 'empty.  Write ["userCertificate;binary"]')


def _database_faults(configuration: Configuration) -> Iterator[Fault]:
    url, password = configuration.database.url, configuration.database.password
    if url is not None and url.in_clear:
        message = f"{show(url.text)} is clear text.  Add ?sslmode=verify-full (or require)"
        yield Fault(("database", "url"), message)
    if password is not None and (url is None or not url.is_server):
        message = "without effect: a database file has no password.  Use file modes"
        yield Fault(("database", "password"), message)
    if configuration.memory.keep.total_seconds() <= 0:
        yield Fault(("memory", "keep"), 'must be longer than nothing.  Write "400d"')


def _limit_faults(configuration: Configuration) -> Iterator[Fault]:
    for name in configuration.limits.__dataclass_fields__:
        value = getattr(configuration.limits, name)
        if value <= 0:
            yield Fault(("limits", name), f"{value} is not allowed.  Write a number above 0")
