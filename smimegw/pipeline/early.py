"""Refuses at RCPT whom no copy could be made for, where the rule wants that (N-20)."""

from __future__ import annotations

import asyncio

from smimegw.addresses import Mailbox
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.outbound import refusal_reply
from smimegw.pipeline.recipient_evidence import recipient_evidence
from smimegw.pipeline.select import recipient_facts
from smimegw.pipeline.settings import Settings
from smimegw.policy.answers import SigningAnswer
from smimegw.policy.decide import decide
from smimegw.policy.early import match_early, refuses_recipient
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.model import Direction, Policy
from smimegw.ports import Ports
from smimegw.smtp.reply import Reply
from smimegw.transaction import ReversePath, SessionInfo


async def early_refusal(
    recipient: Mailbox,
    session: SessionInfo,
    reverse_path: ReversePath,
    policy: Policy,
    ports: Ports,
    settings: Settings,
) -> tuple[str, Reply] | None:
    """The row and the reply for *recipient*; None when only the message can tell, or all is well.

    Everything is asked again after the data: an answer that was good now may not be then.
    """
    message = MessageFacts(
        direction=direction_of(session.role),
        reverse_path=reverse_path.mailbox,
        user=session.user,
        internal_domains=settings.internal_domains,
    )
    if message.direction is not Direction.OUTBOUND or settings.shadow:
        return None
    matched = match_early(policy, message, recipient)
    if matched is None or not refuses_recipient(matched.rule):
        return None
    readers = (recipient, *matched.rule.then.treatment.also_encrypt_for)
    facts = await asyncio.gather(*(_facts(reader, ports, settings) for reader in readers))
    signing = SigningFacts(answer=SigningAnswer.USABLE)  # whose, the message will tell
    decision = decide(matched, message, facts[0], signing, facts[1:])
    if not decision.refusal:
        return None
    return decision.refusal, refusal_reply(decision, facts[0], recipient)


async def _facts(mailbox: Mailbox, ports: Ports, settings: Settings) -> RecipientFacts:
    return recipient_facts(await recipient_evidence(mailbox, ports, settings))
