"""Whose results a field claims to hold, in whatever spelling."""

from __future__ import annotations

import pytest

from smimegw.smtp.authserv_id import authserv_id, comparable


@pytest.mark.parametrize(
    "body",
    [
        "gw.corp.example; smime=pass",
        "gw.corp.example;smime=pass",
        "gw.corp.example",
        "gw.corp.example 1; none",
        " \t gw.corp.example ; none",
        "GW.Corp.EXAMPLE; none",
        "gw.corp.example.; none",
        '"gw.corp.example"; none',
        '"gw.corp\\.example"; none',
        "(comment) gw.corp.example (more (nested) \\) here) 1 (x); none",
        "gw.corp.example\r\n\t; none",
        "ｇｗ.corp。example; none",
        "i=1; gw.corp.example; none",
        "i = 12 ;gw.corp.example; none",
        '(")gw.corp.example; none',
    ],
)
def test_every_spelling_of_our_name_is_recognised(body: str) -> None:
    """Comments, folding, quotes, case, a trailing dot, wide letters, ARC's instance (K03)."""
    assert authserv_id(body.encode()) == "gw.corp.example"


def test_labels_of_other_scripts_compare_by_a_label() -> None:
    """U-label and A-label are one name (RFC 5891)."""
    assert authserv_id("Bücher.example; none".encode()) == "xn--bcher-kva.example"
    assert authserv_id(b"XN--BCHER-KVA.example; none") == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"; none",
        b"smime=pass",
        b"(gw.corp.example; none",
        b"gw.corp.example); none",
        b'"gw.corp.example; none',
        b"gw.corp.example\\",
        b"gw.corp.example evil; none",
        b"gw.corp\0.example; none",
        b"gw.corp.example\xff; none",
        b'""; none',
        b'"a b"; none',
        b"(" * 50_000,
    ],
)
def test_what_cannot_be_parsed_has_no_name(body: bytes) -> None:
    """Such fields are removed: another reader might see our name in them (K05)."""
    assert authserv_id(body) is None


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"other.example; smime=pass", "other.example"),
        (b"gw_1.corp.example; none", "gw_1.corp.example"),
        (b"GW_1.corp.example.; none", "gw_1.corp.example"),
        (b"other.example; smime=pass (gw.corp.example)", "other.example"),
        (b"(gw.corp.example) other.example; none", "other.example"),
    ],
)
def test_foreign_names_are_foreign(body: bytes, name: str) -> None:
    """Fields of others are kept by default (K05)."""
    assert authserv_id(body) == name


def test_configured_names_use_the_same_form() -> None:
    """Both sides of the comparison come through one function."""
    assert comparable("GW.Corp.Example.") == comparable("gw.corp.example")
