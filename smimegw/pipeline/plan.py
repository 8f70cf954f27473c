"""What one outbound message gets: everything is read and decided, nothing is done yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.failpoints import reach
from smimegw.mime.structure import media_types
from smimegw.pipeline import gather, group
from smimegw.pipeline.brief import brief
from smimegw.pipeline.decisions import all_decided
from smimegw.pipeline.facts import message_facts, permitted_originator
from smimegw.pipeline.gather import OutboundEvidence
from smimegw.pipeline.group import Group
from smimegw.pipeline.own_layers import OwnLayers, own_layers
from smimegw.pipeline.recipient_evidence import RecipientEvidence
from smimegw.pipeline.select import recipient_facts
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.thread import answered_marks, thread_answer
from smimegw.policy.answers import ThreadAnswer
from smimegw.policy.choices import WithoutCertificate
from smimegw.policy.decide import asks_for_thread
from smimegw.policy.evaluate import Matched, match
from smimegw.policy.facts import MessageFacts, RecipientFacts
from smimegw.policy.model import Decision, Policy, Rule
from smimegw.ports import Ports
from smimegw.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything decided about a message, nothing done yet; `explain` shows it.

    Attributes:
        message: The facts that the rules saw.
        originator: Whose signature it gets.
        matched: Per recipient, in RCPT order.
        evidence: What was found.
        facts: What that came to, per recipient, in RCPT order.
        decisions: Per recipient, in RCPT order.
        own: What the client protected itself.
        thread: Whether it answers what came encrypted; None when it does not matter.
        groups: The copies to make, of those who are not refused.
        decided_at: When.
    """

    message: MessageFacts
    originator: Mailbox
    matched: tuple[Matched, ...]
    evidence: OutboundEvidence
    facts: tuple[RecipientFacts, ...]
    decisions: tuple[Decision, ...]
    own: OwnLayers
    thread: ThreadAnswer | None
    groups: tuple[Group, ...]
    decided_at: datetime

    @property
    def signing_asked(self) -> bool:
        """The keystore was asked for a signing credential, because a rule may want one."""
        return any(_may_sign(entry.rule) for entry in self.matched)

    def group_of(self, recipient: Mailbox) -> Group | None:
        """The copy that *recipient* gets; None when refused."""
        return next(
            (
                copy
                for copy in self.groups
                if any(entry.mailbox == recipient for entry in copy.recipients)
            ),
            None,
        )

    def keeps_own_encryption(self, recipient: Mailbox) -> bool:
        """The mail program encrypted for *recipient*, so that its copy stays as it is (R-26)."""
        evidence = self.evidence.recipients.get(recipient.key)
        own = self.own.encryption
        return own is not None and evidence is not None and group.names(own, evidence)


async def plan(tx: Transaction, policy: Policy, ports: Ports, settings: Settings) -> Plan:
    """Read what the rules need, and decide.

    Raises:
        Refusal: The From address may not be used (R-12).
    """
    author = permitted_originator(tx, settings)
    reach("outbound.before-gather")
    message = await _message(tx, policy, ports, settings)
    recipients = [recipient.mailbox for recipient in tx.envelope.recipients]
    matched = tuple(match(policy, message, mailbox) for mailbox in recipients)
    evidence = await _gathered(matched, author, ports, settings)
    reach("outbound.gathered")
    own = await own_layers(tx, ports, settings)
    facts = tuple(recipient_facts(_evidence_of(evidence, mailbox)) for mailbox in recipients)
    decide_all = partial(all_decided, matched, facts, message, author, own, evidence)
    decisions = decide_all()
    thread = await _thread(tx, matched, decisions, message, own, ports, settings)
    if thread not in (None, ThreadAnswer.CLEAR):
        decisions = decide_all(thread)
    remaining = [
        (recipient, decision)
        for recipient, decision in zip(tx.envelope.recipients, decisions, strict=True)
        if not decision.refusal
    ]
    return Plan(
        message=message,
        originator=author,
        matched=matched,
        evidence=evidence,
        facts=facts,
        decisions=decisions,
        own=own,
        thread=thread,
        groups=group.by_treatment(remaining, evidence, tx.content.header, author, own.encryption),
        decided_at=ports.clock.now(),
    )


async def _message(
    tx: Transaction, policy: Policy, ports: Ports, settings: Settings
) -> MessageFacts:
    message = message_facts(tx, settings)
    if not any(rule.when.media_type for rule in policy.rules):
        return message
    found = await brief(ports, tx.size, media_types, tx.content, settings.limits)
    return replace(message, media_types=found)


async def _gathered(
    matched: Sequence[Matched], author: Mailbox, ports: Ports, settings: Settings
) -> OutboundEvidence:
    readers = {
        reader.key: reader
        for entry in matched
        if entry.rule.then.protect.encrypts
        for reader in (entry.recipient, *entry.rule.then.treatment.other_readers(author))
    }
    return await gather.outbound(
        author if any(_may_sign(entry.rule) for entry in matched) else None,
        readers.values(),
        ports,
        settings,
        enrols=not settings.shadow and any(_enrols(entry.rule) for entry in matched),
    )


async def _thread(
    tx: Transaction,
    matched: Sequence[Matched],
    decisions: Sequence[Decision],
    message: MessageFacts,
    own: OwnLayers,
    ports: Ports,
    settings: Settings,
) -> ThreadAnswer | None:
    """Whether *tx* answers what came encrypted; None when that changes nothing."""
    if not answered_marks(tx.content.header, settings.limits):
        return ThreadAnswer.CLEAR
    if own.encryption is None and any(
        asks_for_thread(entry, message, decision)
        for entry, decision in zip(matched, decisions, strict=True)
    ):
        return await thread_answer(tx, ports, settings.limits)
    return None


def _may_sign(rule: Rule) -> bool:
    return rule.then.protect.signs or (
        rule.then.protect.encrypts
        and rule.then.without_certificate is WithoutCertificate.SEND_SIGNED
    )


def _enrols(rule: Rule) -> bool:
    return rule.then.enrol and _may_sign(rule)


def _evidence_of(evidence: OutboundEvidence, mailbox: Mailbox) -> RecipientEvidence:
    return evidence.recipients.get(mailbox.key) or RecipientEvidence(mailbox=mailbox)
