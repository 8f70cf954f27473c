"""All reads of an outbound message, at once: its signing credential, recipients' certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities
from smimegw.errors import DatabaseError
from smimegw.pipeline.recipient_evidence import RecipientEvidence, recipient_evidence
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.signing_evidence import SigningEvidence, signing_evidence
from smimegw.policy.answers import SigningAnswer
from smimegw.ports import Ports


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundEvidence:
    """All of one outbound message."""

    signing: SigningEvidence
    recipients: dict[str, RecipientEvidence]


async def outbound(
    originator: Mailbox | None,
    recipients: Iterable[Mailbox],
    ports: Ports,
    settings: Settings,
    *,
    enrols: bool = False,
) -> OutboundEvidence:
    """Read all at once: the signing credential of *originator* and what *recipients* have.

    Args:
        originator: None when no rule signs.
        recipients: Only those for whom a rule encrypts, and whoever else must read their copies.
        ports: Where to read.
        settings: Trust and limits.
        enrols: An originator without a certificate gets one.
    """
    recipients = tuple(recipients)
    async with asyncio.TaskGroup() as tasks:
        learned = tasks.create_task(_capabilities(recipients, ports, settings))
        signer = tasks.create_task(
            _no_signer()
            if originator is None
            else signing_evidence(originator, ports, settings, enrols=enrols)
        )
        found = [
            tasks.create_task(recipient_evidence(mailbox, ports, settings))
            for mailbox in recipients
        ]
    known = learned.result()
    answers = [
        replace(answer, capabilities=known.get(answer.mailbox.key, NOTHING_KNOWN))
        for answer in (task.result() for task in found)
    ]
    return OutboundEvidence(
        signing=signer.result(), recipients={answer.mailbox.key: answer for answer in answers}
    )


async def _capabilities(
    recipients: Sequence[Mailbox], ports: Ports, settings: Settings
) -> dict[str, Capabilities]:
    """What mail from *recipients* taught; never raises.

    Whoever cannot be asked for counts as not known: the rule's floor holds for them as well.
    """
    if not recipients:
        return {}
    try:
        async with asyncio.timeout(settings.limits.lookup_seconds):
            found = await ports.correspondents.find(recipients)
    except (DatabaseError, TimeoutError) as exc:
        text = str(exc) or "no answer in time"
        ports.events.emit("directory.error", source="correspondents", text=text)
        return {}
    return {key: entry.capabilities for key, entry in found.items() if entry.capabilities}


async def _no_signer() -> SigningEvidence:
    return SigningEvidence(answer=SigningAnswer.NONE)
