"""A sender without a certificate gets one where the rule says so, and never anybody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from smimegw.addresses import Mailbox
from smimegw.errors import EnrolmentError
from smimegw.pipeline.admit import Gateway
from smimegw.x509.certificate import Certificate
from tests.fakes.company import Company, message
from tests.fakes.pki import DAY, NOW, Issued

ALICE, BOB = "alice@ours.example", "bob@partner.example"
POLICY = """
[[rule]]
name = "signed"
why = "test"
when = {{ direction = "outbound", recipient_domain = ["partner.example"] }}
then = {{ protect = "sign", enrol = {enrol}, signature = "{signature}" }}

[[rule]]
name = "clear"
why = "test"
when = {{ direction = "outbound" }}
then = {{ protect = "none" }}

[[rule]]
name = "open"
why = "test"
when = {{ direction = "inbound" }}
then = {{ require = "none" }}
"""


@dataclass
class ScriptedEnrolment:
    """Implements `Enrolment`: issues into the company's keystore, or does what *trouble* does."""

    company: Company
    trouble: Callable[[], object] | None = None
    asked: list[Mailbox] = field(default_factory=list)
    looked_at: list[Mailbox] = field(default_factory=list)

    def renew_when_due(self, mailbox: Mailbox, certificate: Certificate) -> None:
        assert mailbox in certificate.mailboxes
        self.looked_at.append(mailbox)

    async def enrol(self, mailbox: Mailbox) -> None:
        self.asked.append(mailbox)
        if self.trouble is None:
            issued = self.company.ca.issue(mailbox.address, slot="enrolled")
            self.company.world.keystore.add(issued)
            return
        waiting = self.trouble()
        if isinstance(waiting, asyncio.Event):
            await waiting.wait()


def refuse() -> None:
    raise EnrolmentError("the mailbox is outside of the domains of this CA", retryable=False)


def site(
    trouble: Callable[[], object] | None = None, *, enrol: bool = True, signature: str = "required"
) -> tuple[Company, ScriptedEnrolment]:
    company = Company(policy=POLICY.format(enrol=str(enrol).lower(), signature=signature))
    enrolment = ScriptedEnrolment(company, trouble)
    company.world.enrolment = enrolment
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    return company, enrolment


def is_signed(company: Company) -> bool:
    (arrived,) = company.arrived
    return b"multipart/signed" in arrived


def test_the_first_mail_is_signed() -> None:
    """The certificate is there before the message is decided upon."""
    company, enrolment = site()
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert is_signed(company)
    assert enrolment.asked == [Mailbox.parse(ALICE)]
    assert company.world.events.named("enrolment.done")


def test_who_has_a_certificate_needs_none() -> None:
    """Nobody is asked; whether it ends soon is looked at."""
    company, enrolment = site()
    company.user(ALICE)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert enrolment.asked == []
    assert enrolment.looked_at == [Mailbox.parse(ALICE)]


def test_without_the_rules_word_nothing_is_renewed() -> None:
    """Certificates of who is not enrolled are somebody else's matter."""
    company, enrolment = site(enrol=False)
    company.user(ALICE)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert enrolment.looked_at == []


def test_without_the_rules_word_nobody_is_enrolled() -> None:
    """R-10 as before."""
    company, enrolment = site(enrol=False)
    reply = company.send("relay", [BOB], message(ALICE, BOB)).reply
    assert "(R-10)" in str(reply)
    assert enrolment.asked == []


def test_for_mail_that_is_not_signed_nobody_is_enrolled() -> None:
    """The rule of another recipient does not count."""
    company, enrolment = site()
    to = "carol@elsewhere.example"
    assert company.send("relay", [to], message(ALICE, to)).reply.code == 250
    assert enrolment.asked == []


@pytest.mark.parametrize(
    ("not_after", "asked"), [(NOW - DAY, 1), (NOW + DAY, 0)], ids=["expired", "good"]
)
def test_an_expired_certificate_is_followed_by_a_new_one(not_after: object, asked: int) -> None:
    """Nobody could verify a signature by the old one."""
    company, enrolment = site()
    company.world.keystore.add(company.ca.issue(ALICE, not_after=not_after))  # type: ignore[arg-type]
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert len(enrolment.asked) == asked


def test_a_revoked_certificate_is_a_persons_matter() -> None:
    """M18: what was revoked does not come back by writing a mail."""
    company, enrolment = site()
    revoked: Issued = company.ca.issue(ALICE)
    company.world.keystore.add(revoked)
    crls = (company.ca.crl(revoked=[revoked]),)
    trust = replace(company.settings.trust, crls=crls)
    company.settings = replace(company.settings, trust=trust)
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    reply = company.send("relay", [BOB], message(ALICE, BOB)).reply
    assert "(R-10)" in str(reply)
    assert enrolment.asked == []


@pytest.mark.parametrize("sender", ["eve@elsewhere.example", "x@partner.example"])
def test_another_domain_is_refused_before(sender: str) -> None:
    """R-12."""
    company, enrolment = site()
    content = message(sender, BOB)
    assert "(R-12)" in str(company.send("relay", [BOB], content, reverse_path=sender).reply)
    assert enrolment.asked == []


def test_a_colleagues_address_is_refused_before() -> None:
    """T-19, R-12: on submission a login owns its addresses."""
    company, enrolment = site()
    outcome = company.send("submission", [BOB], message(ALICE, BOB), user="mallory@ours.example")
    assert "(R-12)" in str(outcome.reply)
    assert enrolment.asked == []


def test_a_login_gets_one_for_its_own_address() -> None:
    """The same listener, the right person."""
    company, enrolment = site()
    outcome = company.send("submission", [BOB], message(ALICE, BOB), user=ALICE)
    assert outcome.reply.code == 250
    assert enrolment.asked == [Mailbox.parse(ALICE)]


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [(refuse, "outside of the domains"), (asyncio.Event, "did not answer within")],
    ids=["refused", "silent"],
)
def test_when_it_fails_the_row_of_no_certificate_applies(
    trouble: Callable[[], object], expected: str
) -> None:
    """R-10, with the reason in the log."""
    company, _ = site(trouble)
    limits = replace(company.settings.limits, enrolment_seconds=0.05)
    company.settings = replace(company.settings, limits=limits)
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    reply = company.send("relay", [BOB], message(ALICE, BOB)).reply
    assert (reply.code, "(R-10)" in str(reply)) == (550, True)
    (event,) = company.world.events.named("enrolment.error")
    assert expected in str(event["text"])
    assert not company.arrived


def test_when_it_fails_and_signatures_are_optional_it_goes_unsigned() -> None:
    """R-11: the rule said so."""
    company, _ = site(refuse, signature="optional")
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert not is_signed(company)


def test_without_an_authority_the_log_says_what_is_missing() -> None:
    """A rule alone makes no certificates."""
    company = Company(policy=POLICY.format(enrol="true", signature="required"))
    assert "(R-10)" in str(company.send("relay", [BOB], message(ALICE, BOB)).reply)
    (event,) = company.world.events.named("enrolment.error")
    assert "[enrolment]" in str(event["text"])


def test_in_shadow_nobody_is_enrolled() -> None:
    """Who only looks on makes no certificates."""
    company, enrolment = site()
    company.settings = replace(company.settings, shadow=True)
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert enrolment.asked == []
