"""A Subject from outside that claims what only the gateway may say (K09, T-01)."""

from __future__ import annotations

import pytest

from smimegw.mime.entity import Entity
from smimegw.mime.headers import decode_words
from tests.attacks.test_header_protection import REAL, Scene, payload, sign
from tests.fakes.company import POLICY, Company, message

ALICE, BOB = "alice@ours.example", "bob@partner.example"
MARK = "[signed]"
MARKED = REAL.replace("Subject: inner", f"Subject: {MARK} inner")
CYRILLIC = "=?utf-8?q?=5B=D1=95=D1=96gned=5D?="  # [ѕіgned]


def subjects(content: bytes) -> list[str]:
    return [decode_words(entry.body) for entry in Entity.parse(content).header.all("subject")]


def fields(content: bytes, name: str) -> list[str]:
    return [entry.body.decode() for entry in Entity.parse(content).header.all(name)]


class Watching(Scene):
    """Alice's company looks at Subjects."""

    def __init__(self) -> None:
        super().__init__()
        self.company = Company(policy=POLICY, subject_marks=(MARK,))
        self.alice = self.company.user(ALICE)
        self.bob = self.company.ca.issue(BOB)


@pytest.fixture
def scene() -> Watching:
    return Watching()


@pytest.mark.parametrize("mark", [MARK, "[S I G N E D]", CYRILLIC, "(signed)"])
def test_mark_goes_and_is_counted(scene: Watching, mark: str) -> None:
    """Also disguised; the rest of the Subject and the body stay (cases K09)."""
    content = message(BOB, ALICE, subject=f"{mark} invoice")
    assert scene.company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    (arrived,) = scene.company.arrived
    assert subjects(arrived) == ["invoice"]
    assert fields(arrived, "x-smimegw-removed") == ["n=1"]
    assert Entity.parse(arrived).body == Entity.parse(content).body
    (event,) = scene.company.world.events.named("header.removed")
    assert event["count"] == 1


def test_mark_and_field_are_counted_together(scene: Watching) -> None:
    """Two things were taken away."""
    content = message(BOB, ALICE, subject=f"{MARK} x", extra="X-Smimegw-Status: signed=pass\r\n")
    scene.company.send("mx", [ALICE], content, reverse_path=BOB)
    assert fields(scene.company.arrived[0], "x-smimegw-removed") == ["n=2"]


def test_mark_under_a_clear_signature_stays_and_the_outer_one_goes(scene: Watching) -> None:
    """Not one signed octet changes, and the signature passes (cases K09)."""
    entity = sign(payload(MARKED, 'Content-Type: text/plain; hp="clear"\r\n'), scene.bob)
    arrived = scene.receive(entity, subject=f"{MARK} inner")
    assert Entity.parse(arrived).body == entity.body
    assert MARK.encode() in entity.body
    assert subjects(arrived) == ["inner"]
    assert "smime=pass" in fields(arrived, "authentication-results")[0]


def test_mark_in_a_subject_from_inside_does_not_come_out(scene: Watching) -> None:
    """What is adopted stands outside, where people read results (cases K09)."""
    arrived = scene.receive(scene.encrypt(sign(payload(MARKED), scene.bob)))
    assert subjects(arrived) == ["inner"]
    assert "adopted=Subject" in fields(arrived, "x-smimegw-header")[0]


def test_without_configuration_a_subject_is_as_it_came() -> None:
    """Nobody is told results there, so nothing is forged."""
    scene = Scene()
    content = message(BOB, ALICE, subject=f"{CYRILLIC} {MARK} invoice")
    scene.company.send("mx", [ALICE], content, reverse_path=BOB)
    assert f"Subject: {CYRILLIC} {MARK} invoice\r\n".encode() in scene.company.arrived[0]


def test_own_users_may_write_what_they_like() -> None:
    """Marks are looked for in mail from outside only."""
    company = Company(policy=POLICY, subject_marks=(MARK,))
    company.user(ALICE)
    content = message(ALICE, "x@third.example", subject=f"{MARK} invoice")
    assert company.send("relay", ["x@third.example"], content).reply.code == 250
    assert subjects(company.arrived[0]) == [f"{MARK} invoice"]
