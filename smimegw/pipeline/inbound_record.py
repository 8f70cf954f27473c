"""The log lines and the decision record of one message that came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smimegw.pipeline.annotate import adoption_text
from smimegw.pipeline.assurance import overall
from smimegw.pipeline.decision_record import head, session_values
from smimegw.pipeline.known_facts import message_values
from smimegw.pipeline.opened import Copy
from smimegw.pipeline.settings import Settings
from smimegw.policy.evaluate import Matched
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Policy
from smimegw.ports import Ports
from smimegw.smime.report import LayerKind, LayerReport
from smimegw.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What was decided before anything was opened."""

    message: MessageFacts
    matched: Mapping[str, Matched]
    policy: Policy
    removed: int


async def write_inbound(
    tx: Transaction, copies: Sequence[Copy], about: Why, ports: Ports, settings: Settings
) -> None:
    """Write why, per recipient, before anything leaves (R-20).

    Raises:
        RecordError: It could not be written.
    """
    author = about.message.originator
    recipients = [recipient.mailbox for recipient in tx.envelope.recipients]
    await ports.records.write(
        {
            **head("decision", tx, ports.clock.now(), settings),
            **session_values(tx),
            "from": author.address if author else "",
            "policy": about.policy.digest,
            "removed_fields": about.removed,
            "facts": message_values(about.message, recipients, about.policy),
            "recipients": [
                {
                    "rcpt": recipient.mailbox.address,
                    "rule": about.matched[recipient.mailbox.key].rule.name,
                    "rule_source": about.matched[recipient.mailbox.key].rule.source,
                    **_summary(copy),
                    "layers": [_layer(entry) for entry in copy.opened.reports],
                    "header": adoption_text(copy.opened.adoption) if copy.opened.adoption else "",
                }
                for copy in copies
                for recipient in copy.recipients
            ],
        }
    )


def log_opened(tx: Transaction, copies: Sequence[Copy], ports: Ports) -> None:
    """One line for each recipient, and one for each limit that was hit."""
    for copy in copies:
        for entry in copy.opened.reports:
            if entry.reason == "limits":
                # A LimitError's text begins with the limit's name; an encrypted layer gives no
                # details, and it has only one limit.
                name = entry.detail.partition(":")[0] or "recipient_infos"
                ports.events.emit("limit.hit", txn=tx.id, limit=name, text=entry.detail)
        for recipient in copy.recipients:
            ports.events.emit(
                "message.opened", txn=tx.id, rcpt=recipient.mailbox.address, **_summary(copy)
            )


def _summary(copy: Copy) -> dict[str, object]:
    signature = overall(copy.opened.reports)
    values: dict[str, object] = {"signed": signature.result if signature else "none"}
    if signature and signature.reason:
        values["reason"] = signature.reason
    if signature and signature.fingerprint:
        values["cert"] = signature.fingerprint
    encryptions = (e for e in copy.opened.reports if e.kind is LayerKind.ENCRYPTION)
    encryption = next(encryptions, None)
    values["encrypted"] = encryption.result if encryption else "no"
    if encryption and encryption.cipher:
        values["cipher"] = encryption.cipher
    if encryption and encryption.integrity:
        values["integrity"] = encryption.integrity
    if encryption and encryption.references:
        values["references"] = encryption.references
    if encryption and encryption.reason:
        values["decrypt_reason"] = encryption.reason
    return values


def _layer(entry: LayerReport) -> dict[str, object]:
    return {
        "kind": entry.kind.value,
        "layer": entry.layer,
        "result": entry.result,
        "reason": entry.reason,
        "cert": entry.fingerprint,
    }
