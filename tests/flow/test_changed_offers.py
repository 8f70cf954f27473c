"""What the next hop offered is remembered, and forgotten when it is known to be wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from smimegw.addresses import Mailbox
from smimegw.pipeline.admit import Gateway
from smimegw.smtp.extensions import NO_8BITMIME, NO_EXTENSIONS, Extensions
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import ReversePath, SessionInfo
from tests.fakes.clock import SetClock
from tests.fakes.company import Company, message

ALICE, CAROL = "alice@ours.example", "carol@else.example"
SESSION = SessionInfo(
    listener="relay",
    role=ListenerRole.RELAY,
    protocol="ESMTP",
    peer="127.0.0.1",
    helo="client.test",
    next_hop="out",
)


@pytest.fixture
def company() -> Company:
    company = Company()
    company.world.clock = SetClock()
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    return company


def offered(company: Company) -> Extensions:
    return asyncio.run(company.gateway.extensions(SESSION))


def test_a_changed_offer_is_offered_to_the_next_client(company: Company) -> None:
    """451 at the first recipient, and the retry's EHLO shows what there is now (N-28)."""
    assert offered(company).eightbitmime
    relay = company.world.relay
    relay.offers = NO_EXTENSIONS
    relay.script["mail"] = [NO_8BITMIME]
    path = ReversePath(mailbox=Mailbox.parse(ALICE), parameters=(("BODY", "8BITMIME"),))
    outcome = company.send("relay", [CAROL], message(ALICE, CAROL), reverse_path=path)
    assert outcome.reply == NO_8BITMIME
    assert offered(company) == NO_EXTENSIONS
    assert relay.arrived == []
    assert relay.open_sessions == 0


def test_an_offer_is_asked_for_again_when_the_clock_was_set_back(company: Company) -> None:
    """Remembered for five minutes, not for the day by which the clock was wrong (T-27)."""
    assert offered(company).dsn
    company.world.relay.offers = replace(company.world.relay.offers, dsn=False)
    assert offered(company).dsn
    company.world.clock.advance(-timedelta(days=1))
    assert not offered(company).dsn
