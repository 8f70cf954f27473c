"""LDIF and distinguished names as other programs read them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ldap3.utils.dn import parse_dn

from smimegw.adapters.ldap.ldif import (
    AddEntry,
    AttributeChange,
    ModifyEntry,
    write_dn,
    write_ldif,
)


def read_values(text: str) -> list[tuple[str, bytes]]:
    """Unfold and decode, as RFC 2849 says."""
    found = []
    for line in text.replace("\n ", "").splitlines():
        name, _, value = line.partition(":")
        octets = base64.b64decode(value[1:]) if value.startswith(":") else value[1:].encode()
        found.append((name, octets))
    return found


@given(st.binary(max_size=300))
@example(b"")
@example(b" begins with a space")
@example(b"ends with a space ")
@example(b":colon")
@example(b"<file:///etc/passwd")
@example(b"two\nlines")
@example(b"carriage\rreturn")
@example(b"zero\0")
@example(b"a reader of lines ends one here: \x0b")
def test_every_value_survives(value: bytes) -> None:
    """Whatever an attribute holds is read back octet by octet (RFC 2849, note 4)."""
    entry = AddEntry(dn="cn=x", attributes=(("description", (value,)),))
    assert read_values(write_ldif(entry))[2:] == [("description", value)]


@given(st.binary(min_size=100, max_size=2000))
def test_no_line_is_longer_than_76_octets(value: bytes) -> None:
    """Some readers take no more (RFC 2849, note 10)."""
    entry = AddEntry(dn="cn=x", attributes=(("userCertificate;binary", (value,)),))
    assert max(map(len, write_ldif(entry).splitlines())) <= 76


def test_a_value_that_begins_like_a_url_is_not_one() -> None:
    """``attribute:<`` would read a file on the administrator's machine (RFC 2849)."""
    entry = AddEntry(dn="cn=x", attributes=(("cn", (b"< file:///etc/passwd",)),))
    assert "cn:: " in write_ldif(entry)


def test_a_change_ends_each_attribute_with_a_hyphen() -> None:
    """The form of ldapmodify (RFC 2849, mod-spec)."""
    change = ModifyEntry(
        dn="cn=x",
        changes=(
            AttributeChange(operation="add", attribute="mail", values=(b"a@b.example",)),
            AttributeChange(operation="replace", attribute="description", values=()),
        ),
    )
    assert write_ldif(change) == (
        "dn: cn=x\nchangetype: modify\nadd: mail\nmail: a@b.example\n-\nreplace: description\n-\n"
    )


@pytest.mark.parametrize(
    "value",
    ["plain", "a,b", "a+b", 'a"b', "a\\b", "<a>", "a;b", "a=b", "#a", " a ", "Böb", "a\\,b", "  "],
)
def test_a_name_is_one_value_of_one_rdn(value: str) -> None:
    """No character of a person's name becomes structure (RFC 4514, 2.4)."""
    parsed = parse_dn(write_dn("cn", value, "ou=people,dc=example"))
    assert [part[0] for part in parsed] == ["cn", "ou", "dc"]
