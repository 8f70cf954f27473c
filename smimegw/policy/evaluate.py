"""Decides what one recipient's copy gets: which rule applies, and what trouble makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from smimegw.addresses import Mailbox
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.model import (
    CertificateAnswer,
    Conditions,
    Decision,
    Direction,
    Policy,
    Protection,
    Requirement,
    Rule,
    SignatureWish,
    SigningAnswer,
    WithoutCertificate,
)
from smimegw.policy.triggers import contains_word, normalised, without_words

# Row ids of the failure table.  Only `NONE`, and what a rule names in fallback_for, is ever
# softened by without_certificate: unknown is not "none", and revoked never is.
_REFUSALS = {
    CertificateAnswer.NONE: "R-01",
    CertificateAnswer.AMBIGUOUS: "R-01",
    CertificateAnswer.EXPIRED: "R-03",
    CertificateAnswer.REVOKED: "R-04",
    CertificateAnswer.REVOCATION_UNKNOWN: "R-05",
    CertificateAnswer.UNAVAILABLE: "R-06",
    CertificateAnswer.UNSUITABLE: "R-08",
}
_FOR_NOW = frozenset({CertificateAnswer.UNAVAILABLE, CertificateAnswer.REVOCATION_UNKNOWN})
MAY_FALL_BACK = frozenset({CertificateAnswer.EXPIRED, CertificateAnswer.UNSUITABLE})


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
    """

    rule: Rule
    recipient: Mailbox
    tried: tuple[Tried, ...] = ()

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
            return Matched(rule=rule, recipient=recipient, tried=tuple(tried))
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


def decide(
    matched: Matched,
    message: MessageFacts,
    recipient: RecipientFacts,
    signing: SigningFacts,
    other_readers: Sequence[RecipientFacts] = (),
) -> Decision:
    """Say what the copy for *recipient* gets; a trouble never makes it weaker by itself.

    Args:
        matched: From `match`, for the same recipient.
        message: The message.
        recipient: What the look-up of the certificate came to.
        signing: What the look-up of the signing credential came to.
        other_readers: The same of everybody in `Treatment.other_readers`; an encrypted copy
            that one of them could not open does not leave.
    """
    rule = matched.rule
    protection, refusal, fallback, note = Protection.NONE, "", "", ""
    missing = None
    if message.direction is Direction.OUTBOUND:
        protection, refusal, fallback = _encryption(rule, recipient.certificate)
        if not refusal and protection.encrypts:
            missing = _first_missing(other_readers)
        if missing is not None:
            refusal = _REFUSALS[missing.certificate]
        if not refusal:
            protection, refusal, note = _signature(rule, protection, signing.answer)
    return Decision(
        recipient=matched.recipient,
        protection=protection,
        rule=rule.name,
        rule_source=rule.source,
        why=rule.why,
        refusal=refusal,
        blocked_by=missing.mailbox if missing else None,
        blocked_detail=missing.detail if missing else "",
        note=note,
        fallback=fallback,
        treatment=rule.then.treatment,
    )


def _first_missing(readers: Sequence[RecipientFacts]) -> RecipientFacts | None:
    """Who stops the copy: whoever has nothing for good before whoever has nothing for now."""
    missing = [known for known in readers if known.certificate is not CertificateAnswer.USABLE]
    return min(missing, key=lambda known: known.certificate in _FOR_NOW, default=None)


def _encryption(rule: Rule, answer: CertificateAnswer) -> tuple[Protection, str, str]:
    """Protection, refusal and fallback as far as the certificate decides them."""
    wanted = rule.then.protect
    if not wanted.encrypts or answer is CertificateAnswer.USABLE:
        return wanted, "", ""
    softened = answer is CertificateAnswer.NONE or (
        answer in rule.then.fallback_for and answer in MAY_FALL_BACK
    )
    if softened:
        match rule.then.without_certificate:
            case WithoutCertificate.SEND_SIGNED:
                return Protection.SIGN, "", answer.value
            case WithoutCertificate.SEND_CLEAR:
                return Protection.NONE, "", answer.value
            case WithoutCertificate.REFUSE | WithoutCertificate.PORTAL:
                pass
            case other:
                assert_never(other)
    return wanted, _REFUSALS[answer], ""


def _signature(
    rule: Rule, protection: Protection, answer: SigningAnswer
) -> tuple[Protection, str, str]:
    """Protection, refusal and note as far as the signing credential decides them."""
    if not protection.signs:
        return protection, "", ""
    match answer:
        case SigningAnswer.USABLE:
            return protection, "", ""
        case SigningAnswer.LOCKED:  # for now only: never a reason to send less
            return protection, "R-13", ""
        case SigningAnswer.UNAVAILABLE:
            return protection, "R-14", ""
        case SigningAnswer.NONE | SigningAnswer.EXPIRED:
            if rule.then.signature is SignatureWish.REQUIRED:
                return protection, "R-10", ""
            unsigned = Protection.ENCRYPT if protection.encrypts else Protection.NONE
            reason = "no" if answer is SigningAnswer.NONE else "expired"
            return unsigned, "", f"unsigned: {reason} signing certificate (R-11)"
        case other:
            assert_never(other)


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
