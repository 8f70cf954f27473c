"""One inbound message: strip, peel, annotate, hand on.  Results change fields, never the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from smimegw.content import Content, Store
from smimegw.errors import DatabaseError, KeystoreError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.mime.headers import HeaderField, HeaderSection, field
from smimegw.mime.marked_subject import without_marks
from smimegw.pipeline import deliver
from smimegw.pipeline.adoption import adopted_header
from smimegw.pipeline.annotate import adoption_text, result_fields, rewritten
from smimegw.pipeline.assurance import overall
from smimegw.pipeline.brief import brief
from smimegw.pipeline.carry import carriable, carried
from smimegw.pipeline.decision_record import head, session_values, tell_deliveries
from smimegw.pipeline.facts import message_facts, originator
from smimegw.pipeline.harvest import learn
from smimegw.pipeline.known_facts import message_values
from smimegw.pipeline.replies import Refusal
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.strip import Claims, Stripped, strip_results
from smimegw.pipeline.thread import with_identifier
from smimegw.pipeline.unwrap import Opened, Peeler
from smimegw.policy.evaluate import Matched, match
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Actions, Policy, Requirement
from smimegw.ports import Ports, RelaySession
from smimegw.smime.report import LayerKind, LayerReport
from smimegw.smtp.extensions import Extensions
from smimegw.transaction import Delivery, Outcome, Recipient, ReversePath, Transaction


@dataclass(frozen=True, slots=True)
class Copy:
    """Recipients for whom the layers came apart in the same way."""

    recipients: tuple[Recipient, ...]
    opened: Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class _Why:
    """What was decided before anything was opened."""

    message: MessageFacts
    matched: Mapping[str, Matched]
    policy: Policy
    removed: int


async def handle_inbound(
    tx: Transaction,
    policy: Policy,
    ports: Ports,
    settings: Settings,
    probe: RelaySession,
    trace: HeaderField,
) -> Outcome:
    """Open, tell the result, deliver.

    Raises:
        Refusal: The keystore is locked (R-49), the database does not answer (R-22) or a partner
            rule is not met (R-52).
    """
    stripped = await brief(
        ports,
        len(tx.content.header.raw),
        strip_results,
        tx.content.header,
        settings.hostname,
        settings.subject_marks,
        settings.claims.get(tx.session.listener, Claims()),
    )
    if stripped.removed:
        ports.events.emit("header.removed", txn=tx.id, count=len(stripped.removed))
    message = message_facts(tx, settings)
    matched = {
        recipient.mailbox.key: match(policy, message, recipient.mailbox)
        for recipient in tx.envelope.recipients
    }
    rules = {key: entry.rule.then for key, entry in matched.items()}
    peeler = Peeler(tx, ports, settings)
    reach("inbound.before-open")
    copies = await _open(tx, peeler, rules, ports, settings)
    reach("inbound.opened")
    about = _Why(message=message, matched=matched, policy=policy, removed=len(stripped.removed))
    try:
        _meets_requirements(copies, rules)
    except Refusal:
        await ports.records.write(_record(tx, copies, about, ports, settings))
        raise
    size = len(copies) * max(tx.size, *(_length(copy) for copy in copies))
    copies = await brief(
        ports, size, _carriable, copies, probe.extensions, settings.limits, ports.spool
    )
    decided_at = ports.clock.now()
    deliveries = [
        await brief(
            ports,
            size,
            _delivery,
            tx,
            copy,
            stripped,
            settings,
            trace,
            probe.extensions,
            ports.spool,
        )
        for copy in copies
    ]
    _log(tx, copies, ports)
    reach("inbound.built")
    await ports.records.write(_record(tx, copies, about, ports, settings))
    reach("inbound.recorded")
    sealed_at = ports.clock.now()
    report = partial(tell_deliveries, tx, decided_at, sealed_at, ports=ports, settings=settings)
    delivered = await deliver.all_or_nothing(tx, deliveries, probe, ports, settings, report)
    outcome = deliver.outcome_of(tx.id, delivered, tx.envelope.recipients)
    reach("inbound.delivered")
    if outcome.reply.is_positive and any(_passed(copy.opened) for copy in copies):
        await learn(tx, peeler.verified, ports, settings)
    return outcome


async def _open(
    tx: Transaction,
    peeler: Peeler,
    rules: Mapping[str, Actions],
    ports: Ports,
    settings: Settings,
) -> tuple[Copy, ...]:
    """Peel for each recipient alone: a key opens only the copy of its own mailbox (T-06)."""
    everybody = [recipient.mailbox for recipient in tx.envelope.recipients]
    copies: dict[Opened, list[Recipient]] = {}
    for recipient in tx.envelope.recipients:
        owners = [recipient.mailbox] if settings.strict else everybody
        try:
            old_ciphers = rules[recipient.mailbox.key].old_ciphers
            opened = await peeler.open_for(owners, old_ciphers=old_ciphers)
        except KeystoreError as exc:
            raise Refusal("R-13" if exc.locked else "R-14") from exc
        except DatabaseError as exc:
            ports.events.emit("memory.error", txn=tx.id, text=str(exc), code="R-22")
            raise Refusal("R-22") from exc
        copies.setdefault(opened, []).append(recipient)
    return tuple(Copy(tuple(recipients), opened) for opened, recipients in copies.items())


def _meets_requirements(copies: Sequence[Copy], rules: Mapping[str, Actions]) -> None:
    for copy in copies:
        for recipient in copy.recipients:
            required = rules[recipient.mailbox.key].require
            if missing := missing_requirement(required, copy.opened):
                raise Refusal(missing)


def missing_requirement(required: Requirement, opened: Opened) -> str:
    """The row of what a rule requires and the mail has not; empty when it has it."""
    if required is Requirement.SIGNED:
        return _not_passed(opened)
    if required is Requirement.ENCRYPTED and not _was_encrypted(opened):
        return "R-52-encrypted"
    return ""


def _not_passed(opened: Opened) -> str:
    """The row when the signature does not count, empty when it does.

    What cannot be told now, because a directory or a revocation server is down, is not a missing
    signature: the sender's server comes again.
    """
    signature = overall(opened.reports)
    if signature is not None and signature.result == "temperror":
        return "R-52-unknown"
    return "" if _passed(opened) else "R-52-signed"


def _passed(opened: Opened) -> bool:
    signature = overall(opened.reports)
    return signature is not None and signature.result == "pass"


def _was_encrypted(opened: Opened) -> bool:
    """Whether it came encrypted.  Whether it could be opened is nothing to tell a sender (J11)."""
    return any(entry.kind is LayerKind.ENCRYPTION for entry in opened.reports)


def _length(copy: Copy) -> int:
    """Of what came out, which a compressed layer makes longer than what came in."""
    return len(copy.opened.entity.body) if copy.opened.entity else 0


def _carriable(
    copies: Sequence[Copy], offers: Extensions, limits: Limits, store: Store
) -> tuple[Copy, ...]:
    return tuple(
        replace(copy, opened=carriable(copy.opened, offers, limits, store)) for copy in copies
    )


def _delivery(
    tx: Transaction,
    copy: Copy,
    stripped: Stripped,
    settings: Settings,
    trace: HeaderField,
    offers: Extensions,
    store: Store,
) -> Delivery:
    results = list(
        result_fields(
            copy.opened.reports,
            settings.hostname,
            originator(tx.content.header),
            copy.opened.adoption,
        )
    )
    if stripped.removed:
        results.append(field("X-Smimegw-Removed", f"n={len(stripped.removed)}"))
    keep = settings.keep_original and copy.opened.unwrapped
    inside = carried(copy.opened, offers, settings.limits, store)
    header = adopted_header(stripped.header, copy.opened.adoption)
    header = without_marks(header, settings.subject_marks)  # also of a Subject from inside
    if any(entry.result == "decrypted" for entry in copy.opened.reports):
        header = with_identifier(header, tx)
    entity = rewritten(tx.content, header, inside, keep_original=keep)
    top = HeaderSection((*results, trace))
    reverse_path = tx.envelope.reverse_path
    if offers.dsn and _was_encrypted(copy.opened):
        reverse_path = _headers_only(reverse_path)
    return Delivery(
        reverse_path=reverse_path,
        recipients=copy.recipients,
        pieces=Content.joined(
            (top.raw, entity.header.raw, entity.separator or b"\r\n", entity.body)
        ).settled(),
    )


def _headers_only(reverse_path: ReversePath) -> ReversePath:
    """The path with RET=HDRS (RFC 3461, 4.3), whatever the sender wants.

    A report of the next hop that quoted the content would give what we opened to whoever sent us
    the ciphertext (T-31).  Ciphertext that stayed closed goes the same way, or the report would
    tell which it was (cases J11).
    """
    others = tuple(entry for entry in reverse_path.parameters if entry[0] != "RET")
    return replace(reverse_path, parameters=(*others, ("RET", "HDRS")))


def _log(tx: Transaction, copies: Sequence[Copy], ports: Ports) -> None:
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


def _record(
    tx: Transaction, copies: Sequence[Copy], about: _Why, ports: Ports, settings: Settings
) -> dict[str, object]:
    author = about.message.originator
    recipients = [recipient.mailbox for recipient in tx.envelope.recipients]
    return {
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


def _layer(entry: LayerReport) -> dict[str, object]:
    return {
        "kind": entry.kind.value,
        "layer": entry.layer,
        "result": entry.result,
        "reason": entry.reason,
        "cert": entry.fingerprint,
    }
