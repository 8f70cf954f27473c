"""What a mail program left out is added once, for all copies alike."""

from __future__ import annotations

import re

import pytest

from smimegw.mime.entity import Entity
from tests.fakes.company import Company, message

ALICE, PLAIN, SIG = "alice@ours.example", "plain@else.example", "sig@signed.example"


@pytest.fixture(scope="module")
def company() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    return company


def fields(company: Company, content: bytes, role: str = "submission") -> list[dict[str, str]]:
    """Date and Message-ID of each copy for Plain and Sig."""
    arrived = company.world.relay.arrived
    arrived.clear()
    company.world.ledger.entries.clear()
    user = ALICE if role == "submission" else ""
    assert company.send(role, [PLAIN, SIG], content, user=user).reply.code == 250
    return [
        {
            name: b" | ".join(entry.body.strip() for entry in header.all(name)).decode()
            for name in ("date", "message-id")
        }
        for header in (Entity.parse(entry.content).header for entry in arrived)
    ]


def without(*names: str) -> bytes:
    lines = message(ALICE, f"{PLAIN}, {SIG}").split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(tuple(n.encode() for n in names))]
    return b"\r\n".join(kept)


def test_missing_fields_are_added_to_every_copy_alike(company: Company) -> None:
    """One Date and one Message-ID, in the clear copy and in the signed one (P12)."""
    clear, signed = fields(company, without("date:", "message-id:"))
    assert clear == signed
    assert re.fullmatch(r"<[0-9A-Za-z]{14}@gw\.ours\.example>", clear["message-id"])
    assert re.fullmatch(r"\w{3}, \d{1,2} \w{3} \d{4} [\d:]{8} \+0000", clear["date"])


def test_fields_that_are_there_stay(company: Company) -> None:
    """Whatever their values are (P12)."""
    for copy in fields(company, without()):
        assert copy == {"date": "Mon, 23 Nov 2026 12:00:00 +0000", "message-id": "<1@test>"}


def test_what_mail_servers_relay_is_not_completed(company: Company) -> None:
    """RFC 5321, 6.4: a relay changes no content beyond its trace (P12)."""
    for copy in fields(company, without("date:", "message-id:"), role="relay"):
        assert copy == {"date": "", "message-id": ""}
