"""One outbound message: gather, decide, group, protect, deliver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.errors import CMSError, LimitError, MIMEError, VerificationError
from smimegw.mime.headers import HeaderField
from smimegw.mime.structure import media_types
from smimegw.pipeline import deliver, gather, group, protect, record
from smimegw.pipeline.facts import message_facts, permitted_originator
from smimegw.pipeline.gather import OutboundEvidence
from smimegw.pipeline.group import Group
from smimegw.pipeline.protect import Original
from smimegw.pipeline.replies import Refusal, reply_for
from smimegw.pipeline.select import recipient_facts
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.verification import verified
from smimegw.policy.evaluate import Matched, decide, match, stripped_subject, triggers_of
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.model import Decision, Policy, Rule, WithoutCertificate
from smimegw.ports import Ports, RelaySession
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Outcome, Transaction

_ALWAYS_DROPPED = frozenset({"bcc", "resent-bcc"})  # RFC 5322, 3.6.3: nobody else may see it


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLayers:
    """What the client protected itself: a signature that holds, or an encryption (R-26)."""

    signature: bool = False
    encryption: EncryptedLayer | None = None


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
    groups: tuple[Group, ...]
    decided_at: datetime

    def group_of(self, recipient: Mailbox) -> Group | None:
        """The copy that *recipient* gets; None when refused."""
        return next(
            (
                group
                for group in self.groups
                if any(entry.mailbox == recipient for entry in group.recipients)
            ),
            None,
        )


async def plan(tx: Transaction, policy: Policy, ports: Ports, settings: Settings) -> Plan:
    """Read what the rules need, and decide.

    Raises:
        Refusal: The From address may not be used (R-12).
    """
    author = permitted_originator(tx, settings)
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
    )
    signing = SigningFacts(answer=evidence.signing.answer, detail=evidence.signing.detail)
    facts = tuple(recipient_facts(_evidence_of(evidence, mailbox)) for mailbox in recipients)
    decisions = tuple(
        decide(entry, message, known, signing, _other_readers(entry, author, evidence))
        for entry, known in zip(matched, facts, strict=True)
    )
    own = OwnLayers()
    if not all(decision.refusal for decision in decisions):
        own = await _own_layers(tx, ports, settings)
        decisions = tuple(
            _after_own_encryption(decision, author, own, evidence) for decision in decisions
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
        groups=group.by_treatment(remaining, evidence, tx.content.header, author, own.encryption),
        decided_at=ports.clock.now(),
    )


async def _message(
    tx: Transaction, policy: Policy, ports: Ports, settings: Settings
) -> MessageFacts:
    message = message_facts(tx, settings)
    if not any(rule.when.media_type for rule in policy.rules):
        return message
    found = await ports.workers.run(media_types, tx.content, settings.limits)
    return replace(message, media_types=found)


def _other_readers(
    matched: Matched, originator: Mailbox, evidence: OutboundEvidence
) -> list[RecipientFacts]:
    rule = matched.rule
    if not rule.then.protect.encrypts:
        return []
    others = rule.then.treatment.other_readers(originator)
    return [recipient_facts(evidence.recipients[reader.key]) for reader in others]


def _after_own_encryption(
    decision: Decision, originator: Mailbox, own: OwnLayers, evidence: OutboundEvidence
) -> Decision:
    """Refuse what the client encrypted without those who must be able to read it, too (R-26).

    Encrypting around it would give them a layer with another inside that they cannot open.
    """
    if own.encryption is None or decision.refusal or not decision.protection.encrypts:
        return decision
    for reader in decision.treatment.other_readers(originator):
        if not group.names(own.encryption, evidence.recipients[reader.key]):
            return replace(
                decision, refusal="R-26", blocked_by=reader, blocked_detail=f"<{reader.address}>"
            )
    return decision


def _may_sign(rule: Rule) -> bool:
    return rule.then.protect.signs or (
        rule.then.protect.encrypts
        and rule.then.without_certificate is WithoutCertificate.SEND_SIGNED
    )


def _evidence_of(evidence: OutboundEvidence, mailbox: Mailbox) -> gather.RecipientEvidence:
    return evidence.recipients.get(mailbox.key) or gather.RecipientEvidence(mailbox=mailbox)


def refusal_reply(decision: Decision, facts: RecipientFacts, originator: Mailbox) -> Reply:
    """The reply for a decision that refuses."""
    if decision.refusal in {"R-10", "R-13", "R-14"}:
        return reply_for(decision.refusal, detail=f"<{originator.address}>")
    if decision.blocked_by is not None:
        about = decision.recipient if decision.refusal == "R-26" else decision.blocked_by
        return reply_for(decision.refusal, mailbox=about, detail=decision.blocked_detail)
    return reply_for(decision.refusal, mailbox=decision.recipient, detail=facts.detail)


async def handle_outbound(
    tx: Transaction,
    policy: Policy,
    ports: Ports,
    settings: Settings,
    probe: RelaySession,
    trace: HeaderField,
) -> Outcome:
    """Protect and deliver; the client's LMTP recipients are independent, SMTP's are not.

    Raises:
        Refusal: The whole message is refused, nothing was sent.
    """
    decided = await plan(tx, policy, ports, settings)
    record.log_decisions(tx, decided, ports)
    pairs = tuple(zip(tx.envelope.recipients, decided.decisions, strict=True))
    refused = {
        recipient.mailbox.key: refusal_reply(decision, facts, decided.originator)
        for (recipient, decision), facts in zip(pairs, decided.facts, strict=True)
        if decision.refusal
    }
    remaining = [(r, d) for r, d in pairs if not d.refusal]
    if refused and not (tx.session.is_lmtp and remaining):
        await record.write(tx, decided, (), ports)
        return _refused(tx, refused)
    deliveries = await _seal(tx, policy, decided, ports, settings, trace)
    _fits(deliveries, probe)
    await record.write(tx, decided, deliveries, ports)
    sealed_at = ports.clock.now()
    report = partial(record.log_deliveries, tx, decided.decided_at, sealed_at, ports=ports)
    delivered = await deliver.all_or_nothing(tx, deliveries, probe, ports, settings, report)
    outcome = deliver.outcome_of(tx.id, delivered, [recipient for recipient, _ in remaining])
    return _merged(tx, outcome, refused)


def _refused(tx: Transaction, refused: dict[str, Reply]) -> Outcome:
    """Nothing is sent: refused for good wins over deferred, the client need not come again."""
    replies = list(refused.values())
    worst = next((reply for reply in replies if reply.is_permanent), replies[0])
    per_recipient = tuple(
        refused.get(recipient.mailbox.key, worst) for recipient in tx.envelope.recipients
    )
    return Outcome(reply=worst, per_recipient=per_recipient)


def _merged(tx: Transaction, outcome: Outcome, refused: dict[str, Reply]) -> Outcome:
    if not refused:
        return outcome
    fates = iter(outcome.per_recipient)
    per_recipient = tuple(
        refused.get(recipient.mailbox.key) or next(fates) for recipient in tx.envelope.recipients
    )
    return Outcome(reply=outcome.reply, per_recipient=per_recipient)


async def _seal(
    tx: Transaction,
    policy: Policy,
    decided: Plan,
    ports: Ports,
    settings: Settings,
    trace: HeaderField,
) -> tuple[Delivery, ...]:
    triggers = triggers_of(policy, decided.message)
    subject = stripped_subject(decided.message.subject, triggers)
    original = Original(
        content=tx.content,
        reverse_path=tx.envelope.reverse_path,
        trace=trace,
        subject=subject if triggers.subject_words else None,
        dropped=_ALWAYS_DROPPED | frozenset(triggers.field_names),
        own_signature=decided.own.signature,
        own_encryption=decided.own.encryption,
    )
    groups = decided.groups
    if len(groups) > settings.limits.copies:
        raise Refusal("copies", detail=f"{len(groups)} different copies of one message")
    credential = decided.evidence.signing.credential
    now = decided.decided_at
    try:
        sealed = [
            await ports.workers.run(
                protect.seal, original, entry, credential, now=now, limits=settings.limits
            )
            for entry in groups
        ]
    except (MIMEError, LimitError) as exc:
        raise Refusal("content", detail=str(exc)) from exc
    return tuple(sealed)


async def _own_layers(tx: Transaction, ports: Ports, settings: Settings) -> OwnLayers:
    try:
        layer = await ports.workers.run(layer_of, tx.content, settings.limits)
    except (MIMEError, CMSError, LimitError):
        return OwnLayers()  # not S/MIME that anybody could open: protected like any other content
    if isinstance(layer, EncryptedLayer):
        return OwnLayers(encryption=layer)
    if isinstance(layer, SignedLayer):
        return OwnLayers(signature=await _holds(layer, tx, ports, settings))
    return OwnLayers()


async def _holds(layer: SignedLayer, tx: Transaction, ports: Ports, settings: Settings) -> bool:
    try:
        await verified(layer, tx.content.header, ports, settings)
    except VerificationError:
        return False
    return True


def _fits(deliveries: Sequence[Delivery], probe: RelaySession) -> None:
    limit = probe.extensions.size
    for delivery in deliveries:
        if limit is not None and delivery.size > limit:
            raise Refusal("R-19", detail=str(delivery.size))
