"""Explains what would happen to one inbound message; nothing is sent, stored or learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from smimegw.addresses import Mailbox
from smimegw.app import Assembled
from smimegw.cli.exits import Exit
from smimegw.cli.unwritten import UnwrittenSightings
from smimegw.pipeline.annotate import adoption_text
from smimegw.pipeline.facts import message_facts
from smimegw.pipeline.live_recipients import NOT_OURS
from smimegw.pipeline.replies import reply_for
from smimegw.pipeline.requirements import missing_requirement
from smimegw.pipeline.unwrap import Peeler
from smimegw.policy.evaluate import Matched, match
from smimegw.policy.model import Policy
from smimegw.smtp.reply import Reply
from smimegw.transaction import Transaction

_LISTED_RULES = 2
_THE_NEXT_HOPS = "the next hop's"


@dataclass(frozen=True, slots=True)
class _Explained:
    """What would happen to one recipient's copy; no reply of ours is the next hop's."""

    mailbox: Mailbox
    matched: Matched
    layers: tuple[str, ...]
    header: str
    reply: Reply | None


async def explain_inbound(
    tx: Transaction, policy: Policy, assembled: Assembled, as_json: bool
) -> Exit:
    """Tell rule, layers and reply of each recipient."""
    register = UnwrittenSightings(assembled.ports.sightings)
    peeler = Peeler(tx, replace(assembled.ports, sightings=register), assembled.settings)
    facts = message_facts(tx, assembled.settings)
    rows = []
    for recipient in tx.envelope.recipients:
        mailbox = recipient.mailbox
        matched = match(policy, facts, mailbox)
        actions = matched.rule.then
        opened = await peeler.open_for([mailbox], old_ciphers=actions.old_ciphers)
        layers = tuple(
            f"{entry.kind.value} {entry.result}" + (f" ({entry.reason})" if entry.reason else "")
            for entry in opened.reports
        )
        missing = missing_requirement(actions.require, opened)
        reply = reply_for(missing) if missing else None
        if not assembled.settings.is_internal(mailbox):
            reply = NOT_OURS
        header = adoption_text(opened.adoption) if opened.adoption else ""
        rows.append(_Explained(mailbox, matched, layers, header, reply))
    if as_json:
        listed = [_values(row) for row in rows]
        values = {"schema": 1, "kind": "explain", "direction": "inbound", "recipients": listed}
        click.echo(json.dumps(values))
    else:
        _tell(tx, rows)
    refusals = [row.reply for row in rows if row.reply is not None]
    if not refusals:
        return Exit.YES
    return Exit.NO if any(reply.is_permanent for reply in refusals) else Exit.CANNOT_TELL


def _values(row: _Explained) -> dict[str, object]:
    return {
        "address": row.mailbox.address,
        "rule": row.matched.rule.name,
        "layers": list(row.layers),
        "header": row.header,
        "reply": str(row.reply or _THE_NEXT_HOPS),
    }


def _tell(tx: Transaction, rows: Sequence[_Explained]) -> None:
    click.echo(f"Direction  inbound, {tx.size} octets")
    for row in rows:
        click.echo(f"\n<{row.mailbox.address}>   would reply {row.reply or _THE_NEXT_HOPS}")
        tell_rule(row.matched)
        click.echo(f"  layers     {'; '.join(row.layers) or 'none: not S/MIME'}")
        if row.header:
            click.echo(f"  header     {row.header}")
    click.echo("\nNothing was sent, stored or learned.")


def tell_rule(matched: Matched) -> None:
    """Tell which rule applies, and the nearest before it that do not."""
    rule = matched.rule
    click.echo(f'  rule       {rule.source}  "{rule.name}"')
    click.echo(f"  why        {rule.why}")
    for tried in matched.tried[-_LISTED_RULES:]:
        click.echo(f'  before it  {tried.source}  "{tried.rule}" did not match: {tried.why_not}')
