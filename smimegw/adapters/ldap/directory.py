"""The LDAP directory: certificates by mailbox, CA certificates and CRLs by distinguished name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from smimegw.adapters.ldap.client import LDAPClient, Search, both_spellings
from smimegw.adapters.ldap.connection import NO_ENCRYPTION, Entry, says_no_encryption
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.ldap.settings import LDAPSettings
from smimegw.adapters.ldap.values import (
    UNREADABLE,
    entry_name,
    issuer_of_crl,
    parse_authorities,
    parse_capabilities,
    parse_certificates,
    parse_stated_capabilities,
)
from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities
from smimegw.cms.vouched import VouchedCapabilities
from smimegw.errors import CMSError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.ports import FoundCertificate
from smimegw.x509.certificate import Certificate

_ENTRIES = 20  # of one mailbox or CA name; more is a mistake in the filter (sizeLimitExceeded)
_AUTHORITY_CLASSES = (
    "(|(objectClass=pkiCA)(objectClass=certificationAuthority)(objectClass=cRLDistributionPoint))"
)
_STATED = "smimegwCapabilities"
_CA_ATTRIBUTES = ("cACertificate", "crossCertificatePair")
_CRL_ATTRIBUTES = ("certificateRevocationList", "authorityRevocationList")


class LDAPDirectory:
    """Implements `CertificateDirectory` and `AuthorityDirectory`."""

    def __init__(self, settings: LDAPSettings, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Prepare; the first question connects.

        Raises:
            ConfigurationError: The filter template is wrong.
        """
        self._settings = settings
        self._limits = limits
        self._filter = FilterTemplate(settings.filter, origin=self.name)
        self._client = LDAPClient(settings)
        self.skipped_values = 0
        """How many attribute values did not parse since the start."""

    @property
    def name(self) -> str:
        """``ldap:name``."""
        return f"ldap:{self._settings.name}"

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return every certificate in the entries of *mailbox*, unvalidated, each once per entry.

        The filter decides which entries are the mailbox's; whether a certificate is for it is
        judged later, by the certificate itself.  An entry that says so counts as one without any.

        Raises:
            DirectoryError: No server could answer.
        """
        entries = await self._search(
            self._settings.base,
            self._filter.write(mailbox),
            self._settings.attributes,
            also=(_STATED, NO_ENCRYPTION),
        )
        return tuple(
            found
            for entry in entries
            if not says_no_encryption(entry)
            for found in self._found(entry)
        )

    def _found(self, entry: Entry) -> Iterator[FoundCertificate]:
        attributes = self._settings.attributes
        vouched = [*self._vouched(entry, attributes)]
        stated = self._stated(entry)
        for certificate in self._parse(entry, attributes, parse_certificates):
            known = (item.capabilities for item in vouched if item.covers(certificate))
            yield FoundCertificate(
                certificate=certificate,
                source=self.name,
                owner=entry.dn,
                capabilities=next(known, stated),
            )

    def _vouched(self, entry: Entry, attributes: Iterable[str]) -> Iterator[VouchedCapabilities]:
        for value in _values(entry, attributes):
            try:
                found = parse_capabilities(value)
            except UNREADABLE:
                continue  # counted where its certificates are read
            if found is not None:
                yield found

    def _stated(self, entry: Entry) -> Capabilities:
        """What the directory's administrator says, where the owner did not."""
        for value in _values(entry, (_STATED,)):
            try:
                return parse_stated_capabilities(value)
            except UNREADABLE:
                self.skipped_values += 1
        return NOTHING_KNOWN

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Nothing is cached here."""

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """CA certificates with exactly that subject, unvalidated.

        Raises:
            DirectoryError: No server could answer.
        """
        entries = await self._authority_entries(subject_der, _CA_ATTRIBUTES)
        found = dict.fromkeys(
            certificate
            for entry in entries
            for certificate in self._parse(entry, _CA_ATTRIBUTES, parse_authorities)
        )
        return tuple(item for item in found if item.subject_der == subject_der)

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """DER CertificateLists with exactly that issuer, unverified.

        Raises:
            DirectoryError: No server could answer.
        """
        entries = await self._authority_entries(issuer_der, _CRL_ATTRIBUTES)
        values = dict.fromkeys(
            value for entry in entries for value in _values(entry, _CRL_ATTRIBUTES)
        )
        return tuple(
            value
            for value in values
            if len(value) <= self._limits.crl_octets and issuer_of_crl(value) == issuer_der
        )

    async def close(self) -> None:
        """Close the connections and end the threads."""
        await self._client.close()

    async def _authority_entries(
        self, name_der: bytes, attributes: tuple[str, ...]
    ) -> tuple[Entry, ...]:
        try:
            name = entry_name(name_der)
        except CMSError:
            return ()  # nobody has a name that is not one
        base = self._settings.authority_base or self._settings.base
        return await self._search(base, f"(&{_AUTHORITY_CLASSES}(cn={escape(name)}))", attributes)

    async def _search(
        self, base: str, search_filter: str, wanted: tuple[str, ...], *, also: tuple[str, ...] = ()
    ) -> tuple[Entry, ...]:
        return await self._client.search(
            Search(
                base=base,
                filter=search_filter,
                wanted=wanted,
                attributes=both_spellings((*wanted, *also)),
                size_limit=_ENTRIES,
            )
        )

    def _parse(
        self,
        entry: Entry,
        attributes: Iterable[str],
        parse: Callable[[bytes], tuple[Certificate, ...]],
    ) -> tuple[Certificate, ...]:
        found: dict[Certificate, None] = {}
        for value in _values(entry, attributes):
            try:
                found.update(dict.fromkeys(parse(value)))
            except UNREADABLE:
                self.skipped_values += 1
        return tuple(found)


def _values(entry: Entry, attributes: Iterable[str]) -> list[bytes]:
    return [value for name in attributes for value in entry.attributes.get(name.lower(), ())]
