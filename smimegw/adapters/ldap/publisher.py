"""Writes people's certificates, CA certificates and CRLs into an LDAP directory.

    with LDAPPublisher(target) as publisher:
        print(publisher.publish_certificate(mailbox, "Alice Adams", certificate_der))

Blocking, for command lines.  Every method may be repeated, changes nothing of others, and returns
the change as LDIF; with *dry_run* that is all it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from smimegw.adapters.ldap.authority_entries import (
    RevocationList,
    plan_authority,
    plan_authority_withdrawal,
    plan_crl,
    plan_cross_pair,
)
from smimegw.adapters.ldap.changes import entry_after
from smimegw.adapters.ldap.connection import Entry
from smimegw.adapters.ldap.ldif import Change, write_ldif
from smimegw.adapters.ldap.publication import (
    Bundle,
    plan_certificate,
    plan_new_person,
    plan_withdrawal,
)
from smimegw.adapters.ldap.reading import EntryReader
from smimegw.adapters.ldap.target import PublishingTarget, connect
from smimegw.adapters.ldap.writing import StaleEntryError, send
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError, UsageError
from smimegw.x509.certificate import Certificate

_TRIES = 3  # while somebody else keeps changing the same entry


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
        self._connection = connect(target)
        self._reader = EntryReader(
            self._connection,
            people_base=target.people_base,
            authorities_base=target.authorities_base,
            person_filter=target.person_filter,
        )

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

    def read_ahead(self, mailboxes: Iterable[Mailbox]) -> None:
        """Find the entries of *mailboxes*, who come next, with few searches.

        Raises:
            DirectoryError: The server does not answer.
        """
        self._reader.read_ahead(mailboxes)

    # --- people ----------------------------------------------------------------------------------

    def publish_certificate(
        self,
        mailbox: Mailbox,
        name: str,
        certificate_der: bytes,
        bundle: Bundle | None = None,
    ) -> str:
        """Add a certificate to the entry of *mailbox*; make the entry when there is none.

        Args:
            mailbox: Whose certificate it is.
            name: The person's name, for an entry that has to be made.
            certificate_der: The certificate.
            bundle: A value of userSMIMECertificate that carries it.

        Raises:
            CertificateError: *certificate_der* is not a certificate.
            DirectoryError: The server could not do it, or two entries have this mailbox.
        """
        certificate = Certificate.parse(certificate_der)

        def plan(entry: Entry | None) -> Change | None:
            if entry:
                return plan_certificate(entry, certificate, bundle)
            if not self._target.may_add_people:
                raise DirectoryError(
                    f"no entry below {self._target.people_base} has the address <{mailbox}>; "
                    "write it into the person's entry, or let new entries be made",
                    server=str(self._connection.server),
                    retryable=False,
                )
            base = self._target.people_base
            return plan_new_person(mailbox, name, certificate, bundle, base)

        return self._change_person(mailbox, plan)

    def withdraw_certificate(self, mailbox: Mailbox, certificate_der: bytes) -> str:
        """Remove exactly this certificate from the entry of *mailbox*; the entry stays.

        Values of userSMIMECertificate that carry it go, too.

        Raises:
            DirectoryError: The server could not do it, or two entries have this mailbox.
        """
        return self._change_person(
            mailbox, lambda entry: plan_withdrawal(entry, certificate_der) if entry else None
        )

    # --- authorities -----------------------------------------------------------------------------

    def publish_authority(self, certificate_der: bytes) -> str:
        """Add a CA certificate to the CA's entry; make the entry when there is none.

        Raises:
            CertificateError: *certificate_der* is not a certificate.
            DirectoryError: The server could not do it.
        """
        certificate = Certificate.parse(certificate_der)
        base = self._target.authorities_base
        return self._change_authority(
            certificate.subject_der, lambda entry: plan_authority(entry, certificate, base)
        )

    def withdraw_authority(self, certificate_der: bytes) -> str:
        """Remove exactly this CA certificate, and the cross pairs that hold it.

        Raises:
            CertificateError: *certificate_der* is not a certificate.
            DirectoryError: The server could not do it.
        """
        certificate = Certificate.parse(certificate_der)
        return self._change_authority(
            certificate.subject_der, lambda entry: plan_authority_withdrawal(entry, certificate.der)
        )

    def publish_cross_pair(
        self, issued_to_this: bytes | None, issued_by_this: bytes | None = None
    ) -> str:
        """Put cross certificates into the entry of the CA that one is for (RFC 4523, 2.3).

        Args:
            issued_to_this: Another CA's certificate for the CA whose entry it is.
            issued_by_this: That CA's certificate for the other one.

        Raises:
            CertificateError: One is not a certificate.
            UsageError: Neither was given.
            DirectoryError: The server could not do it.
        """
        to_this = Certificate.parse(issued_to_this) if issued_to_this else None
        by_this = Certificate.parse(issued_by_this) if issued_by_this else None
        owner = to_this.subject_der if to_this else by_this.issuer_der if by_this else None
        if owner is None:
            raise UsageError("a cross certificate pair needs at least one certificate")
        base = self._target.authorities_base
        return self._change_authority(
            owner, lambda entry: plan_cross_pair(entry, to_this, by_this, base)
        )

    def publish_crl(self, crl_der: bytes) -> str:
        """Put a CRL in the place of its issuer's last one of its kind; those of others stay.

        Complete lists, lists for CA certificates only, and delta lists have an attribute each.

        Raises:
            UsageError: Not a CRL with a number, or older than the one that is there.
            DirectoryError: The server could not do it.
        """
        crl = RevocationList.parse(crl_der)
        base = self._target.authorities_base
        return self._change_authority(crl.issuer, lambda entry: plan_crl(entry, crl, base))

    # --- changing --------------------------------------------------------------------------------

    def _change_person(
        self, mailbox: Mailbox, plan: Callable[[Entry | None], Change | None]
    ) -> str:
        return self._change(
            lambda: self._reader.person(mailbox),
            plan,
            pretend=lambda entry: self._reader.pretend_person(mailbox, entry),
            forget=lambda: self._reader.forget_person(mailbox),
        )

    def _change_authority(
        self, name_der: bytes, plan: Callable[[Entry | None], Change | None]
    ) -> str:
        return self._change(
            lambda: self._reader.authority(name_der),
            plan,
            pretend=lambda entry: self._reader.pretend_authority(name_der, entry),
            forget=lambda: None,
        )

    def _change(
        self,
        find: Callable[[], Entry | None],
        plan: Callable[[Entry | None], Change | None],
        *,
        pretend: Callable[[Entry], None],
        forget: Callable[[], None],
    ) -> str:
        reason = ""
        for _ in range(_TRIES):
            entry = find()
            change = plan(entry)
            if change is None:
                return ""
            if self._dry_run:
                pretend(entry_after(entry, change))
                return write_ldif(change)
            forget()
            try:
                send(self._connection, entry, change)
            except StaleEntryError as error:
                reason = str(error)
                continue
            return write_ldif(change)
        raise DirectoryError(
            f"{self._connection.server} refused the change {_TRIES} times, though the entry was "
            f"read again each time: {reason}; somebody else keeps changing it, or it is there and "
            "cannot be found by its address",
            server=str(self._connection.server),
            retryable=False,
        )
