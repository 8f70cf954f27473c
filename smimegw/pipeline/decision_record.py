"""The records of one transaction: why it was treated so, where it went, what the client was told.

The first is on the disk before anything leaves (R-20); the others tell what happened already.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from smimegw.custody import message_id_of
from smimegw.pipeline.dots import IN_DOUBT, Delivered
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.known_facts import outbound_values
from smimegw.pipeline.plan import Plan
from smimegw.pipeline.protect import label_of
from smimegw.pipeline.record import log_deliveries, recipient_values
from smimegw.pipeline.select import evidence_values
from smimegw.pipeline.settings import Settings
from smimegw.policy.model import Decision, Policy
from smimegw.ports import Ports
from smimegw.transaction import Delivery, Outcome, Transaction

_SCHEMA = 1


def head(kind: str, tx: Transaction, at: datetime, settings: Settings) -> dict[str, Any]:
    """What every record of *tx* begins with."""
    return {
        "schema": _SCHEMA,
        "kind": kind,
        "txn": tx.id,
        "at": at.isoformat(),
        "node": settings.hostname,
        "direction": direction_of(tx.session.role).value,
        **({"shadow": True} if settings.shadow else {}),
    }


def session_values(tx: Transaction) -> dict[str, Any]:
    """Where *tx* came from."""
    session, path = tx.session, tx.envelope.reverse_path.mailbox
    values = {
        "listener": session.listener,
        "peer": session.peer,
        "helo": session.helo,
        "tls": session.tls,
        "user": session.user,
        "upstream_id": session.upstream_id,
        "message_id": message_id_of(tx),
        "reverse_path": path.address if path else "",
        "started_at": tx.started_at.isoformat(),
        "received_at": tx.received_at.isoformat(),
        "size": tx.size,
    }
    return {key: value for key, value in values.items() if value not in ("", 0)}


async def write_outbound(
    tx: Transaction,
    decided: Plan,
    deliveries: Sequence[Delivery],
    policy: Policy,
    ports: Ports,
    settings: Settings,
) -> None:
    """Write why, per recipient, before anything leaves (R-20).

    Raises:
        RecordError: It could not be written.
    """
    await ports.records.write(
        {
            **head("decision", tx, decided.decided_at, settings),
            **session_values(tx),
            "from": decided.originator.address,
            "policy": policy.digest,
            "recipients": [
                {
                    **recipient_values(decision, decided),
                    "rule_source": decision.rule_source,
                    **_looked_up(decision, decided),
                }
                for decision in decided.decisions
            ],
            "groups": [_group(delivery) for delivery in deliveries],
            "facts": outbound_values(decided, policy),
        }
    )


def _looked_up(decision: Decision, decided: Plan) -> dict[str, Any]:
    """What the sources said of the recipient, and which certificates are not used and why."""
    evidence = decided.evidence.recipients.get(decision.recipient.key)
    return evidence_values(evidence) if evidence is not None else {}


def _group(delivery: Delivery) -> dict[str, Any]:
    values: dict[str, Any] = {
        "recipients": [recipient.mailbox.address for recipient in delivery.recipients],
        "protect": label_of(delivery.protection),
        "size": delivery.size,
    }
    if delivery.proof is not None:
        values["readers"] = [reader.address for reader in delivery.proof.recipients]
        values["cipher"] = delivery.proof.cipher_label
        values["keys"] = list(delivery.proof.key_labels)  # none when the mail program encrypted
    return values


def tell_deliveries(
    tx: Transaction,
    decided_at: datetime,
    sealed_at: datetime,
    delivered: Sequence[Delivered],
    *,
    ports: Ports,
    settings: Settings,
) -> None:
    """Log and note what the next hop said of each recipient who was tried."""
    seconds = log_deliveries(tx, decided_at, sealed_at, delivered, ports)
    ports.records.note(
        {
            **head("delivery", tx, ports.clock.now(), settings),
            "seconds": [round(entry, 6) for entry in seconds],
            "recipients": [_fate(entry) for entry in delivered],
        }
    )


def _fate(entry: Delivered) -> dict[str, Any]:
    return {
        "rcpt": entry.recipient.mailbox.address,
        "relay": entry.server or "none",
        "reply": str(entry.upstream),
        **({"in_doubt": True} if entry.reply == IN_DOUBT else {}),
        **({"reported": True} if entry.reported else {}),
    }


def note_aborted(
    txn: str, recipients: Sequence[str], why: str, ports: Ports, settings: Settings
) -> None:
    """Note that no reply was made: the session or the process ended before.

    Args:
        txn: The transaction.
        recipients: Their addresses.
        why: ``session`` or ``crash``.
        ports: With records and clock.
        settings: Who we are.
    """
    ports.records.note(
        {
            "schema": _SCHEMA,
            "kind": "aborted",
            "txn": txn,
            "at": ports.clock.now().isoformat(),
            "node": settings.hostname,
            "why": why,
            "recipients": [{"rcpt": address} for address in recipients],
        }
    )


def note_reply(
    tx: Transaction, outcome: Outcome, row: str, ports: Ports, settings: Settings
) -> None:
    """Note what the client was told at the end; *row* is that of the failure table, or empty."""
    replies = outcome.per_recipient or (outcome.reply,) * len(tx.envelope.recipients)
    ports.records.note(
        {
            **head("reply", tx, ports.clock.now(), settings),
            **session_values(tx),
            "reply": str(outcome.reply),
            **({"refusal": row} if row else {}),
            "recipients": [
                {"rcpt": recipient.mailbox.address, "reply": str(reply)}
                for recipient, reply in zip(tx.envelope.recipients, replies, strict=True)
            ],
        }
    )
