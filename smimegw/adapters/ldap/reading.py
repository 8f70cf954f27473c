"""Finds the entries that a publisher changes, many people with one search."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.authority_entries import AUTHORITY_ATTRIBUTES
from smimegw.adapters.ldap.client import both_spellings
from smimegw.adapters.ldap.connection import Entry, LDAPConnection
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.ldap.values import entry_name
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError

SECONDS = 15.0  # a person waits; one operation
AHEAD = 50  # mailboxes in one search; servers refuse very long filters
_ENTRIES = 20  # of one mailbox or CA name; more is a mistake in the filter
_VERSION = "entryCSN"  # changes with the entry; OpenLDAP has it
_PERSON = ("objectClass", _VERSION, *both_spellings(("userCertificate", "userSMIMECertificate")))
_AUTHORITY = ("objectClass", _VERSION, *both_spellings(AUTHORITY_ATTRIBUTES))
_EQUALITY = re.compile(r"\(([A-Za-z][\w.-]*)=([^()*\\]*%\{[^()*\\]*)\)")


class EntryReader:
    """Searches for entries, and remembers a few for as long as nothing is written to them.

    Args:
        connection: Bound; for one thread.
        people_base: Where people's entries are.
        authorities_base: Where CA entries are.
        person_filter: Finds a person's entry.
    """

    def __init__(
        self,
        connection: LDAPConnection,
        *,
        people_base: str,
        authorities_base: str,
        person_filter: str,
    ) -> None:
        self._connection = connection
        self._people_base = people_base
        self._authorities_base = authorities_base
        self._filter = FilterTemplate(person_filter, origin="publish")
        self._equalities = _equalities(person_filter)
        self._ahead: dict[str, tuple[Entry, ...]] = {}
        self._pretended: dict[str, Entry] = {}

    def read_ahead(self, mailboxes: Iterable[Mailbox]) -> None:
        """Find the entries of *mailboxes* at once, in the place of those read ahead before.

        It only saves time: whoever is not found this way is looked for alone later.

        Raises:
            DirectoryError: The server does not answer.
        """
        self._ahead.clear()
        wanted = list(dict.fromkeys(mailboxes))
        if not self._equalities:
            return
        for start in range(0, len(wanted), AHEAD):
            self._read_some(wanted[start : start + AHEAD])

    def person(self, mailbox: Mailbox) -> Entry | None:
        """The entry of *mailbox*, if there is one.

        Raises:
            DirectoryError: No answer; or not `retryable`: several entries have it.
        """
        where = self._filter.write(mailbox)
        found = self._search(where, self._people_base, _PERSON)
        if len(found) > 1:
            names = "; ".join(entry.dn for entry in found)
            raise DirectoryError(
                f"several entries have <{mailbox}>: {names}; leave the address to one of them",
                server=str(self._connection.server),
                retryable=False,
            )
        return found[0] if found else None

    def authority(self, name_der: bytes) -> Entry | None:
        """The entry of the CA with this name, if there is one.

        Raises:
            DirectoryError: No answer.
        """
        found = self._search(_authority_filter(name_der), self._authorities_base, _AUTHORITY)
        return found[0] if found else None

    def forget_person(self, mailbox: Mailbox) -> None:
        """Look for *mailbox* anew: its entry was written to, by us or somebody else."""
        self._ahead.pop(self._filter.write(mailbox), None)

    def pretend_person(self, mailbox: Mailbox, entry: Entry) -> None:
        """Let the entry of *mailbox* be *entry*: it would be by now, were this no dry run."""
        self._pretended[self._filter.write(mailbox)] = entry

    def pretend_authority(self, name_der: bytes, entry: Entry) -> None:
        """Let a CA's entry be *entry*."""
        self._pretended[_authority_filter(name_der)] = entry

    def _search(self, where: str, base: str, attributes: Sequence[str]) -> tuple[Entry, ...]:
        if where in self._pretended:
            return (self._pretended[where],)
        if where in self._ahead:
            return self._ahead[where]
        attempt = Attempt(SECONDS)
        return self._connection.search(base, where, attributes, attempt, size_limit=_ENTRIES)

    def _read_some(self, mailboxes: Sequence[Mailbox]) -> None:
        filters = [self._filter.write(mailbox) for mailbox in mailboxes]
        attributes = (*_PERSON, *(name for name, _ in self._equalities))
        try:
            entries = self._connection.search(
                self._people_base,
                f"(|{''.join(filters)})",
                attributes,
                Attempt(SECONDS),
                size_limit=_ENTRIES * AHEAD,
            )
        except DirectoryError:
            if self._connection.broken:
                raise
            return  # a limit of the server: ask for one after the other
        owners = defaultdict(list)
        for entry in entries:
            for text in self._addresses_in(entry):
                owners[text].append(entry)
        found: dict[str, tuple[Entry, ...]] = {}
        assigned: set[str] = set()
        for where, mailbox in zip(filters, mailboxes, strict=True):
            of_mailbox = {
                entry.dn: entry
                for text in self._addresses_of(mailbox)
                for entry in owners.get(text, ())
            }
            found[where] = tuple(of_mailbox.values())
            assigned.update(of_mailbox)
        if len(assigned) < len({entry.dn for entry in entries}):
            # The server compares otherwise than we do: nobody is absent because we say so.
            found = {where: values for where, values in found.items() if values}
        self._ahead.update(found)

    def _addresses_in(self, entry: Entry) -> Iterator[str]:
        for name in dict.fromkeys(name for name, _ in self._equalities):
            for value in entry.attributes.get(name.lower(), ()):
                yield _folded(f"{name}={value.decode('utf-8', 'replace')}")

    def _addresses_of(self, mailbox: Mailbox) -> Iterator[str]:
        for name, template in self._equalities:
            text = template.replace("%{address}", mailbox.address)
            text = text.replace("%{local_part}", mailbox.local_part)
            yield _folded(f"{name}={text.replace('%{domain}', mailbox.domain)}")


def _equalities(person_filter: str) -> tuple[tuple[str, str], ...]:
    """Attributes and templates of a filter that is nothing but equalities, one of which holds."""
    rest = _EQUALITY.sub("", person_filter).replace(" ", "")
    found = tuple((name, template) for name, template in _EQUALITY.findall(person_filter))
    return found if rest in ("", "(|)") else ()


def _folded(text: str) -> str:
    """As caseIgnoreIA5Match compares (RFC 4518): neither case nor the number of spaces counts."""
    return " ".join(text.casefold().split())


def _authority_filter(name_der: bytes) -> str:
    return f"(&(objectClass=pkiCA)(cn={escape(entry_name(name_der))}))"
