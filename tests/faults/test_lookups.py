"""What certificates and their revocation are asked of × every trouble: the exact reply."""

from __future__ import annotations

import pytest

from tests.faults.proxy import Trouble
from tests.faults.site import BOB, TROUBLES, Site

_FINE = "250 2.0.0 OK"
_R_05 = "451 4.7.5 <{}>: revocation status of the certificate is not known now, try later (R-05)"
_R_06 = "451 4.4.3 <{}>: directory not reachable, try later (R-06)"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_directory_in_trouble(here: Site, trouble: Trouble) -> None:
    """R-06, never "no certificate" and never clear; the retry passes when it answers (D24)."""
    name = f"p-{TROUBLES.index(trouble)}@partner.example"
    here.trouble("ldap", trouble)
    reply = here.outbound(name)
    if trouble.lets_through(reply):
        assert reply.startswith(_FINE)
    else:
        assert reply == _R_06.format(name)
        assert here.copies() == []
        here.recover()
        assert here.again(name).startswith(_FINE)
    assert here.copies() == [name]
    assert not here.leaked()


@pytest.mark.parametrize("trouble", [Trouble.DOWN, Trouble.HANGING])
def test_what_the_directory_said_counts_on(here: Site, trouble: Trouble) -> None:
    """R-06: a found answer is used while the directory is not there."""
    assert here.outbound(BOB).startswith(_FINE)
    here.trouble("ldap", trouble)
    assert here.outbound(BOB).startswith(_FINE)
    assert not here.leaked()


@pytest.mark.parametrize("trouble", [Trouble.DOWN, Trouble.HANGING])
def test_mail_that_needs_no_directory_flows(here: Site, trouble: Trouble) -> None:
    """Row R-06 is about those who must be looked up."""
    here.trouble("ldap", trouble)
    assert here.outbound("plain@else.example").startswith(_FINE)
    assert here.inbound().startswith(_FINE)
    assert b"signed=pass" in here.sink.messages[-1].content


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_revocation_server_in_trouble(here: Site, trouble: Trouble) -> None:
    """R-05: a status that is not known is never a good one (T-13)."""
    name = f"listed-{trouble.replace(' ', '-')}@partner.example"
    here.trouble(f"revocation {trouble}", trouble)
    reply = here.outbound(name)
    if trouble.lets_through(reply):
        assert reply.startswith(_FINE)
        assert here.copies() == [name]
    else:
        assert reply == _R_05.format(name)
        assert here.copies() == []
    assert not here.leaked()


def test_every_answer_of_the_directory_is_lost_once(here: Site) -> None:
    """Cut at the n-th piece, n = 1, 2 … until a clean pass: R-06 or none, never clear."""
    for cut_at in range(1, 30):
        here.fresh()
        here.proxies["ldap"].cut_at = cut_at
        name = f"spare-{cut_at}@partner.example"
        reply = here.outbound(name)
        clean = here.proxies["ldap"].answers < cut_at
        assert reply.startswith(_FINE) or reply == _R_06.format(name), cut_at
        assert here.copies() == ([name] if reply.startswith(_FINE) else []), cut_at
        assert not here.leaked()
        if clean:
            assert cut_at > 2
            return
    pytest.fail("never a clean pass")
