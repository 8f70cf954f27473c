"""Shadow mode: everything is decided and recorded, and what came goes on unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from smimegw.pipeline.admit import Gateway
from smimegw.smtp.reply import Reply
from tests.fakes.company import Company, message
from tests.flow.protected import encrypted, signed

ALICE, BOB = "alice@ours.example", "bob@partner.example"


def kinds(company: Company) -> dict[str, Mapping[str, Any]]:
    """The last record of each kind."""
    records = company.world.records
    return {entry["kind"]: entry for entry in (*records.written, *records.noted)}


@pytest.fixture
def shadow() -> Company:
    """A gateway that looks on."""
    company = Company()
    company.user(ALICE)
    company.settings = replace(company.settings, shadow=True)
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    return company


def _is_unchanged(arrived: bytes, content: bytes) -> bool:
    return arrived.startswith(b"Received: ") and arrived.endswith(b"\r\n" + content)


def test_shadow_hands_on_what_came_and_records_what_would_be(shadow: Company) -> None:
    """Nothing but our Received field is new; the record says sign-then-encrypt."""
    shadow.partner(BOB)
    content = message(ALICE, BOB)
    assert shadow.send("relay", [BOB], content).reply.code == 250
    (arrived,) = shadow.arrived
    assert _is_unchanged(arrived, content)
    found = kinds(shadow)
    assert all(entry["shadow"] is True for entry in found.values())
    assert found["decision"]["recipients"][0]["protect"] == "sign+encrypt"
    assert found["decision"]["groups"][0]["cipher"]
    assert found["rehearsal"]["reply"].startswith("250 ")
    assert found["delivery"]["recipients"][0]["relay"] == "memory[127.0.0.1]:25"


@pytest.mark.parametrize(
    ("sender", "to", "row"),
    [
        (ALICE, BOB, "R-01"),
        ("x@else.example", BOB, "R-12"),
        ("none@ours.example", "x@signed.example", "R-10"),
    ],
)
def test_shadow_refuses_nothing(shadow: Company, sender: str, to: str, row: str) -> None:
    """What would be refused goes on, and is recorded with its row."""
    content = message(sender, to)
    assert shadow.send("relay", [to], content, reverse_path=sender).reply.code == 250
    assert _is_unchanged(shadow.arrived[0], content)
    assert row in str([shadow.world.records.written, shadow.world.records.noted])


@pytest.mark.parametrize("broken", ["keystore", "directory", "records"])
def test_shadow_goes_on_when_something_is_broken(shadow: Company, broken: str) -> None:
    """No fault of ours stops mail that we only look at (R-06, R-13, R-20)."""
    shadow.partner(BOB)
    if broken == "keystore":
        shadow.world.keystore.locked = True
    else:
        getattr(shadow.world, broken).broken = True
    content = message(ALICE, BOB)
    assert shadow.send("relay", [BOB], content).reply.code == 250
    assert _is_unchanged(shadow.arrived[0], content)


def test_shadow_goes_on_after_a_bug(shadow: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rehearsal meets (R-17)."""

    def bug(*_: object, **__: object) -> None:
        raise ValueError("bug")

    monkeypatch.setattr("smimegw.pipeline.outbound.plan", bug)
    assert shadow.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert kinds(shadow)["rehearsal"]["refusal"] == "R-17"
    assert shadow.world.events.named("internal.error")


def test_shadow_leaves_inbound_mail_closed(shadow: Company) -> None:
    """Encrypted and signed mail goes on as it came, without fields of ours."""
    bob = shadow.ca.issue(BOB)
    alice = shadow.world.keystore.held[0]
    content = encrypted(signed(message(BOB, ALICE), bob), shadow.ca, alice)
    assert shadow.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    assert _is_unchanged(shadow.arrived[0], content)
    (entry,) = kinds(shadow)["decision"]["recipients"]
    assert (entry["signed"], entry["encrypted"]) == ("pass", "decrypted")


def test_shadow_refuses_what_the_next_hop_refuses(shadow: Company) -> None:
    """Its word is the client's."""
    shadow.world.relay.script["dot"] = [Reply(550, "5.7.1", "spam")]
    outcome = shadow.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert outcome.reply.is_permanent


def test_shadow_marks_its_decisions_in_the_log(shadow: Company) -> None:
    """Nobody may take a rehearsal for a protection."""
    shadow.partner(BOB)
    shadow.send("relay", [BOB], message(ALICE, BOB))
    assert [e["shadow"] for e in shadow.world.events.named("recipient.decided")] == ["yes"]
    (delivered,) = shadow.world.events.named("recipient.delivered")
    assert delivered["protect"] == "none"


def test_shadow_sends_to_every_recipient_in_one_copy(shadow: Company) -> None:
    """As without us, Bcc and all; nothing is split."""
    shadow.partner(BOB)
    to = [BOB, "x@else.example"]
    shadow.send("relay", to, message(ALICE, BOB))
    assert [entry.recipients for entry in shadow.world.relay.arrived] == [to]
