"""``partial = "refuse-recipient"``: who gets no copy is refused at RCPT, the others get theirs."""

from __future__ import annotations

import asyncio

import pytest

from smimegw.addresses import Mailbox
from smimegw.errors import ConfigurationError
from smimegw.policy.parse import parse_policy
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Recipient, ReversePath, SessionInfo
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import PAST

ALICE, BOB, CAROL = "alice@ours.example", "bob@partner.example", "carol@partner.example"
ALONE = POLICY.replace(
    'without_certificate = "refuse"', 'without_certificate = "refuse", partial = "refuse-recipient"'
)
BY_SUBJECT = """
[[rule]]
name = "asks for the subject"
why = "test"
when = { direction = "outbound", subject_word = ["[clear]"] }
then = { protect = "none" }
"""


def company_of(policy: str) -> Company:
    company = Company(policy=policy)
    company.user(ALICE, key="p256")
    company.partner(BOB, key="p256")
    return company


def at_rcpt(company: Company, *recipients: str, user: str = "") -> list[str]:
    """The replies to RCPT, then the one after the data."""

    async def main() -> list[str]:
        session = SessionInfo(
            listener="relay",
            role=ListenerRole.RELAY,
            protocol="ESMTP",
            peer="127.0.0.1",
            helo="client.test",
            user=user,
            next_hop="out",
        )
        path = ReversePath(mailbox=Mailbox.parse(ALICE))
        _, incoming = await company.gateway.begin(session, path)
        assert incoming is not None
        said = [
            str(await incoming.recipient(Recipient(mailbox=Mailbox.parse(name))))
            for name in recipients
        ]
        await incoming.abandon()
        return said

    return asyncio.run(main())


def test_recipient_without_certificate_is_refused_alone() -> None:
    """N-20, R-01: before the next hop hears of her; the other one goes on."""
    company = company_of(ALONE)
    said = at_rcpt(company, BOB, CAROL)
    refusal = f"550 5.7.5 <{CAROL}>: no usable certificate, encryption required (R-01)"
    assert said == ["250 2.1.5 OK", refusal]
    assert company.world.relay.steps.count("rcpt") == 1
    [logged] = company.world.events.named("message.refused")
    assert (logged["stage"], logged["code"]) == ("RCPT", "R-01")


def test_the_reason_is_the_one_after_the_data() -> None:
    """N-20, R-03: with the date."""
    company = company_of(ALONE)
    company.partner(CAROL, not_after=PAST)
    [at_once] = at_rcpt(company, CAROL)
    usual = company_of(POLICY)
    usual.partner(CAROL, not_after=PAST)
    assert at_once == str(usual.send("relay", [CAROL], message(ALICE, CAROL)).reply)


def test_directory_that_is_down_defers_the_recipient() -> None:
    """N-20, R-06: never refused for good."""
    company = company_of(ALONE)
    company.world.directory.broken = True
    [said] = at_rcpt(company, CAROL)
    assert said.startswith("451 4.4.3")
    assert said.endswith("(R-06)")


def test_reader_without_certificate_refuses_the_recipient() -> None:
    """N-20, R-01: whoever must be able to read her copy counts as well."""
    archive = 'partial = "refuse-recipient", also_encrypt_for = ["archive@ours.example"]'
    company = company_of(ALONE.replace('partial = "refuse-recipient"', archive))
    [said] = at_rcpt(company, BOB)
    assert said.startswith("550 5.7.5 <archive@ours.example>")


@pytest.mark.parametrize(
    "policy", [POLICY, BY_SUBJECT + ALONE], ids=["not asked for", "a rule before asks the subject"]
)
def test_whoever_may_get_a_copy_is_asked_after_the_data(policy: str) -> None:
    """N-20: what only the message can tell is waited for; then all or nobody."""
    company = company_of(policy)
    assert at_rcpt(company, CAROL) == ["250 2.1.5 OK"]
    assert company.send("relay", [BOB, CAROL], message(ALICE, BOB)).reply.code == 550
    assert company.arrived == []


def test_rules_that_cannot_apply_to_the_recipient_do_not_hinder() -> None:
    """N-20: a rule before for other domains asks for the subject in vain."""
    elsewhere = BY_SUBJECT.replace(
        "subject_word", 'recipient_domain = ["else.example"], subject_word'
    )
    [said] = at_rcpt(company_of(elsewhere + ALONE), CAROL)
    assert said.startswith("550 5.7.5")


def test_key_without_effect_is_refused() -> None:
    """Where nothing is encrypted nobody can be without a certificate."""
    policy = POLICY.replace(
        '{ protect = "sign" }', '{ protect = "sign", partial = "refuse-message" }'
    )
    with pytest.raises(ConfigurationError, match="partial"):
        parse_policy([("test.toml", policy.encode())])
