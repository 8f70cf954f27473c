"""Search filters: the one place where a value enters a filter, always escaped (RFC 4515, 3)."""

from __future__ import annotations

import re

from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import compile_filter, parse_filter

from smimegw.addresses import Mailbox
from smimegw.errors import ConfigurationError, Problem

_PLACEHOLDER = re.compile(r"%\{([^}]*)\}?")
_PLACEHOLDERS = ("address", "local_part", "domain")
_UNCHANGED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-")


class FilterTemplate:
    """A filter with places for a mailbox, such as ``(mail=%{address})``.

    ``%{address}`` is the whole address, ``%{local_part}`` and ``%{domain}`` its two sides.
    """

    def __init__(self, template: str, *, origin: str = "") -> None:
        """Check *template*.

        Raises:
            ConfigurationError: Not a filter, an unknown placeholder, or none at all; *origin*
                names the directory in the text.
        """
        problem = _problem_of(template)
        if problem:
            raise ConfigurationError(
                (Problem(file=origin, line=None, key="filter", message=problem),)
            )
        self._template = template

    def write(self, mailbox: Mailbox) -> str:
        """Return the filter for *mailbox*."""
        values = {
            "address": mailbox.address,
            "local_part": mailbox.local_part,
            "domain": mailbox.domain,
        }
        return _PLACEHOLDER.sub(lambda found: escape(values[found[1]]), self._template)


def escape(value: str | bytes) -> str:
    """Return *value* so that it can only be an assertion value, nothing of the filter around it.

    RFC 4515 demands it for NUL, parentheses, asterisk and backslash; the client library drops
    spaces at the ends too, so everything outside a short list is written as ``\\XX``.
    """
    octets = value.encode() if isinstance(value, str) else value
    return "".join(chr(octet) if octet in _UNCHANGED else f"\\{octet:02x}" for octet in octets)


def _problem_of(template: str) -> str:
    names = _PLACEHOLDER.findall(template)
    allowed = ", ".join(f"%{{{name}}}" for name in _PLACEHOLDERS)
    unknown = [name for name in names if name not in _PLACEHOLDERS]
    if unknown:
        return f"unknown placeholder %{{{unknown[0]}}}; allowed are {allowed}"
    if not names:
        return (
            f"no placeholder, so it would find the same entry for everybody; use one of {allowed}"
        )
    try:
        sample = _PLACEHOLDER.sub("x", template)
        # ldap3's own reading of a filter, the one that a search will use; it has no types
        tree = parse_filter(sample, None, False, False, None, False)  # type: ignore[no-untyped-call]
        compile_filter(tree.elements[0])  # type: ignore[no-untyped-call]
    except (LDAPExceptionError, ValueError, IndexError, AttributeError) as error:
        return f"{template!r} is not an LDAP filter (RFC 4515): {error}; write (mail=%{{address}})"
    return ""
