"""Database and next hop × every trouble: the exact reply, and what a retry makes of it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.proxy import Trouble
from tests.faults.site import ALICE, BOB, TROUBLES, Site

PLAIN = "plain@else.example"
_FINE = "250 2.0.0 OK"
_NO_LEDGER = "451 4.3.0 ledger not reachable, try later (R-22)"
_NO_DATABASE = "451 4.3.0 database not reachable, try later (R-22)"
_NO_NEXT_HOP = "451 4.4.1 next hop not reachable, try later"


_STEADY = [trouble for trouble in TROUBLES if trouble is not Trouble.FLAPPING]


@pytest.mark.parametrize("trouble", _STEADY)
def test_the_database_in_trouble_and_several_copies(here: Site, trouble: Trouble) -> None:
    """R-22, E05: they wait within `database_seconds`; the retry gives each his one copy."""
    here.trouble("database", trouble)
    reply = here.outbound(BOB, PLAIN)
    if trouble.lets_through(reply):
        assert reply.startswith(_FINE)
    else:
        assert reply == _NO_LEDGER
        assert here.copies() == []
        here.recover()
        assert here.again(BOB, PLAIN).startswith(_FINE)
    assert Counter(here.copies()) == {BOB: 1, PLAIN: 1}
    assert not here.leaked()


def test_a_flapping_database_and_several_copies(here: Site) -> None:
    """Which question is lost is chance: none, all wait (N-17), or one has it and the rest wait
    (N-10)."""
    here.trouble("database", Trouble.FLAPPING)
    reply = here.outbound(BOB, PLAIN)
    if reply.startswith(_FINE):
        assert len(here.copies()) == 2
    elif reply.startswith("451 4.3.0 delivered to 1 of 2, send again to finish"):
        assert len(here.copies()) == 1
    else:
        assert reply == _NO_LEDGER
        assert here.copies() == []
    here.recover()
    _completed(here, reply, "flapping")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_database_in_trouble_and_one_copy(here: Site, trouble: Trouble) -> None:
    """R-22: mail in one copy flows without it."""
    here.trouble("database", trouble)
    assert here.outbound(BOB).startswith(_FINE)
    assert here.copies() == [BOB]
    assert not here.leaked()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_database_in_trouble_and_mail_that_is_remembered(here: Site, trouble: Trouble) -> None:
    """R-22: what must be remembered waits; what is not signed or encrypted flows."""
    here.trouble("database", trouble)
    reply = here.inbound()
    if trouble.lets_through(reply):
        assert reply.startswith(_FINE)
    else:
        assert reply == _NO_DATABASE
        assert here.copies() == []
        assert here.inbound(clear=True).startswith(_FINE)
    assert here.copies() == [ALICE]


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "inbound"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_next_hop_in_trouble(here: Site, trouble: Trouble, inbound: bool) -> None:
    """451 4.4.1 at RCPT, and nothing is there (N-04)."""
    here.trouble("next_hop", trouble)
    reply = here.inbound() if inbound else here.outbound(BOB, PLAIN)
    if trouble.lets_through(reply):
        assert reply.startswith(_FINE)
        assert len(here.copies()) == (1 if inbound else 2)
    else:
        assert reply == _NO_NEXT_HOP
        assert here.copies() == []


@pytest.mark.parametrize("dependency", ["database", "next_hop"])
def test_every_answer_is_lost_once(here: Site, dependency: str) -> None:
    """Cut at the n-th piece, n = 1, 2 … until a clean pass: no loss, no duplicate without a line
    that says in doubt, no false 250 (C08, T-24, P06)."""
    for cut_at in range(1, 100):
        here.fresh()
        here.proxies[dependency].cut_at = cut_at
        reply = here.outbound(BOB, PLAIN)
        clean = here.proxies[dependency].answers < cut_at
        assert reply.startswith(("250 2.0.0", "451 4.")), (cut_at, reply)
        if reply.startswith("250"):
            assert set(here.copies()) == {BOB, PLAIN}, cut_at
        here.recover()
        _completed(here, reply, f"piece {cut_at}")
        if clean:
            assert cut_at > 5
            return
    pytest.fail("never a clean pass")


def _completed(here: Site, reply: str, what: str) -> None:
    """Retries end with 250; everybody has it, and twice only where a line says in doubt (T-24)."""
    tries = 0
    while not reply.startswith("250"):
        reply = here.again(BOB, PLAIN)
        tries += 1
        assert tries < 3, (what, reply)
    copies = Counter(here.copies())
    doubled = {name for name, count in copies.items() if count > 1}
    assert set(copies) == {BOB, PLAIN}, what
    assert doubled <= here.in_doubt(), (what, copies)
    assert not here.leaked()
