"""Finds the rule for one recipient's copy, and what rules waited for in a message."""

from __future__ import annotations

from dataclasses import dataclass, field

from smimegw.addresses import Mailbox
from smimegw.policy.choices import Requirement
from smimegw.policy.facts import MessageFacts
from smimegw.policy.matrix import FailureMatrix
from smimegw.policy.model import Conditions, Direction, Policy, Rule
from smimegw.policy.parse_matrix import shipped
from smimegw.policy.triggers import contains_word, normalised, without_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A rule that was looked at before the matching one, and why it does not apply."""

    rule: str
    source: str
    why_not: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The rule that applies to one recipient.

    Attributes:
        rule: The first rule whose conditions all hold.
        recipient: For whom.
        tried: The rules before it.
        matrix: What troubles do where the rule leaves it open.
    """

    rule: Rule
    recipient: Mailbox
    tried: tuple[Tried, ...] = ()
    matrix: FailureMatrix = field(default_factory=shipped, repr=False)

    @property
    def requirement(self) -> Requirement:
        """What an inbound message must have had (R-52)."""
        return self.rule.then.require


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """What has done its duty in a message and must not leave with it.

    Attributes:
        subject_words: Comparison forms, for `stripped_subject`.
        field_names: Header fields to drop, lower case.
    """

    subject_words: tuple[str, ...] = ()
    field_names: tuple[str, ...] = ()


def match(policy: Policy, message: MessageFacts, recipient: Mailbox) -> Matched:
    """Return the first rule that applies; there is always one, see `parse_policy`."""
    tried: list[Tried] = []
    for rule in policy.rules:
        why_not = _why_not(rule.when, message, recipient)
        if not why_not:
            return Matched(rule=rule, recipient=recipient, tried=tuple(tried), matrix=policy.matrix)
        tried.append(Tried(rule=rule.name, source=rule.source, why_not=why_not))
    raise AssertionError(f"policy without a catch-all rule for {message.direction}")


def applies(when: Conditions, message: MessageFacts, recipient: Mailbox) -> bool:
    """Whether every condition of *when* holds."""
    return not _why_not(when, message, recipient)


def _why_not(when: Conditions, message: MessageFacts, recipient: Mailbox) -> str:
    """The first condition that does not hold, empty when all do."""
    originator = message.originator
    checks = (
        ("direction", when.covers(message.direction)),
        ("sender", not when.sender or (originator is not None and originator.key in when.sender)),
        (
            "sender_domain",
            not when.sender_domain
            or (originator is not None and _in_domains(originator, when.sender_domain)),
        ),
        ("recipient", not when.recipient or recipient.key in when.recipient),
        (
            "recipient_domain",
            not when.recipient_domain or _in_domains(recipient, when.recipient_domain),
        ),
        (
            "recipient_internal",
            when.recipient_internal in (None, recipient.domain in message.internal_domains),
        ),
        ("user", not when.user or message.user in when.user),
        ("size_over", when.size_over is None or message.size > when.size_over),
        (
            "media_type",
            not when.media_type or not message.media_types.isdisjoint(when.media_type),
        ),
        (
            "null_reverse_path",
            when.null_reverse_path in (None, message.reverse_path is None),
        ),
        ("header", when.header is None or _has_field(when, message)),
        (
            "subject_word",
            not when.subject_word
            or any(contains_word(message.subject, word) for word in when.subject_word),
        ),
    )
    return next((name for name, holds in checks if not holds), "")


def _in_domains(mailbox: Mailbox, domains: tuple[str, ...]) -> bool:
    return any(
        mailbox.domain.endswith(domain[1:]) if domain.startswith("*.") else mailbox.domain == domain
        for domain in domains
    )


def _has_field(when: Conditions, message: MessageFacts) -> bool:
    trigger = when.header
    return trigger is not None and any(
        name == trigger.name and (not trigger.value or normalised(value) == trigger.value)
        for name, value in message.fields
    )


def triggers_of(policy: Policy, message: MessageFacts) -> Triggers:
    """Return what to remove from an outbound *message*, whichever rule has won.

    A word or field that any outbound rule waits for is meant for the gateway alone.
    """
    if message.direction is not Direction.OUTBOUND:
        return Triggers()
    rules = [rule for rule in policy.rules if rule.when.covers(Direction.OUTBOUND)]
    words = [
        word
        for rule in rules
        for word in rule.when.subject_word
        if contains_word(message.subject, word)
    ]
    names = [
        rule.when.header.name
        for rule in rules
        if rule.when.header is not None
        and not rule.when.header.keep
        and _has_field(rule.when, message)
    ]
    return Triggers(
        subject_words=tuple(dict.fromkeys(words)), field_names=tuple(dict.fromkeys(names))
    )


def stripped_subject(subject: str, triggers: Triggers) -> str:
    """The decoded *subject* less the words of *triggers*."""
    return without_words(subject, triggers.subject_words)
