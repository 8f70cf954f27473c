"""Answers to mail that came encrypted do not leave in clear (R-23)."""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.limits import Limits
from smimegw.memory import SightingKind
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.pipeline.thread import answered_marks
from smimegw.policy.parse import parse_policy
from tests.fakes.company import POLICY, Company, message
from tests.fakes.ports import ALL_EXTENSIONS, MemoryRelay
from tests.flow.protected import encrypted, signed

ALICE, CAROL = "alice@ours.example", "carol@ours.example"
BOB, PLAIN = "bob@partner.example", "plain@else.example"
REFUSED = "550 5.7.1 <plain@else.example>: reply to encrypted mail must be encrypted (R-23)"
ANSWER = "In-Reply-To: <1@test>\r\n"
CLEAR = 'then = { protect = "none"'
ALLOWED = POLICY.replace(CLEAR, f'{CLEAR}, quote_encrypted = "allow"')
MATRIX = Path(__file__).parents[2] / "policies/failure-matrix.toml"


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    return company


def receive(company: Company, content: bytes | None = None) -> None:
    """Encrypted mail from a stranger, Message-ID <1@test>."""
    alice = company.world.keystore.held[0]
    content = content or encrypted(message(PLAIN, ALICE), company.ca, alice)
    assert company.send("mx", [ALICE], content, reverse_path=PLAIN).reply.code == 250
    company.world.relay.arrived.clear()


def answer(company: Company, *to: str, extra: str = ANSWER) -> str:
    return str(company.send("relay", to, message(ALICE, ", ".join(to), extra=extra)).reply)


def test_answer_to_encrypted_mail_does_not_leave_in_clear(company: Company) -> None:
    """R-23: it may quote what came encrypted."""
    receive(company)
    assert answer(company, PLAIN) == REFUSED
    assert company.arrived == []


@pytest.mark.parametrize(
    "extra",
    [
        "References: <0@test> <1@test> <2@test>\r\n",
        "References: <0@test>\r\n\t<1@test>\r\n",
        "in-reply-to: (your mail of today) <1@test>\r\n",
        "References: <0@test><1@test>\r\n",
        "In-Reply-To: <9@test>\r\nReferences: <1@test>\r\n",
    ],
    ids=["references", "folded", "comment", "no space", "deep in the thread"],
)
def test_any_field_that_names_the_encrypted_mail_counts(company: Company, extra: str) -> None:
    """R-23: answers to answers quote it as well (RFC 5322, 3.6.4)."""
    receive(company)
    assert answer(company, PLAIN, extra=extra) == REFUSED


@pytest.mark.parametrize(
    "extra", ["", "In-Reply-To: <2@test>\r\n", "In-Reply-To: 1@test\r\n", "References: <>\r\n"]
)
def test_other_mail_leaves_as_its_rule_says(company: Company, extra: str) -> None:
    """R-23 is about answers only."""
    receive(company)
    assert answer(company, PLAIN, extra=extra).startswith("250")


def test_encrypted_answer_leaves(company: Company) -> None:
    """R-23: that is what is asked for."""
    company.partner(BOB, key="p256")
    receive(company)
    assert answer(company, BOB).startswith("250")


def test_signed_answer_is_readable_all_the_same(company: Company) -> None:
    """R-23: a signature hides nothing."""
    receive(company)
    assert "(R-23)" in answer(company, "x@signed.example")


def test_answer_to_somebody_inside_leaves(company: Company) -> None:
    """R-23: what the gateway opened is readable inside anyway."""
    receive(company)
    assert answer(company, CAROL).startswith("250")


def test_one_reader_outside_in_clear_stops_the_whole_answer(company: Company) -> None:
    """R-23: the reply names him, and nobody gets a copy."""
    company.partner(BOB, key="p256")
    receive(company)
    assert answer(company, BOB, CAROL, PLAIN) == REFUSED
    assert company.arrived == []


def test_fall_back_to_clear_is_none_in_an_encrypted_thread(company: Company) -> None:
    """R-23: the rule allows send-clear, for mail that quotes nothing."""
    receive(company)
    assert answer(company, "m@maybe.example", extra="").startswith("250")
    assert "(R-23)" in answer(company, "m@maybe.example")


