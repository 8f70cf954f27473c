"""Header fields that are hidden, or said to be: nothing else tells them, nobody adds to them."""

from __future__ import annotations

import pytest

from tests.attacks.test_header_protection import EVE, KIND, REAL, Scene, payload, sign
from tests.flow.canary import is_readable
from tests.flow.test_header_protection import SECRET, Pair, fields, hidden


@pytest.mark.parametrize(
    "field",
    [
        f"Thread-Topic: {SECRET}",
        f"Thread-Topic: [hide] {SECRET}",
        f"X-Original-Subject: [SPAM] {SECRET}",
        f"X-Spam-Prev-Subject: [hide] {SECRET}",
        f"Old-Subject: {SECRET.upper()}",
        f"X-Copy: {SECRET}",
        "X-Copy:\r\n " + SECRET.replace(" ", "\r\n "),
    ],
    ids=range(7),  # names that hold chance cannot be shared among workers
)
def test_hidden_subject_is_not_repeated_by_another_field(field: str) -> None:
    """Outlook writes Thread-Topic, filters X-Spam-Prev-Subject (RFC 9788, 3.1: nothing hidden)."""
    pair = Pair()
    wire = pair.send(hidden(extra=f"{field}\r\n"))
    assert fields(wire, "subject") == ["[...]"]
    assert not is_readable(SECRET.split()[1].encode(), wire.lower())
    assert fields(pair.receive(wire), "subject") == [SECRET]


def test_topic_of_the_thread_comes_back_with_the_subject() -> None:
    """It was hidden with it; Outlook sorts by it."""
    pair = Pair()
    arrived = pair.receive(pair.send(hidden(extra=f"Thread-Topic: {SECRET}\r\n")))
    assert fields(arrived, "thread-topic") == [SECRET]


def test_fields_that_only_look_like_the_subject_stay_readable() -> None:
    """Who it is for is never hidden, whatever the Subject says."""
    pair = Pair()
    wire = pair.send(hidden(subject="bob@partner.example", extra="Importance: high\r\n"))
    assert fields(wire, "to") == ["bob@partner.example"]
    assert fields(wire, "importance") == ["high"]


@pytest.mark.parametrize("form", ["clear", "cipher"])
@pytest.mark.parametrize("name", ["Reply-To", "REPLY-TO", "Cc"])
def test_address_for_answers_that_was_added_on_the_way_is_told(name: str, form: str) -> None:
    """Eve puts it on Bob's mail, and Alice's answer quotes it to her (T-05; RFC 9788, 4.4)."""
    scene = Scene()
    inside = REAL if form == "cipher" else REAL.partition("HP-Outer")[0]
    entity = sign(payload(inside, KIND.replace("cipher", form)), scene.bob)
    if form == "cipher":
        entity = scene.encrypt(entity)
    (told,) = fields(scene.receive(entity, extra=f"{name}: {EVE}\r\n"), "x-smimegw-header")
    changed = told.partition("changed=")[2].partition(";")[0].lower()
    assert name.lower() in changed.split(",")


def test_field_that_a_server_adds_is_no_change() -> None:
    """Message-ID and Date are often written after the mail program protected the others."""
    scene = Scene()
    entity = sign(
        payload(REAL.partition("HP-Outer")[0], KIND.replace("cipher", "clear")), scene.bob
    )
    (told,) = fields(scene.receive(entity, subject="inner"), "x-smimegw-header")
    assert "changed" not in told
