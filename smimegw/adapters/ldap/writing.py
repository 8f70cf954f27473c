"""Sends one change to a server, never over what somebody else wrote meanwhile."""

from __future__ import annotations

import ldap3
from ldap3.core import results
from ldap3.operation.search import compile_filter, parse_filter
from pyasn1.codec.ber.encoder import encode

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.changes import values_of
from smimegw.adapters.ldap.connection import Entry, LDAPConnection, translated
from smimegw.adapters.ldap.faults import advice_for
from smimegw.adapters.ldap.ldif import AddEntry, Change, ModifyEntry
from smimegw.adapters.ldap.reading import SECONDS
from smimegw.errors import DirectoryError

_OPERATIONS = {
    "add": ldap3.MODIFY_ADD,
    "delete": ldap3.MODIFY_DELETE,
    "replace": ldap3.MODIFY_REPLACE,
}
_ASSERTION = "1.3.6.1.1.12"  # RFC 4528

# What says that the entry is no longer as it was read.
_CHANGED = {
    results.RESULT_NO_SUCH_ATTRIBUTE,
    results.RESULT_ATTRIBUTE_OR_VALUE_EXISTS,
    results.RESULT_ENTRY_ALREADY_EXISTS,
    results.RESULT_ASSERTION_FAILED,
}

# What a server refuses for this one entry, and what to do about it; others may go well.
_REFUSALS = {
    results.RESULT_UNDEFINED_ATTRIBUTE_TYPE: "its schema does not know an attribute; load "
    "inetorgperson.schema for userSMIMECertificate (ldap-schema/README.md), or publish without it",
    results.RESULT_INVALID_ATTRIBUTE_SYNTAX: "if it says objectClass, its schema does not know a "
    "class: load ldap-schema/smimegw.schema (or .ldif) there; otherwise see its log for the value",
    results.RESULT_OBJECT_CLASS_VIOLATION: "the entry's classes do not allow that; give it "
    "inetOrgPerson or smimegwMailPerson",
    results.RESULT_OBJECT_CLASS_MODS_PROHIBITED: "the entry's classes cannot be changed there; "
    "give it inetOrgPerson",
    results.RESULT_CONSTRAINT_VIOLATION: "a rule of that server forbids the value; see its log",
    results.RESULT_INAPPROPRIATE_MATCHING: "its schema cannot compare the attribute's values; "
    "see its log",
    results.RESULT_NAMING_VIOLATION: "an entry of that name cannot stand there; make the person's "
    "entry yourself",
    results.RESULT_INVALID_DN_SYNTAX: "the name of the entry cannot be written as a DN there",
    results.RESULT_NO_SUCH_OBJECT: "the entry above it does not exist, or may not be seen by "
    "`bind`; make it, or correct `base`",
    results.RESULT_INSUFFICIENT_ACCESS_RIGHTS: "its access rules forbid that to whoever writes; "
    "write as the CA's identity (--bind-dn), or allow it as ldap-schema/access.conf does",
    results.RESULT_UNWILLING_TO_PERFORM: "it takes no writes, or not this one: is it read-only, "
    "or a copy? name a server that takes writes in `url`",
}


class StaleEntryError(Exception):
    """The entry changed after it was read; read it again and plan anew."""


def send(connection: LDAPConnection, entry: Entry | None, change: Change) -> None:
    """Carry *change* out; *entry* is what it was planned for.

    A value-wise change fails by itself when the values are others by now.  One that replaces all
    values of an attribute is bound to the entry's version where the server has one (RFC 4528).

    Raises:
        StaleEntryError: Somebody else was faster.
        DirectoryError: The server could not do it; not `retryable` when it refuses this entry.
    """
    with translated(connection, Attempt(SECONDS)):
        _send(connection.raw, entry, change)
    code: int = connection.raw.result["result"]
    gone = isinstance(change, ModifyEntry) and code == results.RESULT_NO_SUCH_OBJECT
    description = str(connection.raw.result["description"])
    detail = str(connection.raw.result.get("message") or "").strip()
    reason = f"{description} ({detail})" if detail else description
    if gone or code in _CHANGED:
        raise StaleEntryError(f"{change.dn}: {reason}")
    if code in _REFUSALS:
        raise DirectoryError(
            f"{connection.server} refused the change of {change.dn}: {reason}; {_REFUSALS[code]}",
            server=str(connection.server),
            retryable=False,
        )
    if code == results.RESULT_REFERRAL:
        raise DirectoryError(
            f"{connection.server} is a copy that takes no writes; name the server that it copies "
            f"in `url` ({advice_for(code)})",
            server=str(connection.server),
        )
    connection.check_result(f"change of {change.dn}")


def _send(raw: ldap3.Connection, entry: Entry | None, change: Change) -> None:
    # the stubs of ldap3 leave these two calls without types
    if isinstance(change, AddEntry):
        attributes = {name: list(values) for name, values in change.attributes}
        raw.add(change.dn, attributes=attributes)  # type: ignore[no-untyped-call]
        return
    changes = {
        item.attribute: [(_OPERATIONS[item.operation], list(item.values))]
        for item in change.changes
    }
    raw.modify(change.dn, changes, controls=_only_if_unchanged(entry, change))  # type: ignore[no-untyped-call]


def _only_if_unchanged(
    entry: Entry | None, change: ModifyEntry
) -> list[tuple[str, bool, bytes]] | None:
    versions = values_of(entry, "entryCSN") if entry else ()
    if not versions or all(item.operation != "replace" for item in change.changes):
        return None
    where = f"(entryCSN={versions[0].decode('ascii')})"
    tree = parse_filter(where, None, False, False, None, False)  # type: ignore[no-untyped-call]
    assertion = compile_filter(tree.elements[0])  # type: ignore[no-untyped-call]
    return [(_ASSERTION, True, encode(assertion))]
