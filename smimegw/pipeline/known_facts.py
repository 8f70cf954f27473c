"""What a decision record keeps of the facts that rules look at, so that they can be asked again.

Of the Subject and of header fields only that is kept which the policy waits for, and whether it
was there: a record never holds what somebody wrote.
"""

from __future__ import annotations

from typing import Any

from smimegw.addresses import Mailbox
from smimegw.pipeline import group
from smimegw.pipeline.plan import Plan
from smimegw.pipeline.select import recipient_facts
from smimegw.policy.evaluate import applies
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Conditions, Policy
from smimegw.policy.replay import field_key
from smimegw.policy.triggers import contains_word


def message_values(message: MessageFacts, recipient: Mailbox, policy: Policy) -> dict[str, Any]:
    """Trigger words and fields of *policy* with whether they are in *message*, and media types.

    Args:
        message: What is known of it.
        recipient: Any of them; it decides nothing.
        policy: Whose words and fields.
    """
    conditions = [rule.when for rule in policy.rules if rule.when.covers(message.direction)]
    words, fields = {}, {}
    for when in conditions:
        for word in when.subject_word:
            words[word] = contains_word(message.subject, word)
        if when.header is not None:
            only = Conditions(header=when.header)
            fields[field_key(when.header)] = applies(only, message, recipient)
    values: dict[str, Any] = {
        "user": message.user,
        "null_reverse_path": message.reverse_path is None,
        "words": words,
        "fields": fields,
    }
    if any(when.media_type for when in conditions):
        values["media_types"] = sorted(message.media_types)
    return values


def outbound_values(decided: Plan, policy: Policy) -> dict[str, Any]:
    """The same, and what look-ups came to; what no rule needed was not looked up."""
    values = message_values(decided.message, decided.matched[0].recipient, policy)
    own = decided.own.encryption
    values["readers"] = {
        evidence.mailbox.address: {
            "certificate": recipient_facts(evidence).certificate.value,
            **({"opens_own": group.names(own, evidence)} if own is not None else {}),
        }
        for evidence in decided.evidence.recipients.values()
    }
    if decided.signing_asked:
        values["signing"] = decided.evidence.signing.answer.value
    if decided.own.is_some:
        values["own"] = "encryption" if own is not None else "signature"
    return values
