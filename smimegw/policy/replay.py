"""Asks a policy again about a message of which only a decision record is left.

A record answers what the policy of its time asked, and nothing else: not the Subject, no header
field beside those that rules waited for, no certificate that no rule wanted.  Where another policy
asks more, every answer that may be is tried, so that the result can be several outcomes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from smimegw.addresses import Mailbox
from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.choices import Protection, Requirement
from smimegw.policy.decide import decide
from smimegw.policy.evaluate import Matched, applies
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.model import (
    Conditions,
    Decision,
    Direction,
    HeaderTrigger,
    Policy,
    Rule,
    Treatment,
)

_PERHAPS_CERTIFICATE = (CertificateAnswer.USABLE, CertificateAnswer.NONE)
_PERHAPS_SIGNING = (SigningAnswer.USABLE, SigningAnswer.NONE)
_PERHAPS_THREAD = (ThreadAnswer.CLEAR, ThreadAnswer.ENCRYPTED)
_PLAIN = Treatment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a record says about one recipient of one message.

    Attributes:
        message: Without Subject and fields, which no record holds.
        recipient: Who.
        words: Trigger words that were looked for, and whether they were there.
        fields: Header fields that were looked for, by `field_key`.
        media_types_known: Somebody asked for them.
        certificates: Answers of the look-ups that were made, by `Mailbox.key`.
        opens_own: Who could open what the client had encrypted, by `Mailbox.key`.
        signing: None when the keystore was not asked.
        own: What the client had made itself: ``signature``, ``encryption`` or nothing.
        thread: Whether it answers what came encrypted; None when nobody asked.
        signed: What was said of the signature of an inbound message.
        encrypted: What was said of its encryption.
    """

    message: MessageFacts
    recipient: Mailbox
    words: Mapping[str, bool] = field(default_factory=dict)
    fields: Mapping[str, bool] = field(default_factory=dict)
    media_types_known: bool = False
    certificates: Mapping[str, CertificateAnswer] = field(default_factory=dict)
    opens_own: Mapping[str, bool] = field(default_factory=dict)
    signing: SigningAnswer | None = None
    own: str = ""
    thread: ThreadAnswer | None = None
    signed: str = "none"
    encrypted: str = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What one recipient's copy gets.

    Attributes:
        label: ``clear``, ``sign`` …, or ``refuse`` or ``defer`` with the row of the failure table.
        treatment: How it is made.
    """

    label: str
    treatment: Treatment = _PLAIN


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy says: one fate when the record knows enough, else all that may be."""

    fates: frozenset[Fate]
    rules: tuple[str, ...]

    @property
    def is_certain(self) -> bool:
        """The record knew everything that this policy asks."""
        return len(self.fates) == 1

    @property
    def label(self) -> str:
        """For people."""
        return " or ".join(sorted({fate.label for fate in self.fates}))


def field_key(trigger: HeaderTrigger) -> str:
    """How records name a header field that a rule waits for."""
    return f"{trigger.name}: {trigger.value}".rstrip()


def ask_again(policy: Policy, known: Known) -> Answer:
    """What *policy* does with a message of which *known* is left."""
    rules = tuple(_may_apply(policy, known))
    fates = frozenset(fate for rule in rules for fate in _fates(policy, rule, known))
    return Answer(fates, tuple(rule.name for rule in rules))


# --- which rule ----------------------------------------------------------------------------------


def _may_apply(policy: Policy, known: Known) -> Iterator[Rule]:
    """The rules that may be the first to apply, in order; the last of them certainly does."""
    for rule in policy.rules:
        when, certain = rule.when, True
        for holds, without in _unseen(when, known):
            certain = certain and holds is not None
            if holds is False:
                break
            when = without(when)
        else:
            if applies(when, known.message, known.recipient):
                yield rule
                if certain:
                    return


def _unseen(when: Conditions, known: Known) -> Iterator[tuple[bool | None, _Without]]:
    """Conditions about what no record holds: whether they hold, and how to leave them out."""
    if when.subject_word:
        yield _any_word(when.subject_word, known), _without_words
    if when.header is not None:
        yield _has_field(when.header, known), _without_header
    if when.media_type and not known.media_types_known:
        yield None, _without_media_types


