"""Looks people up in the LDAP directory: who is there, and whether an address is somebody's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import ldap3
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import compile_filter, parse_filter

from pki.practice import Addresses, Practice
from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.connection import Entry, LDAPConnection, translated
from smimegw.adapters.ldap.filter import FilterTemplate
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, DirectoryError, UsageError

_SECONDS = 30.0  # one page
_PAGE_ENTRIES = 500  # servers limit what one answer holds, often to that many (RFC 2696)
_PAGED_RESULTS = "1.2.840.113556.1.4.319"
_ATTRIBUTES = ("mail", "displayName", "cn")
_NAME_CHARACTERS_MAX = 64  # of a common name; who has a longer one goes by his address


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody in the directory: a mailbox, a name that may be empty, and his entry."""

    mailbox: Mailbox
    name: str
    dn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An entry that is nobody to issue for, and why."""

    dn: str
    reason: str


class People:
    """One connection to the directory; a context manager."""

    def __init__(self, connection: LDAPConnection, practice: Practice) -> None:
        self._connection = connection
        self._base = practice.base
        self._filter = FilterTemplate(practice.filter, origin="ca.toml, directory")

    @classmethod
    def open(cls, practice: Practice) -> Self:
        """Connect to the first server that answers.

        Raises:
            ConfigurationError: A URL or the filter is wrong.
            DirectoryError: No server let us in.
            UsageError: ca.toml names no directory.
        """
        if not (practice.url and practice.base):
            raise UsageError(
                "ca.toml names no directory. Write url and base (and bind_dn, password_file) into "
                "its table directory."
            )
        settings = LDAPSettings(
            name="people",
            servers=parse_servers(practice.url, origin="ca.toml, directory"),
            base=practice.base,
            bind_dn=practice.bind_dn,
            password=_password(practice),
            ca=Path(practice.ca) if practice.ca else None,
        )
        failures = []
        for server in settings.servers:
            try:
                connection = LDAPConnection.open(server, settings, Attempt(_SECONDS))
            except DirectoryError as error:
                failures.append(str(error))
            else:
                return cls(connection, practice)
        raise DirectoryError("; ".join(failures), server=practice.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def require(self, mailbox: Mailbox) -> None:
        """Make sure that exactly one entry has *mailbox*.

        Raises:
            DirectoryError: The directory could not say.
            UsageError: Nobody has it, or several do.
        """
        entries = self._connection.search(
            self._base, self._filter.write(mailbox), ("mail",), Attempt(_SECONDS), size_limit=20
        )
        if not entries:
            raise UsageError(
                f"<{mailbox}> is nobody's mailbox in the directory below {self._base}, and "
                'ca.toml says requests.addresses = "directory". Correct the address, or add it to '
                "the person's entry first."
            )
        if len(entries) > 1:
            raise UsageError(
                f"<{mailbox}> is in several entries of the directory: "
                f"{'; '.join(entry.dn for entry in entries)}. Leave the address to one of them; "
                "whose the certificate would be is anybody's guess."
            )

    def search(self, ldap_filter: str) -> Iterator[Person | Skipped]:
        """Yield everybody whom *ldap_filter* matches, once for each of his addresses.

        Raises:
            DirectoryError: The directory did not answer to the end.
            UsageError: Not a filter.
        """
        where = checked_filter(ldap_filter)
        cookie: bytes = b""
        while True:
            for entry in self._page(where, cookie):
                yield from _people(entry)
            controls = self._connection.raw.result.get("controls", {})
            cookie = controls.get(_PAGED_RESULTS, {}).get("value", {}).get("cookie", b"")
            if not cookie:
                return

    def _page(self, where: str, cookie: bytes) -> list[Entry]:
        attempt = Attempt(_SECONDS)
        raw = self._connection.raw
        with translated(self._connection, attempt):
            raw.search(
                self._base,
                where,
                search_scope=ldap3.SUBTREE,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(_ATTRIBUTES),
                time_limit=math.ceil(attempt.remaining()),
                paged_size=_PAGE_ENTRIES,
                paged_cookie=cookie or None,
            )
        self._connection.check_result(f"search below {self._base!r}")
        answer = raw.response or []
        found = [item for item in answer if item["type"] == "searchResEntry"]
        if answer and not found:  # Active Directory has some beside its answer, always
            server = self._connection.server
            raise DirectoryError(
                f"{server} answered only with references to other servers, which are never "
                "followed; let base in ca.toml, directory, be a part of the tree that it holds "
                "itself",
                server=str(server),
                retryable=False,
            )
        return [
            Entry(
                dn=str(item["dn"]),
                attributes={
                    str(name).lower(): tuple(bytes(value) for value in values)
                    for name, values in item["raw_attributes"].items()
                },
            )
            for item in found
        ]


def require_owner(practice: Practice, mailbox: Mailbox) -> None:
    """Make sure that *mailbox* is somebody's, where ca.toml wants the directory to say so.

    Raises:
        DirectoryError: The directory could not say.
        UsageError: It is nobody's.
    """
    if practice.addresses is Addresses.DIRECTORY:
        with People.open(practice) as directory:
            directory.require(mailbox)


def checked_filter(text: str) -> str:
    """Return an administrator's search filter, in parentheses.

    Raises:
        UsageError: Not a filter (RFC 4515).
    """
    where = text.strip()
    where = where if where.startswith("(") else f"({where})"
    try:
        # ldap3's own reading of a filter, the one that the search will use; it has no types
        tree = parse_filter(where, None, False, False, None, False)  # type: ignore[no-untyped-call]
        compile_filter(tree.elements[0])  # type: ignore[no-untyped-call]
    except (LDAPExceptionError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(
            f"{text!r} is not an LDAP filter. Write it like '(department=sales)' (RFC 4515)."
        ) from error
    return where


def _people(entry: Entry) -> Iterator[Person | Skipped]:
    names = [*entry.attributes.get("displayname", ()), *entry.attributes.get("cn", ())]
    name = names[0].decode("utf-8", "replace").strip() if names else ""
    addresses = entry.attributes.get("mail", ())
    if not addresses:
        yield Skipped(dn=entry.dn, reason="no mail attribute")
    for octets in sorted(addresses):
        try:
            mailbox = Mailbox.parse(octets.decode())
        except (AddressError, UnicodeDecodeError):
            yield Skipped(dn=entry.dn, reason="the mail attribute holds no address")
            continue
        name = name if len(name) <= _NAME_CHARACTERS_MAX else ""
        yield Person(mailbox=mailbox, name=name, dn=entry.dn)


def _password(practice: Practice) -> Callable[[], str]:
    def read() -> str:
        if not practice.password_file:
            return ""
        with Path(practice.password_file).open(encoding="utf-8") as stream:
            return stream.readline().rstrip("\r\n")

    return read
