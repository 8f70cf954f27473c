"""Header fields that are hidden, or said to be: nothing else tells them, nobody adds to them."""

from __future__ import annotations

import pytest

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
