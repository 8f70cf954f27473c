"""One outbound message: gather, decide, group, protect, deliver."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.errors import LimitError, MIMEError
from smimegw.failpoints import reach
from smimegw.mime.headers import HeaderField
from smimegw.next_hop import RelaySession
from smimegw.pipeline import decision_record, protect, record
from smimegw.pipeline.brief import with_keys
from smimegw.pipeline.complete import completed
from smimegw.pipeline.deliver import has_begun
from smimegw.pipeline.hand_on import hand_on
from smimegw.pipeline.outcome import outcome_of
from smimegw.pipeline.plan import Plan, plan
from smimegw.pipeline.protect import Original
from smimegw.pipeline.replies import Refusal, reply_for
from smimegw.pipeline.settings import Settings
from smimegw.policy.evaluate import stripped_subject, triggers_of
from smimegw.policy.facts import RecipientFacts
from smimegw.policy.model import Decision, Policy
from smimegw.ports import Ports
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, Outcome, Transaction

_OF_THE_SENDER = frozenset({"R-10", "R-13", "R-14", "R-22"})  # no recipient is to blame
_ALWAYS_DROPPED = frozenset({"bcc", "resent-bcc"})  # RFC 5322, 3.6.3: nobody else may see it


def refusal_reply(decision: Decision, facts: RecipientFacts, originator: Mailbox) -> Reply:
    """The reply for a decision that refuses."""
    reply = partial(reply_for, decision.refusal, deferred=decision.deferred)
    if decision.refusal in _OF_THE_SENDER:
        return reply(detail=f"<{originator.address}>")
    if decision.blocked_by is not None:
        about = decision.recipient if decision.refusal == "R-26" else decision.blocked_by
        return reply(mailbox=about, detail=decision.blocked_detail)
    return reply(mailbox=decision.recipient, detail=facts.detail)


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
    reach("outbound.decided")
    record.log_decisions(tx, decided, ports)
    pairs = tuple(zip(tx.envelope.recipients, decided.decisions, strict=True))
    refused = {
        recipient.mailbox.key: refusal_reply(decision, facts, decided.originator)
        for (recipient, decision), facts in zip(pairs, decided.facts, strict=True)
        if decision.refusal
    }
    remaining = [(r, d) for r, d in pairs if not d.refusal]
    alone = tx.session.is_lmtp and bool(remaining)  # each recipient has a reply of its own
    begun = bool(refused) and not alone and await has_begun(tx, ports)
    if refused and not alone and not begun:
        await decision_record.write_outbound(tx, decided, (), policy, ports, settings)
        return _refused(tx, refused)
    deliveries = await _seal(tx, policy, decided, ports, settings, trace)
    _fits(deliveries, probe)
    reach("outbound.sealed")
    await decision_record.write_outbound(tx, decided, deliveries, policy, ports, settings)
    reach("outbound.recorded")
    nobodys = [(r, refused[r.mailbox.key]) for r, d in pairs if d.refusal and begun]
    delivered = await hand_on(tx, deliveries, decided.decided_at, probe, ports, settings, nobodys)
    if begun:
        return outcome_of(tx.id, delivered, tx.envelope.recipients)
    outcome = outcome_of(tx.id, delivered, [recipient for recipient, _ in remaining])
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


def _original(
    tx: Transaction, policy: Policy, decided: Plan, settings: Settings, trace: HeaderField
) -> Original:
    """What every copy is made from, less what was meant for us alone."""
    triggers = triggers_of(policy, decided.message)
    subject = stripped_subject(decided.message.subject, triggers)
    return Original(
        content=completed(tx, settings.hostname),
        reverse_path=tx.envelope.reverse_path,
        trace=trace,
        subject=subject if triggers.subject_words else None,
        dropped=_ALWAYS_DROPPED | frozenset(triggers.field_names),
        own_signature=decided.own.signature,
        own_encryption=decided.own.encryption,
    )


async def _seal(
    tx: Transaction,
    policy: Policy,
    decided: Plan,
    ports: Ports,
    settings: Settings,
    trace: HeaderField,
) -> tuple[Delivery, ...]:
    original = _original(tx, policy, decided, settings, trace)
    groups = decided.groups
    if len(groups) > settings.limits.copies:
        raise Refusal("copies", detail=f"{len(groups)} different copies of one message")
    credential = decided.evidence.signing.credential
    now = decided.decided_at
    try:
        sealed = [
            await with_keys(
                (credential,) * len(groups) if credential else (),
                ports,
                tx.size,
                protect.seal,
                original,
                entry,
                credential,
                now=now,
                limits=settings.limits,
                store=ports.spool,
            )
            for entry in groups
        ]
    except (MIMEError, LimitError) as exc:
        raise Refusal("content", detail=str(exc)) from exc
    return tuple(sealed)


def _fits(deliveries: Sequence[Delivery], probe: RelaySession) -> None:
    limit = probe.extensions.size
    for delivery in deliveries:
        if limit is not None and delivery.size > limit:
            raise Refusal("R-19", detail=str(delivery.size))
