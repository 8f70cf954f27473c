"""The log lines of one message: as it came, decided for each recipient, what became of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from smimegw.custody import message_id_of
from smimegw.pipeline.dots import IN_DOUBT, Delivered
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.protect import label_of
from smimegw.pipeline.recipient_evidence import RecipientEvidence
from smimegw.pipeline.select import chosen, recipient_facts, verdicts
from smimegw.policy.answers import CertificateAnswer
from smimegw.policy.model import Decision
from smimegw.ports import Ports
from smimegw.smtp.reply import Reply
from smimegw.transaction import Envelope, SessionInfo, Transaction

if TYPE_CHECKING:
    from smimegw.pipeline.plan import Plan


def log_received(tx: Transaction, ports: Ports) -> None:
    """One line for a message that is complete."""
    reverse_path = tx.envelope.reverse_path.mailbox
    ports.events.emit(
        "message.received",
        txn=tx.id,
        **{
            "message-id": message_id_of(tx),
            "from": reverse_path.address if reverse_path else "",
            "size": tx.size,
            "nrcpt": len(tx.envelope.recipients),
            "direction": direction_of(tx.session.role).value,
            "client": tx.session.peer,
            "upstream_id": tx.session.upstream_id,
        },
    )


def log_refusal(
    txn: str,
    session: SessionInfo,
    envelope: Envelope,
    stage: str,
    reply: Reply,
    row: str,
    ports: Ports,
) -> None:
    """One line for recipients or a message refused at *stage*, with the *row* of the table."""
    reverse_path = envelope.reverse_path.mailbox
    ports.events.emit(
        "message.refused",
        txn=txn,
        **{
            "stage": stage,
            "client": session.peer,
            "reply": str(reply),
            "code": row,
            "from": reverse_path.address if reverse_path else "",
            "to": ",".join(entry.mailbox.address for entry in envelope.recipients),
            "proto": session.protocol,
            "helo": session.helo,
        },
    )


def log_decisions(tx: Transaction, decided: Plan, ports: Ports) -> None:
    """One line per recipient: rule, protection, certificate and its source; oddities before it."""
    for evidence in decided.evidence.recipients.values():
        _log_evidence(tx, evidence, ports)
    for decision in decided.decisions:
        values = recipient_values(decision, decided)
        ports.events.emit("recipient.decided", txn=tx.id, **values)


def _log_evidence(tx: Transaction, evidence: RecipientEvidence, ports: Ports) -> None:
    rcpt = evidence.mailbox.address
    for entry in verdicts(evidence):
        source = entry.found.source
        if entry.found.stale:
            ports.events.emit(
                "directory.stale",
                txn=tx.id,
                source=source,
                rcpt=rcpt,
                age=float(entry.found.cached_seconds),
            )
        if not entry.is_used:
            ports.events.emit(
                "certificate.not_usable",
                txn=tx.id,
                rcpt=rcpt,
                cert=entry.found.certificate.fingerprint,
                source=source,
                reason=entry.reason,
            )
    if recipient_facts(evidence).certificate is CertificateAnswer.AMBIGUOUS:
        owners = tuple(dict.fromkeys(entry.found.owner for entry in evidence.judged))
        ports.events.emit(
            "certificate.ambiguous",
            txn=tx.id,
            rcpt=rcpt,
            source=evidence.judged[0].found.source,
            owners=owners,
        )


def recipient_values(decision: Decision, decided: Plan) -> dict[str, object]:
    """What was decided for one recipient and why, as log line and record say it."""
    values: dict[str, object] = {
        "rcpt": decision.recipient.address,
        "rule": decision.rule,
        "protect": label_of(decision.protection),
    }
    evidence = decided.evidence.recipients.get(decision.recipient.key)
    if evidence is not None and decision.protection.encrypts and not decision.refusal:
        used = chosen(evidence)
        found = {entry.found.certificate: entry.found for entry in evidence.judged}
        values["cert"] = ",".join(entry.certificate.fingerprint for entry in used)
        values["source"] = ",".join(
            dict.fromkeys(found[entry.certificate].source for entry in used)
        )
        # such as good/crl 2026-11-23T02:00Z, with "overdue" behind it within the grace time
        status = (f"{entry.revocation.value}/{entry.evidence}" for entry in used)
        values["status_of_cert"] = ",".join(dict.fromkeys(status))
        values["algo"] = _algorithm(decision, decided)
    if decision.refusal:
        values["refusal"] = decision.refusal
    if decision.fallback:
        values["fallback"] = decision.fallback
    if decision.blocked_by is not None:
        values["note"] = f"because of <{decision.blocked_by.address}>"
    if decision.note:
        values["note"] = decision.note
    return values


def _algorithm(decision: Decision, decided: Plan) -> str:
    """Such as ``aes-256-gcm/capabilities``; ``own`` for what the mail program encrypted."""
    group = decided.group_of(decision.recipient)
    if decided.keeps_own_encryption(decision.recipient):
        return "own"
    return group.cipher.label if group is not None and group.cipher is not None else ""


def log_deliveries(
    tx: Transaction,
    decided_at: datetime,
    sealed_at: datetime,
    delivered: Sequence[Delivered],
    ports: Ports,
) -> tuple[float, ...]:
    """One delivery line per recipient, in the grammar that log analysers know.

    Returns:
        Seconds for receiving, deciding, protecting and relaying.
    """
    now = ports.clock.now()
    stages = (tx.started_at, tx.received_at, decided_at, sealed_at, now)
    seconds = tuple((b - a).total_seconds() for a, b in itertools.pairwise(stages))
    for entry in delivered:
        status = "sent" if entry.reply.is_positive else "deferred"
        if entry.reply.is_permanent:
            status = "bounced"
        values = {
            "to": entry.recipient.mailbox.address,
            "relay": entry.server or "none",
            "delay": (now - tx.started_at).total_seconds(),
            "delays": seconds,
            "protect": label_of(entry.delivery.protection),
            "dsn": entry.upstream.enhanced or f"{entry.upstream.code // 100}.0.0",
            "status": status,
            "text": str(entry.upstream),
        }
        if entry.reply == IN_DOUBT:
            ports.events.emit(
                "delivery.in_doubt",
                txn=tx.id,
                **{
                    "to": values["to"],
                    "relay": values["relay"],
                    "message-id": message_id_of(tx),
                    "reason": "no-reply",
                },
            )
        ports.events.emit("recipient.delivered", txn=tx.id, **values)
    return seconds
