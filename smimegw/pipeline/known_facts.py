"""What a decision record keeps of the facts that rules look at, so that they can be asked again.

Of the Subject and of header fields only that is kept which the policy waits for, and whether it
was there: a record never holds what somebody wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, RecordError
from smimegw.pipeline import group
from smimegw.pipeline.plan import Plan
from smimegw.pipeline.select import recipient_facts
from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.evaluate import applies
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Conditions, Direction, Policy
from smimegw.policy.replay import Known, field_key
from smimegw.policy.triggers import contains_word


def message_values(
    message: MessageFacts, recipients: Sequence[Mailbox], policy: Policy
) -> dict[str, Any]:
    """Trigger words and fields of *policy* with whether they are in *message*, and media types."""
    conditions = [rule.when for rule in policy.rules if rule.when.covers(message.direction)]
    words, fields = {}, {}
    for when in conditions:
        for word in when.subject_word:
            words[word] = contains_word(message.subject, word)
        if when.header is not None:
            only = Conditions(header=when.header)
            fields[field_key(when.header)] = applies(only, message, recipients[0])
    inside = {r.domain for r in recipients if r.domain in message.internal_domains}
    values: dict[str, Any] = {
        "user": message.user,
        "null_reverse_path": message.reverse_path is None,
        "internal": sorted(inside),
        "words": words,
        "fields": fields,
    }
    if any(when.media_type for when in conditions):
        values["media_types"] = sorted(message.media_types)
    return values


def outbound_values(decided: Plan, policy: Policy) -> dict[str, Any]:
    """The same, and what look-ups came to; what no rule needed was not looked up."""
    recipients = [matched.recipient for matched in decided.matched]
    values = message_values(decided.message, recipients, policy)
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
    if decided.thread is not None:
        values["thread"] = decided.thread.value
    return values


def known_facts(record: Mapping[str, Any]) -> Iterator[Known]:
    """What a decision record knows, for each of its recipients.

    Raises:
        RecordError: It is not a record of this release, or of one that kept no facts.
    """
    try:
        message = _message(record)
        for entry in record["recipients"]:
            yield _known(record["facts"], message, entry)
    except (KeyError, TypeError, ValueError, AttributeError, AddressError) as exc:
        raise RecordError("it does not hold the facts that rules look at") from exc


def _message(record: Mapping[str, Any]) -> MessageFacts:
    facts = record["facts"]
    path = record.get("reverse_path") or record["from"]
    return MessageFacts(
        direction=Direction(record["direction"]),
        originator=Mailbox.parse(record["from"]) if record["from"] else None,
        reverse_path=None if facts["null_reverse_path"] or not path else Mailbox.parse(path),
        user=facts["user"],
        size=record.get("size", 0),
        recipients=len(record["recipients"]),
        internal_domains=frozenset(facts["internal"]),
        media_types=frozenset(facts.get("media_types", ())),
    )


def _known(facts: Mapping[str, Any], message: MessageFacts, entry: Mapping[str, Any]) -> Known:
    readers = {
        Mailbox.parse(address).key: values for address, values in facts.get("readers", {}).items()
    }
    return Known(
        message=message,
        recipient=Mailbox.parse(entry["rcpt"]),
        words=facts["words"],
        fields=facts["fields"],
        media_types_known="media_types" in facts,
        certificates={
            key: CertificateAnswer(values["certificate"]) for key, values in readers.items()
        },
        opens_own={
            key: values["opens_own"] for key, values in readers.items() if "opens_own" in values
        },
        signing=SigningAnswer(facts["signing"]) if "signing" in facts else None,
        own=facts.get("own", ""),
        thread=ThreadAnswer(facts["thread"]) if "thread" in facts else None,
        signed=entry.get("signed", "none"),
        encrypted=entry.get("encrypted", "no"),
    )
