"""The decision record and the log lines of one outbound message."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from smimegw.custody import message_id_of
from smimegw.pipeline.dots import IN_DOUBT, Delivered
from smimegw.pipeline.gather import RecipientEvidence
from smimegw.pipeline.protect import label_of
from smimegw.pipeline.select import chosen, recipient_facts
from smimegw.policy.model import CertificateAnswer, Decision
from smimegw.ports import Ports
from smimegw.transaction import Delivery, Transaction

if TYPE_CHECKING:
    from smimegw.pipeline.plan import Plan


def log_decisions(tx: Transaction, decided: Plan, ports: Ports) -> None:
    """One line per recipient: rule, protection, certificate and its source; oddities before it."""
    for evidence in decided.evidence.recipients.values():
        _log_evidence(tx, evidence, ports)
    for decision in decided.decisions:
        ports.events.emit("recipient.decided", txn=tx.id, **_decision(decision, decided))


def _log_evidence(tx: Transaction, evidence: RecipientEvidence, ports: Ports) -> None:
    rcpt = evidence.mailbox.address
    for entry in evidence.judged:
        source = entry.found.source
        if entry.found.stale:
            ports.events.emit(
                "directory.stale",
                txn=tx.id,
                source=source,
                rcpt=rcpt,
                age=float(entry.found.cached_seconds),
            )
        if not entry.validated:
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


def _decision(decision: Decision, decided: Plan) -> dict[str, object]:
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


async def write(
    tx: Transaction, decided: Plan, deliveries: Sequence[Delivery], ports: Ports
) -> None:
    """Write why, per recipient, before anything leaves (R-20).

    Raises:
        RecordError: It could not be written.
    """
    record: dict[str, Any] = {
        "txn": tx.id,
        "at": decided.decided_at.isoformat(),
        "direction": "outbound",
        "listener": tx.session.listener,
        "peer": tx.session.peer,
        "user": tx.session.user,
        "from": decided.originator.address,
        "size": tx.size,
        "recipients": [
            {**_decision(decision, decided), "rule_source": decision.rule_source}
            for decision in decided.decisions
        ],
        "groups": [_group(delivery) for delivery in deliveries],
    }
    await ports.records.write(record)


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


def log_deliveries(
    tx: Transaction,
    decided_at: datetime,
    sealed_at: datetime,
    delivered: Sequence[Delivered],
    ports: Ports,
) -> None:
    """One delivery line per recipient, in the grammar that log analysers know."""
    now = ports.clock.now()
    stages = (tx.started_at, tx.received_at, decided_at, sealed_at, now)
    seconds = [(b - a).total_seconds() for a, b in itertools.pairwise(stages)]
    for entry in delivered:
        status = "sent" if entry.reply.is_positive else "deferred"
        if entry.reply.is_permanent:
            status = "bounced"
        values = {
            "to": entry.recipient.mailbox.address,
            "relay": entry.server or "none",
            "delay": (now - tx.started_at).total_seconds(),
            "delays": tuple(seconds),
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
