"""Says whether a line of JSON has the shape of a record, so that readers need not ask again.

Half lines, other programs' lines and what somebody edited are passed over by who tells and counts;
`record_chain.verify` is what finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXTS = (
    *("txn", "at", "kind", "node", "from", "reverse_path", "message_id", "upstream_id"),
    *("received_at", "reply", "news", "why"),
)
_TEXTS_INSIDE = ("rcpt", "relay", "reply")


def is_record(found: Mapping[str, Any]) -> bool:
    """Whether *found* can be read as a record: what has to be text, number or list is that."""
    return (
        all(isinstance(found.get(key, ""), str) for key in _TEXTS)
        and _is_count(found.get("size", 0))
        and all(_is_recipient(entry) for entry in _entries(found, "recipients"))
        and all(_is_group(entry) for entry in _entries(found, "groups"))
    )


def _entries(found: Mapping[str, Any], key: str) -> list[Any]:
    entries = found.get(key, [])
    return entries if isinstance(entries, list) else [None]


def _is_recipient(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(key, ""), str) for key in _TEXTS_INSIDE
    )


def _is_group(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and _is_count(entry.get("size", 0))
        and all(isinstance(address, str) for address in _entries(entry, "recipients"))
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
