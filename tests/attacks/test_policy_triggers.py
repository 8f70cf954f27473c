"""A word in the Subject is recognised in any disguise and never leaves with the mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smimegw.addresses import Mailbox
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.headers import HeaderField
from smimegw.policy import triggers
from smimegw.policy.evaluate import match, stripped_subject, triggers_of
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Direction
from smimegw.policy.parse import parse_policy
from smimegw.policy.triggers import contains_word, normalised, without_words

_POLICY = parse_policy(
    [
        (
            "p.toml",
            b"""
[[rule]]
name = "secret"
why = "x"
when = { direction = "outbound", subject_word = ["[Secret]", "[top secret]"] }
then = { protect = "encrypt" }
[[rule]]
name = "field"
why = "x"
when = { direction = "outbound", header = { name = "X-Encrypt", value = "Yes" } }
then = { protect = "encrypt" }
[[rule]]
name = "kept field"
why = "x"
when = { direction = "outbound", header = { name = "Sensitivity", keep = true } }
then = { protect = "encrypt" }
[[rule]]
name = "rest"
why = "x"
then = { protect = "none" }
""",
        )
    ]
)
_BOB = Mailbox.parse("bob@partner.example")


def _message(subject: str = "", *fields: tuple[str, str], inbound: bool = False) -> MessageFacts:
    direction = Direction.INBOUND if inbound else Direction.OUTBOUND
    return MessageFacts(direction=direction, subject=subject, fields=fields)


def _rule(message: MessageFacts) -> str:
    return match(_POLICY, message, _BOB).rule.name


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        (b"Subject: [secret] plan\r\n", "plan"),
        (b"Subject: plan [SECRET]\r\n", "plan"),
        (b"Subject: Re: [sEcReT] plan\r\n", "Re: plan"),
        (b"Subject: a [secret] b\r\n", "a b"),
        (b"Subject: [secret]plan\r\n", "plan"),
        (b"Subject: [secret]\r\n", ""),
        (b"Subject: =?utf-8?q?=5Bsecret=5D_plan?=\r\n", "plan"),
        (b"Subject: =?utf-8?b?W3NlY3JldF0gcGxhbg==?=\r\n", "plan"),
        (b"Subject: =?utf-8?q?=5Bsec?=\r\n =?utf-8?q?ret=5D_plan?=\r\n", "plan"),
        (b"Subject: =?iso-8859-1?q?=5Bsecret=5D?= =?utf-8?q?plan?=\r\n", "plan"),
        (b"Subject:\r\n [secret] plan\r\n", "plan"),
        ("Subject: 【secret】 plan\r\n".encode(), "plan"),
        ("Subject: 〔ｓｅｃｒｅｔ〕plan\r\n".encode(), "plan"),
        (b"Subject: [ secret ] plan\r\n", "plan"),
        (b"Subject: a [secret ] b\r\n", "a b"),
        (b"Subject: [top\r\n secret] plan\r\n", "plan"),
        (b"Subject: [top\r\n\tsecret] plan\r\n", "plan"),
        ("Subject: ［ｓｅｃｒｅｔ］ plan\r\n".encode(), "plan"),
        ("Subject: ［ＳＥＣＲＥＴ］　计划\r\n".encode(), "计划"),
        ("Subject: [\u200bsec\u00adret] plan\r\n".encode(), "plan"),
        ("Subject: [ſecret] plan\r\n".encode(), "plan"),
        (b"Subject: [secret][secret] plan\r\n", "plan"),
        (b"Subject: [sec[secret]ret] plan\r\n", "plan"),
    ],
    ids=range(23),
)
def test_word_is_recognised_and_removed_in_every_spelling(raw: bytes, left: str) -> None:
    """Encoded words, folding, case, width, invisible characters, hidden in itself (cases G18)."""
    message = _message(decode_words(HeaderField.parse(raw).body))
    assert _rule(message) == "secret"
    assert stripped_subject(message.subject, triggers_of(_POLICY, message)) == left


@pytest.mark.parametrize("subject", ["secret plan", "[sécret] plan", "[secrets] plan", "[se cret]"])
def test_other_words_are_left_alone(subject: str) -> None:
    """A neighbour of the word is not the word."""
    message = _message(subject)
    assert _rule(message) == "rest"
    assert stripped_subject(subject, triggers_of(_POLICY, message)) == subject


def test_word_in_inbound_mail_is_not_touched() -> None:
    """A stranger's Subject is not ours to edit."""
    assert triggers_of(_POLICY, _message("[secret] x", inbound=True)).subject_words == ()


def test_word_is_removed_although_another_rule_won() -> None:
    """It is meant for the gateway, whichever rule decides."""
    message = _message("[secret] x", ("x-encrypt", "yes"))
    triggers = triggers_of(_POLICY, message)
    assert triggers.subject_words == ("[secret]",)
    assert triggers.field_names == ("x-encrypt",)


@pytest.mark.parametrize("value", ["yes", "YES", " ｙｅｓ ", "y\u200bes"])
def test_field_is_recognised_in_every_spelling_and_dropped(value: str) -> None:
    """As with words."""
    message = _message("", ("x-encrypt", value))
    assert _rule(message) == "field"
    assert triggers_of(_POLICY, message).field_names == ("x-encrypt",)


def test_second_field_of_the_name_counts_too() -> None:
    """Nobody can hide the demand behind another field of that name."""
    assert _rule(_message("", ("x-encrypt", "no"), ("x-encrypt", "yes"))) == "field"


def test_field_to_keep_stays() -> None:
    """Sensitivity means something to the recipient."""
    message = _message("", ("sensitivity", "private"))
    assert _rule(message) == "kept field"
    assert triggers_of(_POLICY, message).field_names == ()


_WORD = normalised("[Secret]")


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_of_the_word_is_left(before: str, after: str) -> None:
    """Property: after removal the word is not there, and removal is idempotent."""
    left = without_words(before + "[SECRET]" + after, [_WORD])
    assert not contains_word(left, _WORD)
    assert without_words(left, [_WORD]) == left


@given(st.text(max_size=80))
def test_subject_without_the_word_is_not_changed(subject: str) -> None:
    """Property: not one character."""
    if not contains_word(subject, _WORD):
        assert without_words(subject, [_WORD]) == subject


def test_long_subject_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """128,000 characters of nested words: each is looked at once, not once per removal."""
    looked_at = 0
    original = triggers._form

    def counted(cluster: str) -> str:
        nonlocal looked_at
        looked_at += 1
        return original(cluster)

    monkeypatch.setattr(triggers, "_form", counted)
    subject = "[sec" * 16_000 + "ret]" * 16_000
    assert without_words(subject, [_WORD]) == ""
    assert looked_at == len(subject)
