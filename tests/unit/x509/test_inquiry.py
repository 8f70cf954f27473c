"""Whom to ask about: what the evidence leaves open on paths that hold."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from smimegw.limits import Limits
from smimegw.x509 import inquiry
from smimegw.x509.evidence import Evidence
from smimegw.x509.inquiry import Inquiry, RevocationQuestion
from tests.fakes.pki import CA, DAY, NOW, PAST, Issued, make_ca

ROOT = make_ca("Inquiry Root")
ISSUING = make_ca("Inquiry CA", parent=ROOT)
STRANGER = make_ca("Inquiry Stranger")
ALICE = ISSUING.issue("alice@ours.example", key="p256", slot="inquiry")
FIRST = RevocationQuestion(ALICE.certificate, ISSUING.certificate)
SECOND = RevocationQuestion(ISSUING.certificate, ROOT.certificate)


def evidence(*crls: bytes, anchors: Any = (ROOT,), others: Any = (ISSUING,)) -> Evidence:
    return Evidence(
        trust_anchors=tuple(ca.certificate for ca in anchors),
        intermediates=tuple(ca.certificate for ca in others),
        crls=crls,
    )


def ask(held: Evidence, issued: Issued = ALICE, now: datetime = NOW, **options: Any) -> Any:
    return Inquiry().open_questions(issued.certificate, held, now, **options)


def test_every_certificate_but_the_anchor_is_a_question() -> None:
    """RFC 5280, 6.1: whose issuer is the administrator needs no list."""
    assert ask(evidence()) == (FIRST, SECOND)


def test_what_is_known_is_no_question() -> None:
    """Only what is left open."""
    assert ask(evidence(ISSUING.crl())) == (SECOND,)
    assert ask(evidence(ROOT.crl())) == (FIRST,)
    assert ask(evidence(ISSUING.crl(), ROOT.crl())) == ()


def test_list_in_grace_leaves_its_question_open() -> None:
    """There may be a newer one (R-05)."""
    overdue = ISSUING.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    assert ask(evidence(overdue, ROOT.crl())) == (FIRST,)


@pytest.mark.parametrize("crl", [ISSUING.crl([ALICE]), ROOT.crl([ISSUING])], ids=["own", "above"])
def test_revoked_path_is_no_question(crl: bytes) -> None:
    """Nothing that is fetched would mend it."""
    assert ask(evidence(crl)) == ()


def test_certificate_without_a_path_is_no_question() -> None:
    """Anybody can make one, with any URL in it (T-14)."""
    assert ask(evidence(), STRANGER.issue("alice@ours.example", key="p256")) == ()
    assert ask(evidence(others=())) == ()


def test_path_that_does_not_hold_is_no_question() -> None:
    """An ended certificate is refused anyway."""
    ended = ISSUING.issue("alice@ours.example", key="p256", not_after=PAST)
    assert ask(evidence(), ended) == ()


def cross_signed() -> tuple[CA, CA]:
    """A second root, and the issuing CA certified by it as well."""
    other = make_ca("Inquiry Other Root")
    return other, make_ca("Inquiry CA", parent=other)


def test_one_path_that_is_known_good_is_enough() -> None:
    """The other one is not needed."""
    other, again = cross_signed()
    both: Any = {"anchors": (ROOT, other), "others": (ISSUING, again)}
    assert ask(evidence(ISSUING.crl(), other.crl(), **both)) == ()
    assert set(ask(evidence(ISSUING.crl(), **both))) == {
        RevocationQuestion(again.certificate, other.certificate),
        SECOND,
    }


def test_search_has_its_budget() -> None:
    """`Limits.path_signatures` (cases H03)."""
    assert ask(evidence(), limits=Limits(path_signatures=1)) == ()


def test_answer_is_remembered_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same question again costs nothing; another list is another question."""
    searches: list[object] = []
    search = inquiry._search
    monkeypatch.setattr(
        inquiry, "_search", lambda *given: (searches.append(given), search(*given))[1]
    )
    asking = Inquiry()
    held = evidence(ISSUING.crl(), ROOT.crl())
    for seconds, expected in ((0, 1), (299, 1), (301, 2)):
        asking.open_questions(ALICE.certificate, held, NOW + timedelta(seconds=seconds))
        assert len(searches) == expected
    asking.open_questions(ALICE.certificate, evidence(ISSUING.crl()), NOW)
    assert len(searches) == 3


def test_answer_is_not_remembered_beyond_the_next_list() -> None:
    """What is fresh now may be overdue in a minute."""
    asking = Inquiry()
    held = evidence(ISSUING.crl(next_update=NOW + timedelta(seconds=60)), ROOT.crl())
    assert asking.open_questions(ALICE.certificate, held, NOW) == ()
    assert asking.open_questions(ALICE.certificate, held, NOW + timedelta(seconds=61)) == (FIRST,)


def test_memory_is_bounded() -> None:
    """By number, and what is old goes."""
    asking = Inquiry(size=2)
    for number in range(4):
        asking.open_questions(ALICE.certificate, evidence(ISSUING.crl(number=number + 5)), NOW)
    assert len(asking) == 2
    asking.open_questions(ALICE.certificate, evidence(), NOW + DAY)
    assert len(asking) == 1
