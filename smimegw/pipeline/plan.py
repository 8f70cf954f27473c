"""What one outbound message gets: everything is read and decided, nothing is done yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from smimegw.addresses import Mailbox
from smimegw.content import Store
from smimegw.errors import CMSError, LimitError, MIMEError, VerificationError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.mime.structure import media_types
from smimegw.pipeline import gather, group
from smimegw.pipeline.brief import brief
from smimegw.pipeline.facts import message_facts, permitted_originator
from smimegw.pipeline.gather import OutboundEvidence
from smimegw.pipeline.group import Group
from smimegw.pipeline.select import recipient_facts
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.thread import answered_marks, thread_answer
from smimegw.pipeline.verification import verified
from smimegw.policy.decide import asks_for_thread, decide
from smimegw.policy.evaluate import Matched, match
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.matrix import Trouble
from smimegw.policy.model import (
    Decision,
    Policy,
    Rule,
    SigningAnswer,
    ThreadAnswer,
    WithoutCertificate,
)
from smimegw.ports import Ports
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLayers:
    """What the client protected itself: a signature that holds, or an encryption (R-26)."""

    signature: bool = False
    encryption: EncryptedLayer | None = None

    @property
    def is_some(self) -> bool:
        """Either of them."""
        return self.signature or self.encryption is not None


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
    readers = {
        reader.key: reader
        for entry in matched
        if entry.rule.then.protect.encrypts
        for reader in (entry.recipient, *entry.rule.then.treatment.other_readers(author))
    }
    evidence = await gather.outbound(
        author if any(_may_sign(entry.rule) for entry in matched) else None,
        readers.values(),
        ports,
        settings,
        enrols=not settings.shadow and any(_enrols(entry.rule) for entry in matched),
    )
    reach("outbound.gathered")
    own = await _own_layers(tx, ports, settings)
    facts = tuple(recipient_facts(_evidence_of(evidence, mailbox)) for mailbox in recipients)
    decisions = tuple(
        _decided(entry, message, known, author, own, evidence)
        for entry, known in zip(matched, facts, strict=True)
    )
    thread = None if answered_marks(tx.content.header, settings.limits) else ThreadAnswer.CLEAR
    if (
        thread is None
        and own.encryption is None
        and any(
            asks_for_thread(entry, message, decision)
            for entry, decision in zip(matched, decisions, strict=True)
        )
    ):
        thread = await thread_answer(tx, ports, settings.limits)
        decisions = tuple(
            _decided(entry, message, known, author, own, evidence, thread)
            for entry, known in zip(matched, facts, strict=True)
        )
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


def _decided(
    matched: Matched,
    message: MessageFacts,
    known: RecipientFacts,
    originator: Mailbox,
    own: OwnLayers,
    evidence: OutboundEvidence,
    thread: ThreadAnswer = ThreadAnswer.CLEAR,
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


def _may_sign(rule: Rule) -> bool:
    return rule.then.protect.signs or (
        rule.then.protect.encrypts
        and rule.then.without_certificate is WithoutCertificate.SEND_SIGNED
    )


def _enrols(rule: Rule) -> bool:
    return rule.then.enrol and _may_sign(rule)


def _evidence_of(evidence: OutboundEvidence, mailbox: Mailbox) -> gather.RecipientEvidence:
    return evidence.recipients.get(mailbox.key) or gather.RecipientEvidence(mailbox=mailbox)


async def _own_layers(tx: Transaction, ports: Ports, settings: Settings) -> OwnLayers:
    try:
        layer = await brief(ports, tx.size, layer_of, tx.content, settings.limits, ports.spool)
    except (MIMEError, CMSError, LimitError):
        return OwnLayers()  # not S/MIME that anybody could open: protected like any other content
    if isinstance(layer, EncryptedLayer):
        return OwnLayers(encryption=layer)
    if isinstance(layer, SignedLayer):
        if not await _holds(layer, tx, ports, settings):
            return OwnLayers()
        inside = await brief(ports, tx.size, _encrypted_inside, layer, settings.limits, ports.spool)
        return OwnLayers(signature=True, encryption=inside)
    return OwnLayers()


def _encrypted_inside(layer: SignedLayer, limits: Limits, store: Store) -> EncryptedLayer | None:
    """What is encrypted under a signature: encrypted as well, in a message that stays as it is."""
    try:
        inside = layer_of(Entity.parse(layer.content, limits), limits, store)
    except (MIMEError, CMSError, LimitError):
        return None
    return inside if isinstance(inside, EncryptedLayer) else None


async def _holds(layer: SignedLayer, tx: Transaction, ports: Ports, settings: Settings) -> bool:
    try:
        await verified(layer, tx.content.header, ports, settings)
    except VerificationError:
        return False
    return True