class _Without:
    """A function that leaves one condition out."""

    def __init__(self, **empty: Any) -> None:
        self._empty = empty

    def __call__(self, when: Conditions) -> Conditions:
        return replace(when, **self._empty)


_without_words = _Without(subject_word=())
_without_header = _Without(header=None)
_without_media_types = _Without(media_type=())


def _any_word(words: tuple[str, ...], known: Known) -> bool | None:
    answers = [_has_word(word, known) for word in words]
    if True in answers:
        return True
    return None if None in answers else False


def _has_word(word: str, known: Known) -> bool | None:
    """Part of a word that was there was there, too; what holds a missing one was missing."""
    for asked, found in known.words.items():
        if word == asked or (found and word in asked) or (not found and asked in word):
            return found
    return None


def _has_field(trigger: HeaderTrigger, known: Known) -> bool | None:
    answer = known.fields.get(field_key(trigger))
    if answer is not None:
        return answer
    if known.fields.get(f"{trigger.name}:") is False:
        return False
    named = (found for key, found in known.fields.items() if key.startswith(f"{trigger.name}:"))
    return True if not trigger.value and any(named) else None


# --- what it does --------------------------------------------------------------------------------


def _fates(policy: Policy, rule: Rule, known: Known) -> Iterator[Fate]:
    if known.message.direction is Direction.INBOUND:
        yield Fate(label=_inbound(rule.then.require, known))
        return
    others = rule.then.treatment.other_readers(known.message.originator)
    readers = others if rule.then.protect.encrypts else ()
    for certificate, signing, thread, unknown_reader, opens in itertools.product(
        _certificate(rule, known),
        _signing(rule, known),
        _thread(known),
        _PERHAPS_CERTIFICATE if any(r.key not in known.certificates for r in readers) else (None,),
        (True, False) if known.own == "encryption" else (True,),
    ):
        decision = decide(
            Matched(rule=rule, recipient=known.recipient, matrix=policy.matrix),
            known.message,
            RecipientFacts(mailbox=known.recipient, certificate=certificate),
            SigningFacts(answer=signing),
            [
                RecipientFacts(
                    mailbox=reader,
                    certificate=known.certificates.get(reader.key)
                    or unknown_reader
                    or CertificateAnswer.NONE,
                )
                for reader in readers
            ],
            thread,
        )
        yield _fate(decision, all(known.opens_own.get(reader.key, opens) for reader in readers))


def _inbound(required: Requirement, known: Known) -> str:
    if required is Requirement.SIGNED and known.signed == "temperror":
        return "defer R-52-unknown"
    if required is Requirement.SIGNED and known.signed != "pass":
        return "refuse R-52-signed"
    if required is Requirement.ENCRYPTED and known.encrypted == "no":
        return "refuse R-52-encrypted"
    return "deliver"


def _certificate(rule: Rule, known: Known) -> tuple[CertificateAnswer, ...]:
    if not rule.then.protect.encrypts:
        return (CertificateAnswer.NONE,)  # nobody asks
    answer = known.certificates.get(known.recipient.key)
    return _PERHAPS_CERTIFICATE if answer is None else (answer,)


def _signing(rule: Rule, known: Known) -> tuple[SigningAnswer, ...]:
    if known.own and not rule.then.protect.signs_outside:
        return (SigningAnswer.USABLE,)  # what the client made gets no signature of ours
    return _PERHAPS_SIGNING if known.signing is None else (known.signing,)


def _thread(known: Known) -> tuple[ThreadAnswer, ...]:
    if known.own == "encryption":
        return (ThreadAnswer.CLEAR,)  # nothing is quoted in clear
    return _PERHAPS_THREAD if known.thread is None else (known.thread,)


def _fate(decision: Decision, readers_open_own: bool) -> Fate:
    if decision.refusal:
        verb = "defer" if decision.deferred else "refuse"
        return Fate(label=f"{verb} {decision.refusal}")
    if decision.protection.encrypts and not readers_open_own:
        return Fate(label="refuse R-26")
    if decision.protection is Protection.NONE:
        return Fate(label="clear")
    return Fate(label=decision.protection.value, treatment=decision.treatment)
