"""Looks at everything that a gateway needs of an LDAP server, and at what outsiders get there."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.client import both_spellings
from smimegw.adapters.ldap.connection import (
    NO_ENCRYPTION,
    Entry,
    LDAPConnection,
    says_no_encryption,
)
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.adapters.ldap.values import UNREADABLE, parse_certificates
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError

_SECONDS = 10.0  # a person waits; longer than a mail would
_SLOW = 0.25  # of the deadline for a mail; an index answers in a few milliseconds
_ENTRIES = 20


class Grade(StrEnum):
    """How one thing is."""

    GOOD = "good"
    ODD = "odd"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing that was looked at.

    Attributes:
        what: In a word.
        grade: How it is.
        detail: What was seen.
        remedy: What to do; empty when nothing is to be done.
    """

    what: str
    grade: Grade = Grade.GOOD
    detail: str = ""
    remedy: str = ""


def survey(
    server: LDAPServer,
    settings: LDAPSettings,
    sample: Mailbox | None = None,
    *,
    seconds: Callable[[], float] = time.monotonic,
) -> Iterator[Observation]:
    """Look at *server* as the gateway, then as an outsider; ends with the first thing that is bad.

    Args:
        server: One of the servers of *settings*.
        settings: The directory.
        sample: Somebody who should be found.
        seconds: A clock.
    """
    try:
        connection = LDAPConnection.open(server, settings, Attempt(_SECONDS))
    except DirectoryError as error:
        yield Observation(what="bind", grade=Grade.BAD, detail=str(error), remedy=_WAITS)
        return
    try:
        who = f"as {settings.bind_dn}" if settings.bind_dn else "without a name"
        safe = "TLS" if server.tls or server.start_tls else "no TLS"
        yield Observation(what="bind", detail=f"{who}, {safe}")
        yield _absent(connection, settings, seconds)
        if sample is not None:
            yield _sample(connection, settings, sample)
        yield _authorities(connection, settings)
    except DirectoryError as error:
        yield Observation(what="search", grade=Grade.BAD, detail=str(error), remedy=_WAITS)
    finally:
        connection.close()
    yield _outsider(server, settings, sample)


_WAITS = "mail to people who are looked for there waits (R-06)"


def _absent(
    connection: LDAPConnection, settings: LDAPSettings, seconds: Callable[[], float]
) -> Observation:
    """Nobody has this address: a server without an index has to look at everybody to know."""
    nobody = Mailbox.parse(f"smimegw-check-{secrets.token_hex(8)}@check.invalid")
    began = seconds()
    entries = _find(connection, settings, nobody)
    took = seconds() - began
    detail = f"an address that nobody has: {len(entries)} entries in {1000 * took:.0f} ms"
    if entries:
        remedy = "`filter` finds the same entries for everybody; write (mail=%{address})"
        return Observation(what="search", grade=Grade.BAD, detail=detail, remedy=remedy)
    if took > _SLOW * settings.deadline_seconds:
        remedy = "is mail indexed for equality there? see ldap-schema/indexes.conf"
        return Observation(what="search", grade=Grade.ODD, detail=detail, remedy=remedy)
    return Observation(what="search", detail=detail)


