"""The reckoning itself: it sees what was lost, doubled, read or bounced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tests.ha.cluster import Cluster
from tests.ha.load import Attempt, Sent
from tests.ha.next_hop import Arrival
from tests.ha.reckoning import reckon

BOB = "bob@partner.example"


@dataclass
class Log:
    """A node, as far as it is asked."""

    entries: list[dict[str, str]] = field(default_factory=list)

    def everything(self, name: str) -> list[dict[str, str]]:
        return [entry for entry in self.entries if entry["event"] == name]


@dataclass
class Story:
    """A cluster after a message that one client was told 250 of."""

    nodes: list[Log] = field(default_factory=lambda: [Log(), Log()])
    arrivals: list[Arrival] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    code: int = 250

    @property
    def next_hop(self) -> Story:
        return self

    def readable_places(self) -> list[str]:
        return self.places

    def arrives(self, *, readable: bool = False) -> None:
        self.arrivals.append(Arrival(message="1@test", recipients=(BOB,), readable=readable))

    @property
    def flaws(self) -> list[str]:
        attempt = Attempt(mail="1@test", number=1, begun=0.0, code=self.code)
        told = [("1@test", BOB)] if self.code == 250 else []
        sent = Sent(attempts=[attempt], told=told, begun=1)
        return reckon(cast("Cluster", self), sent).flaws


@pytest.fixture
def story() -> Story:
    return Story()


def doubt(**changed: Any) -> dict[str, str]:
    return {"event": "delivery.in_doubt", "message_id": "<1@test>", "to": BOB, **changed}


def test_what_arrived_once_is_fine(story: Story) -> None:
    """Told and there."""
    story.arrives()
    assert story.flaws == []


def test_what_did_not_arrive_is_lost(story: Story) -> None:
    """Told and not there."""
    assert story.flaws == [f"lost: [('1@test', '{BOB}')]"]


def test_a_duplicate_needs_a_line(story: Story) -> None:
    """Twice, and nobody was in doubt."""
    story.arrives()
    story.arrives()
    assert story.flaws == [f"duplicates that nothing explains: [('1@test', '{BOB}')]"]


def test_a_line_explains_one_duplicate_and_no_more(story: Story) -> None:
    """Three times with one line: the third is unexplained."""
    story.nodes[1].entries.append(doubt())
    for _ in range(2):
        story.arrives()
    assert story.flaws == []
    story.arrives()
    assert story.flaws == [f"duplicates that nothing explains: [('1@test', '{BOB}')]"]


@pytest.mark.parametrize("other", [{"to": "eve@evil.example"}, {"message_id": "<2@test>"}])
def test_a_line_about_something_else_explains_nothing(story: Story, other: Any) -> None:
    """Message and recipient must be the same."""
    story.nodes[0].entries.append(doubt(**other))
    story.arrives()
    story.arrives()
    assert len(story.flaws) == 1


def test_a_readable_copy_is_seen(story: Story) -> None:
    """The rule encrypts for partner.example."""
    story.arrives(readable=True)
    assert story.flaws == ["readable copies: 1"]


def test_content_in_a_file_is_seen(story: Story) -> None:
    """Journal, log, database, whatever."""
    story.arrives()
    story.places.append("state/dots.jsonl")
    assert story.flaws == ["content in files: ['state/dots.jsonl']"]


def test_a_bounce_is_seen(story: Story) -> None:
    """Nothing that these tests do is a reason to refuse for good."""
    story.code = 554
    assert story.flaws == ["bounced: [('1@test', 1, 554)]"]
