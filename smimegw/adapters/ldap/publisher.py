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
from cryptography import x509

from smimegw.adapters.ldap.client import both_spellings
from smimegw.adapters.ldap.connection import Attempt, Entry, LDAPConnection, translated
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.ldap.ldif import (
    AddEntry,
    AttributeChange,
    Change,
    ModifyEntry,
    Operation,
    write_dn,
    write_ldif,
)
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.adapters.ldap.values import (
    UNREADABLE,
    entry_name,
    issuer_of_crl,
    parse_certificates,
)
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError, UsageError
from smimegw.x509.certificate import Certificate

_SECONDS = 15.0  # a person waits; one operation
_CERTIFICATE = "userCertificate;binary"  # RFC 4523, 2.1: only with the option
_SMIME_CERTIFICATE = "userSMIMECertificate"  # QUIRK 2026-11 OpenLDAP: only without it
_CA_CERTIFICATE = "cACertificate;binary"
_CRL = "certificateRevocationList;binary"
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
        entry = self._person(mailbox)
        if entry is None:
            return self._apply(self._new_person(mailbox, name, certificate, smime_value))
        changes = _missing_classes(entry, smime=smime_value is not None)
        if certificate.der not in entry.attributes.get("usercertificate", ()):
            changes.append(_change("add", _CERTIFICATE, certificate.der))
        smime_values = entry.attributes.get("usersmimecertificate", ())
        if smime_value is not None and smime_value not in smime_values:
            # Replaced as a whole: the attribute has no equality rule to add or delete by.
            changes.append(_change("replace", _SMIME_CERTIFICATE, *smime_values, smime_value))
        return self._modify(entry.dn, changes)

    def withdraw_certificate(self, mailbox: Mailbox, certificate_der: bytes) -> str:
        """Remove exactly this certificate from the entry of *mailbox*; the entry stays.

        Values of userSMIMECertificate that carry it go, too.

        Raises:
            DirectoryError: The server could not do it, or two entries have this mailbox.
        """
        entry = self._person(mailbox)
        if entry is None:
            return ""
        changes = []
        if certificate_der in entry.attributes.get("usercertificate", ()):
            changes.append(_change("delete", _CERTIFICATE, certificate_der))
        values = entry.attributes.get("usersmimecertificate", ())
        others = [value for value in values if not _carries(value, certificate_der)]
        if len(others) != len(values):
            changes.append(_change("replace", _SMIME_CERTIFICATE, *others))
        return self._modify(entry.dn, changes)

    def publish_authority(self, certificate_der: bytes) -> str:
        """Add a CA certificate to the CA's entry; make the entry when there is none.

        Raises:
            CertificateError: *certificate_der* is not a certificate.
            DirectoryError: The server could not do it.
        """
        certificate = Certificate.parse(certificate_der)
        name = entry_name(certificate.subject_der)
        entry = self._authority(name)
        if entry is None:
            return self._apply(self._new_authority(name, _CA_CERTIFICATE, certificate.der))
        if certificate.der in entry.attributes.get("cacertificate", ()):
            return ""
        return self._modify(entry.dn, [_change("add", _CA_CERTIFICATE, certificate.der)])

    def publish_crl(self, crl_der: bytes) -> str:
        """Put a CRL in the place of its issuer's last one; CRLs of other issuers stay.

        Raises:
            UsageError: Not a CRL with a number, or older than the one that is there.
            DirectoryError: The server could not do it.
        """
        number = _crl_number(crl_der)
        issuer = issuer_of_crl(crl_der)
        if number is None or issuer is None:
            raise UsageError("this is not a CRL in DER with a number (RFC 5280, 5.2.3)")
        name = entry_name(issuer)
        entry = self._authority(name)
        if entry is None:
            return self._apply(self._new_authority(name, _CRL, crl_der))
        values = entry.attributes.get("certificaterevocationlist", ())
        if crl_der in values:
            return ""
        ours = [value for value in values if issuer_of_crl(value) == issuer]
        newest = max((_crl_number(value) or 0 for value in ours), default=-1)
        if newest > number:
            # RFC 5280, 5.2.3: numbers only grow; going back would bring revoked ones to life.
            raise UsageError(
                f"CRL number {number} is older than number {newest}, which is published; "
                "make a new CRL"
            )
        others = [value for value in values if value not in ours]
        return self._modify(entry.dn, [_change("replace", _CRL, *others, crl_der)])

    # --- entries ---------------------------------------------------------------------------------

    def _person(self, mailbox: Mailbox) -> Entry | None:
        attributes = ("objectClass", *both_spellings(("userCertificate", "userSMIMECertificate")))
        found = self._search(self._target.people_base, self._filter.write(mailbox), attributes)
        if len(found) > 1:
            names = "; ".join(entry.dn for entry in found)
            raise DirectoryError(
                f"several entries have <{mailbox}>: {names}; leave the address to one of them",
                server=str(self._connection.server),
                retryable=False,
            )
        return found[0] if found else None

    def _authority(self, name: str) -> Entry | None:
        attributes = both_spellings(("cACertificate", "certificateRevocationList"))
        search_filter = f"(&(objectClass=pkiCA)(cn={escape(name)}))"
        found = self._search(self._target.authorities_base, search_filter, attributes)
        return found[0] if found else None

    def _search(
        self, base: str, search_filter: str, attributes: tuple[str, ...]
    ) -> tuple[Entry, ...]:
        attempt = Attempt(_SECONDS)
        return self._connection.search(base, search_filter, attributes, attempt, size_limit=20)

    def _new_person(
        self, mailbox: Mailbox, name: str, certificate: Certificate, smime_value: bytes | None
    ) -> AddEntry:
        name = name.strip() or mailbox.address
        attributes: list[tuple[str, tuple[bytes, ...]]] = [
            ("objectClass", (b"inetOrgPerson", b"pkiUser")),
            ("cn", (name.encode(),)),
            ("sn", (name.split()[-1].encode(),)),
            ("mail", (mailbox.address.encode(),)),
            (_CERTIFICATE, (certificate.der,)),
        ]
        if smime_value is not None:
            attributes.append((_SMIME_CERTIFICATE, (smime_value,)))
        dn = write_dn("mail", mailbox.address, self._target.people_base)
        return AddEntry(dn=dn, attributes=tuple(attributes))

    def _new_authority(self, name: str, attribute: str, value: bytes) -> AddEntry:
        classes = (b"organizationalRole", b"pkiCA")
        return AddEntry(
            dn=write_dn("cn", name, self._target.authorities_base),
            attributes=(
                ("objectClass", classes),
                ("cn", (name.encode(),)),
                (attribute, (value,)),
            ),
        )

    # --- writing ---------------------------------------------------------------------------------

    def _modify(self, dn: str, changes: list[AttributeChange]) -> str:
        return self._apply(ModifyEntry(dn=dn, changes=tuple(changes))) if changes else ""

    def _apply(self, change: Change) -> str:
        if not self._dry_run:
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
    if isinstance(change, AddEntry):
        attributes = {name: list(values) for name, values in change.attributes}
        raw.add(change.dn, attributes=attributes)  # type: ignore[no-untyped-call]
        return
    changes = {
        item.attribute: [(_OPERATIONS[item.operation], list(item.values))]
        for item in change.changes
    }
    raw.modify(change.dn, changes)  # type: ignore[no-untyped-call]


def _change(operation: Operation, attribute: str, *values: bytes) -> AttributeChange:
    return AttributeChange(operation=operation, attribute=attribute, values=values)


def _missing_classes(entry: Entry, *, smime: bool) -> list[AttributeChange]:
    present = {
        value.decode("ascii", "replace").lower() for value in entry.attributes["objectclass"]
    }
    if present & {"inetorgperson", "smimegwmailperson"}:
        return []
    if smime:
        return [_change("add", "objectClass", b"smimegwMailPerson")]
    return [] if "pkiuser" in present else [_change("add", "objectClass", b"pkiUser")]


def _carries(value: bytes, certificate_der: bytes) -> bool:
    try:
        return any(item.der == certificate_der for item in parse_certificates(value))
    except UNREADABLE:
        return False  # a stranger's value stays


def _crl_number(octets: bytes) -> int | None:
    try:
        extensions = x509.load_der_x509_crl(octets).extensions
        return extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        return None