def test_rule_may_allow_it() -> None:
    """R-23: ``quote_encrypted = "allow"``."""
    company = Company(policy=ALLOWED)
    company.user(ALICE, key="p256")
    receive(company)
    assert answer(company, PLAIN).startswith("250")


def test_failure_matrix_overrules_the_rule() -> None:
    """R-23: where the matrix leaves nothing to the policy, no rule can allow it."""
    company = Company(policy=ALLOWED)
    company.user(ALICE, key="p256")
    matrix = MATRIX.read_text("utf-8").replace(
        'encrypted          = { none = "policy"', 'encrypted          = { none = "refuse"'
    )
    files = [("p.toml", ALLOWED.encode()), ("failure-matrix.toml", matrix.encode())]
    company.gateway = Gateway(parse_policy(files), company.world.ports, company.settings)
    receive(company)
    assert answer(company, PLAIN) == REFUSED


def test_what_the_sender_encrypted_himself_leaves(company: Company) -> None:
    """R-23: a mail program that encrypts its answer quotes nothing in clear."""
    receive(company)
    plain = company.ca.issue(PLAIN, key="p256")
    content = encrypted(message(ALICE, PLAIN, extra=ANSWER), company.ca, plain)
    assert company.send("relay", [PLAIN], content).reply.code == 250


def test_clear_mail_leaves_no_mark(company: Company) -> None:
    """Signed mail neither: everybody could read it."""
    bob = company.ca.issue(BOB, key="p256")
    receive(company, signed(message(BOB, ALICE), bob))
    assert answer(company, PLAIN).startswith("250")


def test_mail_for_keys_of_others_leaves_no_mark(company: Company) -> None:
    """Nothing of it was opened here."""
    receive(company, encrypted(message(PLAIN, ALICE), company.ca, company.ca.issue(ALICE)))
    assert answer(company, PLAIN).startswith("250")


def test_mark_does_not_tell_whether_it_was_opened(company: Company) -> None:
    """It is made before the key is used, so neither reply nor time says anything (T-07)."""
    alice = company.world.keystore.held[0]
    whole = encrypted(message(PLAIN, ALICE), company.ca, alice)
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = body.split(b"\r\n")
    lines[-3] = lines[-3][:-8] + b"AAAAAAAA"
    receive(company, head + b"\r\n\r\n" + b"\r\n".join(lines))
    kinds = [kind for kind, _ in company.world.sightings.seen]
    assert kinds.count(SightingKind.THREAD) == 1


def test_answer_waits_while_nobody_can_tell(company: Company) -> None:
    """R-22: unknown is not "no"; mail that answers nothing, or stays inside, is not asked about."""
    company.partner(BOB, key="p256")
    company.world.sightings.broken = True
    assert answer(company, PLAIN) == "451 4.3.0 database not reachable, try later (R-22)"
    assert answer(company, PLAIN, extra="").startswith("250")
    assert answer(company, CAROL).startswith("250")
    assert answer(company, BOB).startswith("250")
    assert company.world.events.named("memory.error")[0]["code"] == "R-22"


def test_lmtp_client_hears_of_the_one_recipient(company: Company) -> None:
    """R-23: the others get their copies (RFC 2033, 4.2)."""
    company.world.relay = MemoryRelay(offers=ALL_EXTENSIONS)
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    company.partner(BOB, key="p256")
    receive(company)
    content = message(ALICE, f"{BOB}, {PLAIN}", extra=ANSWER)
    outcome = company.send("relay", [BOB, PLAIN], content, protocol="LMTP")
    assert [reply.code for reply in outcome.per_recipient] == [250, 550]


def test_only_the_nearest_references_are_looked_up() -> None:
    """A thread of years costs no more than one of days."""
    limits = Limits()
    thread = "".join(f" <{number}@test>\r\n" for number in range(500))
    extra = f"In-Reply-To: <499@test>\r\nReferences:{thread}"
    marks = answered_marks(Entity.parse(message(ALICE, PLAIN, extra=extra)).header, limits)
    assert len(marks) == limits.thread_references
    for number, is_near in ((499, True), (480, True), (479, False)):
        one = message(ALICE, PLAIN, extra=f"References: <{number}@test>\r\n")
        [mark] = answered_marks(Entity.parse(one).header, limits)
        assert (mark in marks) is is_near
