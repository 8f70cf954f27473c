"""Rules in words."""

from __future__ import annotations

import pytest

from smimegw.pipeline.replies import ROWS
from smimegw.policy.explain import explain_rule
from smimegw.policy.forms import REFUSALS
from smimegw.policy.matrix import Trouble
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
[rule.then]
protect = "encrypt"
without_certificate = "send-signed"
signature = "optional"
enrol = true
[[rule]]
name = "reports"
why = "bounces"
when = { direction = "outbound", null_reverse_path = true, media_type = ["text/calendar"] }
[rule.then]
protect = "sign-encrypt-sign"
cipher_floor = "aes-128-gcm"
key_transport = "oaep"
also_encrypt_for = ["archive@corp.example"]
encrypt_to_sender = true
[[rule]]
name = "agreed"
why = "contract"
when = { direction = "outbound", null_reverse_path = false }
then = { protect = "encrypt", cipher = "aes-128-cbc", key_transport = "pkcs1v15" }
[[rule]]
name = "rest"
why = "all others"
then = { protect = "none", require = "signed" }
""",
        )
    ]
)


def test_every_refusal_has_a_reply_and_may_be_expected() -> None:
    """No code without words, and a case can promise each of them."""
    assert set(ROWS) >= {trouble.row for trouble in Trouble} >= set(REFUSALS)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ["outbound mail, to a recipient in partner.example, larger than 10 octets"]),
        (0, ["without certificate: send it signed", "get one, or else send it unsigned"]),
        (1, ["outbound mail, with a part of type text/calendar, reports (MAIL FROM <>)"]),
        (1, ["outbound: sign-encrypt-sign", "or not sent", "the best cipher that all read"]),
        (1, ["the best cipher that all read, at least aes-128-gcm, RSA recipients OAEP"]),
        (1, ["also encrypted for archive@corp.example and the sender"]),
        (2, ["not reports", "cipher aes-128-cbc, RSA recipients PKCS #1 v1.5"]),
        (3, ["any mail", "outbound: none", "inbound: must be signed (R-52)"]),
    ],
)
def test_rule_in_words(number: int, words: list[str]) -> None:
    """Every condition and action is told."""
    text = "\n".join(explain_rule(_POLICY.rules[number]))
    for word in words:
        assert word in text
