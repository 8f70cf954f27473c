"""A policy that is asked again knows what a record knows, and guesses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smimegw.addresses import Mailbox
from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Direction, Policy
from smimegw.policy.parse import parse_policy
from smimegw.policy.replay import Known, ask_again

ALICE, BOB = Mailbox.parse("alice@ours.example"), Mailbox.parse("bob@partner.example")
ARCHIVE = Mailbox.parse("archive@ours.example")
KNOWN = Known(
    message=MessageFacts(
        direction=Direction.OUTBOUND,
        originator=ALICE,
        reverse_path=ALICE,
        size=5000,
        internal_domains=frozenset({"ours.example"}),
    ),
    recipient=BOB,
    certificates={BOB.key: CertificateAnswer.USABLE},
    signing=SigningAnswer.USABLE,
    thread=ThreadAnswer.CLEAR,
)
REST = """
[[rule]]
name = "rest"
why = "test"
when = { direction = "outbound" }
then = { protect = "none" }

[[rule]]
name = "in"
why = "test"
when = { direction = "inbound" }
then = { require = "none" }
"""


def policy(when: str, then: str) -> Policy:
    """One rule before the rest."""
    rule = f'[[rule]]\nname = "first"\nwhy = "test"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n'
    return parse_policy([("p.toml", (rule + REST).encode())])


OUT = 'direction = "outbound"'
SIGN = 'protect = "sign"'


@pytest.mark.parametrize(
    "condition",
    [
        'sender = ["alice@ours.example"]',
        'recipient_domain = ["partner.example"]',
        "size_over = 4999",
        "recipient_internal = false",
        "null_reverse_path = false",
    ],
)
def test_what_every_record_holds_is_known(condition: str) -> None:
    """Envelope, size and domains."""
    answer = ask_again(policy(f"{OUT}, {condition}", SIGN), KNOWN)
    assert (answer.label, answer.rules) == ("sign", ("first",))


@pytest.mark.parametrize("condition", ["size_over = 5000", 'user = ["alice"]'])
def test_rule_that_cannot_have_applied_is_left_out(condition: str) -> None:
    """What is known to be otherwise rules it out, whatever else it asks."""
    asked = f'{OUT}, {condition}, subject_word = ["[x]"]'
    assert ask_again(policy(asked, SIGN), KNOWN).rules == ("rest",)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ({}, "clear or sign"),
        ({"[x]": True}, "sign"),
        ({"[x]": False}, "clear"),
        ({"[x] now": True}, "sign"),
        ({"x": False}, "clear"),
        ({"[y]": False}, "clear or sign"),
    ],
)
def test_trigger_word(words: dict[str, bool], label: str) -> None:
    """Known when it was looked for, is part of one that was there, or holds a missing one."""
    asked = policy(f'{OUT}, subject_word = ["[x]"]', SIGN)
    assert ask_again(asked, replace(KNOWN, words=words)).label == label


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({}, "clear or sign"),
        ({"x-p: yes": True}, "sign"),
        ({"x-p: yes": False}, "clear"),
        ({"x-p:": False}, "clear"),
        ({"x-p:": True}, "clear or sign"),
        ({"x-p: no": True}, "clear or sign"),
    ],
)
def test_header_field(fields: dict[str, bool], label: str) -> None:
    """Another value may stand in a second field of that name."""
    asked = policy(f'{OUT}, header = {{ name = "X-P", value = "yes" }}', SIGN)
    assert ask_again(asked, replace(KNOWN, fields=fields)).label == label


def test_header_field_of_any_value() -> None:
    """It was there with one value, so it was there."""
    asked = policy(f'{OUT}, header = {{ name = "X-P" }}', SIGN)
    assert ask_again(asked, replace(KNOWN, fields={"x-p: yes": True})).label == "sign"


def test_media_types_that_nobody_asked_for() -> None:
    """Unlike those that were: an empty answer is one, too."""
    asked = policy(f'{OUT}, media_type = ["text/calendar"]', SIGN)
    assert ask_again(asked, KNOWN).label == "clear or sign"
    assert ask_again(asked, replace(KNOWN, media_types_known=True)).label == "clear"


def test_certificate_that_nobody_looked_up() -> None:
    """Both answers; a fall-back to clear shows as what it is."""
    asked = policy(OUT, 'protect = "encrypt", without_certificate = "send-clear"')
    assert ask_again(asked, KNOWN).label == "encrypt"
    assert ask_again(asked, replace(KNOWN, certificates={})).label == "clear or encrypt"


def test_signing_key_that_nobody_asked_for() -> None:
    """Both answers."""
    asked = policy(OUT, SIGN)
    assert ask_again(asked, replace(KNOWN, signing=None)).label == "refuse R-10 or sign"


def test_other_reader_without_a_certificate() -> None:
    """The archive could not open the copy: it does not leave."""
    asked = policy(OUT, 'protect = "encrypt", also_encrypt_for = ["archive@ours.example"]')
    assert ask_again(asked, KNOWN).label == "encrypt or refuse R-01"
    none = {**KNOWN.certificates, ARCHIVE.key: CertificateAnswer.EXPIRED}
    assert ask_again(asked, replace(KNOWN, certificates=none)).label == "refuse R-03"


def test_own_encryption_that_another_reader_cannot_open() -> None:
    """What the mail program encrypted stays as it is, or is refused (R-26)."""
    asked = policy(OUT, 'protect = "encrypt", also_encrypt_for = ["archive@ours.example"]')
    both = {**KNOWN.certificates, ARCHIVE.key: CertificateAnswer.USABLE}
    own = replace(KNOWN, certificates=both, own="encryption")
    assert ask_again(asked, replace(own, opens_own={ARCHIVE.key: True})).label == "encrypt"
    assert ask_again(asked, replace(own, opens_own={ARCHIVE.key: False})).label == "refuse R-26"


def test_copies_that_are_made_differently_differ() -> None:
    """The word is the same, the cipher is not."""
    answers = [
        ask_again(policy(OUT, f'protect = "encrypt", cipher = "{cipher}"'), KNOWN)
        for cipher in ("aes-128-cbc", "aes-256-cbc")
    ]
    assert answers[0].label == answers[1].label
    assert answers[0].fates != answers[1].fates
