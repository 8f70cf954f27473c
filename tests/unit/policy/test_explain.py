"""Rules and decisions in words."""

from __future__ import annotations

import pytest

from smimegw.addresses import Mailbox
from smimegw.policy.evaluate import _REFUSALS, decide, match
from smimegw.policy.explain import REFUSAL_TEXTS, explain_decision, explain_rule
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.forms import REFUSALS
from smimegw.policy.model import CertificateAnswer, Direction, SigningAnswer
from smimegw.policy.parse import parse_policy

_POLICY = parse_policy(
    [
        (
            "p.toml",
            b"""
[[rule]]
name = "partner"
why = "contract"
when = { direction = "outbound", recipient_domain = ["partner.example"], size_over = 10 }
then = { protect = "encrypt", without_certificate = "send-signed", signature = "optional" }
[[rule]]
name = "rest"
why = "all others"
then = { protect = "none", require = "signed" }
""",
        )
    ]
)
_BOB = Mailbox.parse("bob@partner.example")


def _lines(
    certificate: CertificateAnswer, signing: SigningAnswer = SigningAnswer.USABLE, size: int = 20
) -> list[str]:
    message = MessageFacts(direction=Direction.OUTBOUND, size=size)
    matched = match(_POLICY, message, _BOB)
    facts = RecipientFacts(mailbox=_BOB, certificate=certificate)
    return list(
        explain_decision(matched, decide(matched, message, facts, SigningFacts(answer=signing)))
    )


def test_protection_rule_and_reason() -> None:
    """What, by which rule, why."""
    assert _lines(CertificateAnswer.USABLE) == [
        "bob@partner.example  →  ENCRYPT",
        '  rule      p.toml:2  "partner"',
        "  because   contract",
    ]


def test_refusal_is_said_in_words() -> None:
    """The code and what it means."""
    assert _lines(CertificateAnswer.REVOKED)[0].endswith("REFUSED R-04: certificate revoked")


def test_fallback_and_note_are_told() -> None:
    """Weaker than the rule's own wish: never in silence."""
    text = "\n".join(_lines(CertificateAnswer.NONE, SigningAnswer.NONE))
    assert "fallback  certificate: none" in text
    assert "note      unsigned: no signing certificate (R-11)" in text


def test_rules_passed_over_are_told() -> None:
    """And which condition did not hold."""
    assert _lines(CertificateAnswer.USABLE, size=5)[-1] == (
        '  not       p.toml:2  "partner": size_over does not hold'
    )


def test_every_refusal_has_a_text_and_may_be_expected() -> None:
    """No code without words."""
    assert set(REFUSAL_TEXTS) == set(REFUSALS) >= set(_REFUSALS.values())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ["outbound mail, to a recipient in partner.example, larger than 10 octets"]),
        (0, ["without certificate: send it signed", "unsigned", "cipher aes-256-cbc"]),
        (1, ["any mail", "outbound: none", "inbound: must be signed (R-52)"]),
    ],
)
def test_rule_in_words(number: int, words: list[str]) -> None:
    """Every condition and action is told."""
    text = "\n".join(explain_rule(_POLICY.rules[number]))
    for word in words:
        assert word in text
