"""Writes people's certificates, CA certificates and CRLs into an LDAP directory.

    with LDAPPublisher(target) as publisher:
        print(publisher.publish_certificate(mailbox, "Alice Adams", certificate_der))

Blocking, for the CA's command line.  Every method may be repeated, changes nothing of others, and
returns the change as LDIF; with *dry_run* that is all it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import ldap3

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.client import both_spellings
from smimegw.adapters.ldap.connection import Entry, LDAPConnection, translated
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.ldap.ldif import AddEntry, Change, write_ldif
from smimegw.adapters.ldap.publication import (
    entry_after,
    plan_authority,
    plan_certificate,
    plan_crl,
    plan_new_person,
    plan_withdrawal,
)
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.adapters.ldap.values import entry_name, issuer_of_crl
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError, UsageError
from smimegw.x509.certificate import Certificate

_SECONDS = 15.0  # a person waits; one operation
_OPERATIONS = {
    "add": ldap3.MODIFY_ADD,
    "delete": ldap3.MODIFY_DELETE,
    "replace": ldap3.MODIFY_REPLACE,
}


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
    """

    urls: str
    bind_dn: str
    password: Callable[[], str] = field(repr=False)
    people_base: str
    authorities_base: str
    ca: Path | None = None
    start_tls: bool = False
    person_filter: str = "(|(mail=%{address})(smimegwMailAlternateAddress=%{address}))"


class LDAPPublisher:
    """A publisher with one connection; a context manager."""

    def __init__(self, target: PublishingTarget, *, dry_run: bool = False) -> None:
        """Check *target* and connect.

        Raises:
            ConfigurationError: A URL or the filter is wrong.
            DirectoryError: No server let us in.
        """
        self._target = target
        self._dry_run = dry_run
        self._filter = FilterTemplate(target.person_filter, origin="publish")
        self._connection = _connect(target)
        self._planned: dict[str, Entry] = {}  # by filter: what a dry run would have left behind

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def publish_certificate(
        self,
        mailbox: Mailbox,
        name: str,
        certificate_der: bytes,
        smime_value: bytes | None = None,
    ) -> str:
        """Add a certificate to the entry of *mailbox*; make the entry when there is none.

        Args:
            mailbox: Whose certificate it is.
            name: The person's name, for a new entry; the address when empty.
            certificate_der: The certificate.
            smime_value: A value for userSMIMECertificate: SignedData (RFC 2798, 2.8).

        Returns:
            The change as LDIF, empty when everything was there already.

        Raises:
            CertificateError: *certificate_der* is not a certificate.
            DirectoryError: The server could not do it, or two entries have this mailbox.
        """
        certificate = Certificate.parse(certificate_der)
        where, entry = self._person(mailbox)
        if entry:
            plan = plan_certificate(entry, certificate, smime_value)
        else:
            base = self._target.people_base
            plan = plan_new_person(mailbox, name, certificate, smime_value, base)
        return self._apply(where, entry, plan)

    def withdraw_certificate(self, mailbox: Mailbox, certificate_der: bytes) -> str:
        """Remove exactly this certificate from the entry of *mailbox*; the entry stays.

        Values of userSMIMECertificate that carry it go, too.

        Raises:
            DirectoryError: The server could not do it, or two entries have this mailbox.
        """
        where, entry = self._person(mailbox)
        return self._apply(where, entry, plan_withdrawal(entry, certificate_der) if entry else None)

    def publish_authority(self, certificate_der: bytes) -> str:
        """Add a CA certificate to the CA's entry; make the entry when there is none.

        Raises:
            CertificateError: *certificate_der* is not a certificate.
            DirectoryError: The server could not do it.
        """
        certificate = Certificate.parse(certificate_der)
        where, entry = self._authority(certificate.subject_der)
        plan = plan_authority(entry, certificate, self._target.authorities_base)
        return self._apply(where, entry, plan)

    def publish_crl(self, crl_der: bytes) -> str:
        """Put a CRL in the place of its issuer's last one; CRLs of other issuers stay.

        Raises:
            UsageError: Not a CRL with a number, or older than the one that is there.
            DirectoryError: The server could not do it.
        """
        issuer = issuer_of_crl(crl_der)
        if issuer is None:
            raise UsageError("this is not a CRL in DER")
        where, entry = self._authority(issuer)
        return self._apply(where, entry, plan_crl(entry, crl_der, self._target.authorities_base))

    # --- entries ---------------------------------------------------------------------------------

    def _person(self, mailbox: Mailbox) -> tuple[str, Entry | None]:
        attributes = ("objectClass", *both_spellings(("userCertificate", "userSMIMECertificate")))
        where = self._filter.write(mailbox)
        found = self._search(self._target.people_base, where, attributes)
        if len(found) > 1:
            names = "; ".join(entry.dn for entry in found)
            raise DirectoryError(
                f"several entries have <{mailbox}>: {names}; leave the address to one of them",
                server=str(self._connection.server),
                retryable=False,
            )
        return where, found[0] if found else None

    def _authority(self, name_der: bytes) -> tuple[str, Entry | None]:
        attributes = both_spellings(("cACertificate", "certificateRevocationList"))
        where = f"(&(objectClass=pkiCA)(cn={escape(entry_name(name_der))}))"
        found = self._search(self._target.authorities_base, where, attributes)
        return where, found[0] if found else None

    def _search(self, base: str, where: str, attributes: tuple[str, ...]) -> tuple[Entry, ...]:
        if where in self._planned:
            return (self._planned[where],)
        return self._connection.search(base, where, attributes, Attempt(_SECONDS), size_limit=20)

    # --- writing ---------------------------------------------------------------------------------

    def _apply(self, where: str, entry: Entry | None, change: Change | None) -> str:
        if change is None:
            return ""
        if self._dry_run:
            self._planned[where] = entry_after(entry, change)
        else:
            with translated(self._connection, Attempt(_SECONDS)):
                _send(self._connection.raw, change)
            self._connection.check_result(f"change of {change.dn}")
        return write_ldif(change)


def _connect(target: PublishingTarget) -> LDAPConnection:
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
            return LDAPConnection.open(server, settings, Attempt(_SECONDS), writing=True)
        except DirectoryError as error:
            failures.append(str(error))
    raise DirectoryError("; ".join(failures), server=target.urls)


def _send(raw: ldap3.Connection, change: Change) -> None:
    # the stubs of ldap3 leave these two calls without types
    if isinstance(change, AddEntry):
        attributes = {name: list(values) for name, values in change.attributes}
        raw.add(change.dn, attributes=attributes)  # type: ignore[no-untyped-call]
        return
    changes = {
        item.attribute: [(_OPERATIONS[item.operation], list(item.values))]
        for item in change.changes
    }
    raw.modify(change.dn, changes)  # type: ignore[no-untyped-call]
