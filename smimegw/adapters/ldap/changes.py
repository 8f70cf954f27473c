"""Reads entries by attribute, makes changes of them, and says what an entry is after a change."""

from __future__ import annotations

from typing import assert_never

from smimegw.adapters.ldap.connection import Entry
from smimegw.adapters.ldap.ldif import (
    AddEntry,
    AttributeChange,
    Change,
    ModifyEntry,
    Operation,
)


def values_of(entry: Entry, attribute: str) -> tuple[bytes, ...]:
    """Return the values of *attribute*, with or without ``;binary``."""
    return entry.attributes.get(_key(attribute), ())


def change_of(operation: Operation, attribute: str, *values: bytes) -> AttributeChange:
    """Change one attribute."""
    return AttributeChange(operation=operation, attribute=attribute, values=values)


def modification(entry: Entry, changes: list[AttributeChange]) -> ModifyEntry | None:
    """Return what makes *changes*; None for none."""
    return ModifyEntry(dn=entry.dn, changes=tuple(changes)) if changes else None


def entry_after(entry: Entry | None, change: Change) -> Entry:
    """Return what *entry* will be after *change*, for plans that are not carried out."""
    if isinstance(change, AddEntry):
        return Entry(dn=change.dn, attributes={_key(name): v for name, v in change.attributes})
    attributes = dict(entry.attributes) if entry else {}
    for item in change.changes:
        before = attributes.get(_key(item.attribute), ())
        match item.operation:
            case "add":
                after = (*before, *item.values)
            case "delete":
                after = tuple(value for value in before if value not in item.values)
            case "replace":
                after = item.values
            case _:
                assert_never(item.operation)
        attributes[_key(item.attribute)] = after
    return Entry(dn=change.dn, attributes=attributes)


def _key(attribute: str) -> str:
    return attribute.partition(";")[0].lower()
