"""How this CA decides on requests and renews: three tables of ca.toml.

A certification practice in few words (RFC 3647): who approves, whose addresses, what of twins.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from enum import StrEnum

TEXT = """
[requests]
second_person = {second_person}      # nobody approves what he asked for himself
days = {days}                  # a request that is not issued by then expires
# whose mailboxes: "domains" takes every address in our domains, "directory" those only that the
# table directory below knows
addresses = {addresses}
# for a mailbox that has a valid certificate of the profile: "allow", "refuse", or "supersede",
# which revokes the older one
duplicates = {duplicates}

[renewal]
days = {renewal_days}                  # `renew --due` renews what ends within that many days
overlap = {overlap_days}               # a new encryption certificate is published so many days
                           # before the old one ends: the new key has to be handed out first

[directory]                # where people are found: `issue --from-ldap`, addresses = "directory"
url = {url}                   # "ldaps://ldap.corp.example"; several separated by spaces
bind_dn = {bind_dn}
password_file = {password_file}         # the first line of this file
base = {base}
filter = {filter}  # finds one person by address
ca = {ca}                    # CA certificates for TLS, PEM; empty means those of the system
"""


class Addresses(StrEnum):
    """Which mailboxes are ours."""

    DOMAINS = "domains"
    DIRECTORY = "directory"


class Duplicates(StrEnum):
    """What becomes of a second certificate with the same profile for the same mailbox."""

    ALLOW = "allow"
    REFUSE = "refuse"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """The values of the three tables; see the comments in the file itself."""

    second_person: bool = False
    days: int = 14
    addresses: Addresses = Addresses.DOMAINS
    duplicates: Duplicates = Duplicates.ALLOW
    renewal_days: int = 30
    overlap_days: int = 14
    url: str = ""
    bind_dn: str = ""
    password_file: str = ""
    base: str = ""
    filter: str = "(mail=%{address})"
    ca: str = ""


_PLACES: dict[tuple[str, str], str] = {
    **{("requests", key): key for key in ("second_person", "days", "addresses", "duplicates")},
    ("renewal", "days"): "renewal_days",
    ("renewal", "overlap"): "overlap_days",
    **{
        ("directory", key): key
        for key in ("url", "bind_dn", "password_file", "base", "filter", "ca")
    },
}
TABLES = ("requests", "renewal", "directory")
_KIND = {bool: "true or false", int: "a whole number", str: "a text"}


def write(practice: Practice) -> str:
    """Return the text of the tables."""
    values = {field.name: getattr(practice, field.name) for field in fields(practice)}
    return TEXT.format(**{name: json.dumps(value) for name, value in values.items()})


def parse(tables: dict[str, object]) -> tuple[Practice, dict[str, str]]:
    """Read the tables; the second value says for each wrong key what is wrong with it."""
    values: dict[str, object] = {}
    troubles: dict[str, str] = {}
    for table, content in tables.items():
        if not isinstance(content, dict):
            troubles[table] = "is no table"
            continue
        for key, value in content.items():
            name = _PLACES.get((table, key), "")
            trouble = _trouble(name, value) if name else _unknown(table, key)
            if trouble:
                troubles[f"{table}.{key}"] = trouble
            else:
                values[name] = value
    if not troubles:
        troubles = _contradictions(values)
    if troubles:
        return Practice(), troubles
    return _practice(values), {}


def _trouble(name: str, value: object) -> str:
    default = getattr(Practice(), name)
    kind = str if isinstance(default, StrEnum) else type(default)
    if type(value) is not kind:
        return f"{value!r} is not {_KIND[kind]}"
    if isinstance(default, StrEnum) and value not in (allowed := [*type(default)]):
        return f"{value!r} is unknown; allowed: {', '.join(allowed)}"
    if kind is int and not (isinstance(value, int) and 1 <= value <= 999):
        return f"{value} is out of range; 1 to 999 are allowed"
    return ""


def _unknown(table: str, key: str) -> str:
    known = [name for where, name in _PLACES if where == table]
    near = difflib.get_close_matches(key, known, n=1)
    return "unknown key." + (f"  Did you mean {near[0]}?" if near else "")


def _contradictions(values: dict[str, object]) -> dict[str, str]:
    chosen = _practice(values)
    if chosen.overlap_days > chosen.renewal_days:
        return {
            "renewal.overlap": f"{chosen.overlap_days} days before the end nothing new is there to "
            f"be published: renewal.days is {chosen.renewal_days}. Make that one larger"
        }
    if chosen.addresses is Addresses.DIRECTORY and not (chosen.url and chosen.base):
        return {"requests.addresses": '"directory" needs url and base in the table directory'}
    return {}


def _practice(values: dict[str, object]) -> Practice:
    kinds = {"addresses": Addresses, "duplicates": Duplicates}
    made = {
        name: kinds[name](str(value)) if name in kinds else value for name, value in values.items()
    }
    return Practice(**made)  # type: ignore[arg-type]  # each was looked at above
