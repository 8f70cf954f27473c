"""Header Confidentiality Policies: what of a header section stays readable outside."""

from __future__ import annotations

import pytest

from smimegw.mime.confidentiality import (
    HeaderConfidentiality,
    HeaderProtection,
    concealed,
    is_protected,
)
from smimegw.mime.entity import Entity

SHY = HeaderProtection(confidentiality=HeaderConfidentiality.SHY)


def outside(field: bytes, wish: HeaderProtection) -> bytes:
    return concealed(Entity.parse(field + b"\r\n\r\n").header, wish).raw.rstrip(b"\r\n")


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (b"From: Alice A. <alice@ours.example>", b"From: alice@ours.example"),
        (b'To: "B, Bob" <bob@a.example>, c@b.example', b"To: bob@a.example, c@b.example"),
        (b"Cc: Team: bob@a.example, c@b.example;", b"Cc: bob@a.example, c@b.example"),
        (b"To: undisclosed-recipients:;", b"To: undisclosed-recipients:;"),
        (b"From: nonsense", b"From: nonsense"),
        ("To: Jörg <jörg@a.example>".encode(), "To: jörg@a.example".encode()),
        (b"Date: Tue, 24 Nov 2026 01:30:00 +0230", b"Date: Mon, 23 Nov 2026 23:00:00 +0000"),
        (b"Date: Mon, 23 Nov 2026 23:00:00 -0000", b"Date: Mon, 23 Nov 2026 23:00:00 +0000"),
        (b"Date: Mon, 23 Nov 2026 23:00:00", b"Date: Mon, 23 Nov 2026 23:00:00 +0000"),
        (b"Date: yesterday", b"Date: yesterday"),
        (b"Date: Fri, 31 Dec 9999 23:59:59 -0500", b"Date: Fri, 31 Dec 9999 23:59:59 -0500"),
        (b"Reply-To: Alice <a@ours.example>", b"Reply-To: Alice <a@ours.example>"),
        (b"Subject: Plan", b"Subject: [...]"),
        (b"SUBJECT: Plan", b"Subject: [...]"),
        (b"Keywords: a", b""),
    ],
)
def test_shy_shows_addresses_and_universal_time(field: bytes, shown: bytes) -> None:
    """hcp_shy; what cannot be read stays (RFC 9788, 3.2.2)."""
    assert outside(field, SHY) == shown


@pytest.mark.parametrize("policy", [HeaderConfidentiality.NONE, HeaderConfidentiality.OFF])
def test_policies_that_hide_nothing_change_no_octet(policy: HeaderConfidentiality) -> None:
    """hcp_no_confidentiality (RFC 9788, 3.2.3)."""
    wish = HeaderProtection(confidentiality=policy, hidden_fields=("x-a",))
    field = b"Subject:  Plan\r\nX-A: b"
    assert outside(field, wish) == field


def test_named_fields_are_removed_whatever_their_case() -> None:
    """Field names are compared without case (RFC 5322, 1.2.2)."""
    wish = HeaderProtection(
        confidentiality=HeaderConfidentiality.BASELINE, hidden_fields=("user-agent",)
    )
    assert outside(b"USER-Agent: x\r\nX-Other: y", wish) == b"X-Other: y"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("from", "subject", "list-id", "x-anything", "in-reply-to")),
        *((name, False) for name in ("content-type", "mime-version", "content-x", "bcc")),
        *((name, False) for name in ("received", "return-path", "resent-to", "arc-seal")),
        *((name, False) for name in ("authentication-results", "x-smimegw-status", "hp-outer")),
        ("", False),
    ],
)
def test_fields_of_the_author_are_protected(name: str, expected: bool) -> None:
    """Structural fields, Bcc and fields of the way are not (RFC 9787, 1.1.1; RFC 9788, 11.4)."""
    assert is_protected(name) is expected
