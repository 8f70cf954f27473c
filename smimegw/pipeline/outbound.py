"""One outbound message: gather, decide, group, protect, deliver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.errors import CMSError, LimitError, MIMEError, VerificationError
from smimegw.mime.headers import HeaderField
from smimegw.pipeline import deliver, gather, group, protect, record
from smimegw.pipeline.facts import message_facts, permitted_originator
from smimegw.pipeline.gather import OutboundEvidence
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
from smimegw.transaction import Delivery, Outcome, Recipient, Transaction

_ALWAYS_DROPPED = frozenset({"bcc", "resent-bcc"})  # RFC 5322, 3.6.3: nobody else may see it


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
        decided_at: When.
    """

    message: MessageFacts
    originator: Mailbox
    matched: tuple[Matched, ...]
    evidence: OutboundEvidence
    facts: tuple[RecipientFacts, ...]
    decisions: tuple[Decision, ...]
    decided_at: datetime


async def plan(tx: Transaction, policy: Policy, ports: Ports, settings: Settings) -> Plan:
    """Read what the rules need, and decide.

    Raises:
        Refusal: The From address may not be used (R-12).
    """
    author = permitted_originator(tx, settings)
    message = message_facts(tx, settings)
    recipients = [recipient.mailbox for recipient in tx.envelope.recipients]
    matched = tuple(match(policy, message, mailbox) for mailbox in recipients)
    evidence = await gather.outbound(
        author if any(_may_sign(entry.rule) for entry in matched) else None,
        {
            mailbox.key: mailbox
            for mailbox, entry in zip(recipients, matched, strict=True)
            if entry.rule.then.protect.encrypts
        }.values(),
        ports,
        settings,
    )
    signing = SigningFacts(answer=evidence.signing.answer, detail=evidence.signing.detail)
    facts = tuple(recipient_facts(_evidence_of(evidence, mailbox)) for mailbox in recipients)
    decisions = tuple(
        decide(entry, message, known, signing) for entry, known in zip(matched, facts, strict=True)
    )
    return Plan(
        message=message,
        originator=author,
        matched=matched,
        evidence=evidence,
        facts=facts,
        decisions=decisions,
        decided_at=ports.clock.now(),
    )


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
    deliveries = await _seal(tx, policy, decided, remaining, ports, settings, trace)
    _fits(deliveries, probe)
    await record.write(tx, decided, deliveries, ports)
    sealed_at = ports.clock.now()
    report = partial(record.log_deliveries, tx, decided.decided_at, sealed_at, ports=ports)
    delivered = await deliver.all_or_nothing(tx, deliveries, probe, ports, report)
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
    remaining: Sequence[tuple[Recipient, Decision]],
    ports: Ports,
    settings: Settings,
    trace: HeaderField,
) -> tuple[Delivery, ...]:
    own_signature, own_encryption = await _own_layers(tx, ports, settings)
    triggers = triggers_of(policy, decided.message)
    subject = stripped_subject(decided.message.subject, triggers)
    original = Original(
        content=tx.content,
        reverse_path=tx.envelope.reverse_path,
        trace=trace,
        subject=subject if triggers.subject_words else None,
        dropped=_ALWAYS_DROPPED | frozenset(triggers.field_names),
        own_signature=own_signature,
        own_encryption=own_encryption,
    )
    groups = group.by_treatment(remaining, decided.evidence, tx.content.header)
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


async def _own_layers(
    tx: Transaction, ports: Ports, settings: Settings
) -> tuple[bool, EncryptedLayer | None]:
    """What the client protected itself: a signature that holds, or an encryption (R-26)."""
    try:
        layer = await ports.workers.run(layer_of, tx.content, settings.limits)
    except (MIMEError, CMSError, LimitError):
        return False, None  # not S/MIME that anybody could open: protected like any other content
    if isinstance(layer, EncryptedLayer):
        return False, layer
    if isinstance(layer, SignedLayer):
        return await _holds(layer, tx, ports, settings), None
    return False, None


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
