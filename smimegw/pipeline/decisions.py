"""Applies the matched rules to what was read: one decision for each recipient, purely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from smimegw.addresses import Mailbox
from smimegw.pipeline import group
from smimegw.pipeline.gather import OutboundEvidence
from smimegw.pipeline.own_layers import OwnLayers
from smimegw.pipeline.select import recipient_facts
from smimegw.policy.answers import SigningAnswer, ThreadAnswer
from smimegw.policy.decide import decide
from smimegw.policy.evaluate import Matched
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.matrix import Trouble
from smimegw.policy.model import Decision


def all_decided(
    matched: Sequence[Matched],
    facts: Sequence[RecipientFacts],
    message: MessageFacts,
    originator: Mailbox,
    own: OwnLayers,
    evidence: OutboundEvidence,
    thread: ThreadAnswer = ThreadAnswer.CLEAR,
) -> tuple[Decision, ...]:
    """One decision for each recipient, in RCPT order.

    Args:
        matched: The rule of each.
        facts: What was found about each.
        message: What the rules saw.
        originator: Who may have to read the copies, too.
        own: What the client protected itself.
        evidence: Of whoever must read the copies.
        thread: Whether the message answers what came encrypted.
    """
    return tuple(
        _decided(entry, message, known, originator, own, evidence, thread)
        for entry, known in zip(matched, facts, strict=True)
    )


def _decided(
    matched: Matched,
    message: MessageFacts,
    known: RecipientFacts,
    originator: Mailbox,
    own: OwnLayers,
    evidence: OutboundEvidence,
    thread: ThreadAnswer,
) -> Decision:
    signing = SigningFacts(answer=evidence.signing.answer, detail=evidence.signing.detail)
    if own.is_some and not matched.rule.then.protect.signs_outside:
        # What the client signed or encrypted gets no signature of ours: no key is missing.
        signing = SigningFacts(answer=SigningAnswer.USABLE)
    others = _other_readers(matched, originator, evidence)
    decision = decide(matched, message, known, signing, others, thread)
    return _after_own_encryption(matched, decision, originator, own, evidence)


def _other_readers(
    matched: Matched, originator: Mailbox, evidence: OutboundEvidence
) -> list[RecipientFacts]:
    rule = matched.rule
    if not rule.then.protect.encrypts:
        return []
    others = rule.then.treatment.other_readers(originator)
    return [recipient_facts(evidence.recipients[reader.key]) for reader in others]


def _after_own_encryption(
    matched: Matched,
    decision: Decision,
    originator: Mailbox,
    own: OwnLayers,
    evidence: OutboundEvidence,
) -> Decision:
    """Refuse what the client encrypted without those who must be able to read it, too (R-26).

    Encrypting around it would give them a layer with another inside that they cannot open.
    """
    if own.encryption is None or decision.refusal or not decision.protection.encrypts:
        return decision
    for reader in decision.treatment.other_readers(originator):
        if not group.names(own.encryption, evidence.recipients[reader.key]):
            trouble = Trouble.READER_LEFT_OUT
            return replace(
                decision,
                refusal=trouble.row,
                deferred=matched.matrix.defers(trouble, decision.protection),
                blocked_by=reader,
                blocked_detail=f"<{reader.address}>",
            )
    return decision