def _sample(connection: LDAPConnection, settings: LDAPSettings, sample: Mailbox) -> Observation:
    entries = _find(connection, settings, sample)
    what = f"<{sample.address}>"
    if len(entries) > 1:
        names = "; ".join(entry.dn for entry in entries)
        return Observation(
            what=what,
            grade=Grade.BAD,
            detail=f"{len(entries)} entries have it: {names}",
            remedy="leave the address to one of them; no certificate of either is used",
        )
    if not entries:
        remedy = "is the address in the entry, below `base`, and readable by `bind`?"
        return Observation(what=what, grade=Grade.ODD, detail="no entry", remedy=remedy)
    if says_no_encryption(entries[0]):
        remedy = f"that is meant so? else delete {NO_ENCRYPTION} from the entry"
        detail = f"{entries[0].dn}: {NO_ENCRYPTION} is TRUE, nobody encrypts to its certificates"
        return Observation(what=what, grade=Grade.ODD, detail=detail, remedy=remedy)
    values = [
        value
        for name in settings.attributes
        for value in entries[0].attributes.get(name.lower(), ())
    ]
    if not values:
        return Observation(
            what=what,
            grade=Grade.ODD,
            detail=f"{entries[0].dn}: nothing in {', '.join(settings.attributes)}",
            remedy="nothing is published there, or `bind` may not read it: compare with an"
            " administrator's ldapsearch",
        )
    unread = sum(not _is_readable(value) for value in values)
    detail = f"{entries[0].dn}: {len(values)} values, {unread} of them unreadable"
    if unread:
        remedy = "values must be DER; those that are not are skipped"
        return Observation(what=what, grade=Grade.ODD, detail=detail, remedy=remedy)
    return Observation(what=what, detail=f"{entries[0].dn}: {len(values)} values")


def _authorities(connection: LDAPConnection, settings: LDAPSettings) -> Observation:
    base = settings.authority_base or settings.base
    names = ("cACertificate", "certificateRevocationList")
    entries = connection.search(
        base,
        "(objectClass=pkiCA)",
        both_spellings(names),
        Attempt(_SECONDS),
        size_limit=1000,
    )
    certificates, lists = (
        sum(len(entry.attributes.get(name.lower(), ())) for entry in entries) for name in names
    )
    detail = f"{certificates} CA certificates, {lists} revocation lists below {base}"
    if certificates and lists:
        return Observation(what="authorities", detail=detail)
    remedy = "publish them (smimegw-ca publish), or name files in trust.intermediates, trust.crls"
    return Observation(what="authorities", grade=Grade.ODD, detail=detail, remedy=remedy)


def _outsider(server: LDAPServer, settings: LDAPSettings, sample: Mailbox | None) -> Observation:
    """Whoever has no name must not get a list of addresses."""
    anonymous = dataclasses.replace(settings, bind_dn="", password=None)
    try:
        connection = LDAPConnection.open(server, anonymous, Attempt(_SECONDS))
    except DirectoryError:
        return Observation(what="outsiders", detail="are not let in without a name")
    wanted = ["(mail=*)", "(objectClass=inetOrgPerson)"]
    if sample is not None and not sample.local_part.startswith('"'):
        wanted.append(f"(mail={escape(sample.address[:3])}*)")
    try:
        listing = [each for each in wanted if _answers(connection, settings.base, each)]
    finally:
        connection.close()
    if not listing:
        return Observation(what="outsiders", detail="cannot list addresses")
    return Observation(
        what="outsiders",
        grade=Grade.ODD,
        detail=f"anybody gets addresses by {', '.join(listing)}",
        remedy="take the access rules of ldap-schema/access.conf, and no sub index for mail",
    )


def _answers(connection: LDAPConnection, base: str, search_filter: str) -> bool:
    """Whether any entry comes, also before a limit ends the answer."""
    try:
        return bool(
            connection.search(base, search_filter, ("mail",), Attempt(_SECONDS), size_limit=1)
        )
    except DirectoryError:
        response = connection.raw.response or []
        return not connection.broken and any(item["type"] == "searchResEntry" for item in response)


def _find(
    connection: LDAPConnection, settings: LDAPSettings, mailbox: Mailbox
) -> tuple[Entry, ...]:
    return connection.search(
        settings.base,
        FilterTemplate(settings.filter).write(mailbox),
        both_spellings((*settings.attributes, NO_ENCRYPTION)),
        Attempt(_SECONDS),
        size_limit=_ENTRIES,
    )


def _is_readable(value: bytes) -> bool:
    try:
        parse_certificates(value)
    except UNREADABLE:
        return False
    return True
