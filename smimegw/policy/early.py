"""Finds the rule for a recipient before there is a message: at RCPT (N-20)."""

from __future__ import annotations

from dataclasses import replace

from smimegw.addresses import Mailbox
from smimegw.policy.choices import Partial
from smimegw.policy.evaluate import Matched, applies
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Conditions, Policy, Rule


def match_early(policy: Policy, known: MessageFacts, recipient: Mailbox) -> Matched | None:
    """Return the rule that will apply whatever the message says; None when that decides.

    Args:
        policy: The rules.
        known: What the session and MAIL tell; everything else is left empty.
        recipient: For whom.
    """
    for rule in policy.rules:
        of_envelope = _of_envelope(rule.when)
        if not applies(of_envelope, known, recipient):
            continue
        if of_envelope != rule.when:
            return None
        return Matched(rule=rule, recipient=recipient, matrix=policy.matrix)
    return None


def refuses_recipient(rule: Rule) -> bool:
    """Whether a recipient who cannot get what *rule* demands is refused alone."""
    then = rule.then
    return then.partial is Partial.REFUSE_RECIPIENT and then.protect.encrypts


def _of_envelope(when: Conditions) -> Conditions:
    """*when* without what only the message can tell."""
    return replace(
        when,
        sender=(),
        sender_domain=(),
        subject_word=(),
        header=None,
        size_over=None,
        media_type=(),
    )
