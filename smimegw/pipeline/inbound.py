"""One inbound message: strip, peel, annotate, hand on.  Results change fields, never the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from smimegw.content import Content, Store
from smimegw.errors import DatabaseError, KeystoreError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.mime.headers import HeaderField, HeaderSection, field
from smimegw.mime.marked_subject import without_marks
from smimegw.next_hop import RelaySession
from smimegw.pipeline.adoption import adopted_header
from smimegw.pipeline.annotate import result_fields, rewritten
from smimegw.pipeline.brief import brief
from smimegw.pipeline.carry import carriable, carried
from smimegw.pipeline.facts import message_facts, originator
from smimegw.pipeline.hand_on import hand_on
from smimegw.pipeline.harvest import learn
from smimegw.pipeline.inbound_record import Why, log_opened, write_inbound
from smimegw.pipeline.opened import Copy, Opened
from smimegw.pipeline.outcome import outcome_of
from smimegw.pipeline.replies import Refusal
from smimegw.pipeline.requirements import missing_requirement, passed, was_encrypted
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.strip import Claims, Stripped, strip_results
from smimegw.pipeline.thread import with_identifier
from smimegw.pipeline.unwrap import Peeler
from smimegw.policy.evaluate import match
from smimegw.policy.model import Actions, Policy
from smimegw.ports import Ports
from smimegw.smtp.extensions import Extensions
from smimegw.transaction import Delivery, Outcome, Recipient, ReversePath, Transaction


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
    stripped = await _stripped(tx, ports, settings)
    about = _why(tx, policy, stripped, settings)
    rules = {key: entry.rule.then for key, entry in about.matched.items()}
    peeler = Peeler(tx, ports, settings)
    reach("inbound.before-open")
    copies = await _open(tx, peeler, rules, ports, settings)
    reach("inbound.opened")
    if missing := _missing(copies, rules):
        await write_inbound(tx, copies, about, ports, settings)
        raise Refusal(missing)
    size = len(copies) * max(tx.size, *(_length(copy) for copy in copies))
    offers = probe.extensions
    copies = await brief(ports, size, _carriable, copies, offers, settings.limits, ports.spool)
    decided_at = ports.clock.now()
    make = partial(_delivery, tx, stripped, settings, trace, offers, ports.spool)
    deliveries = [await brief(ports, size, make, copy) for copy in copies]
    log_opened(tx, copies, ports)
    reach("inbound.built")
    await write_inbound(tx, copies, about, ports, settings)
    reach("inbound.recorded")
    delivered = await hand_on(tx, deliveries, decided_at, probe, ports, settings)
    outcome = outcome_of(tx.id, delivered, tx.envelope.recipients)
    reach("inbound.delivered")
    if outcome.reply.is_positive and any(passed(copy.opened) for copy in copies):
        await learn(tx, peeler.verified, ports, settings)
    return outcome


async def _stripped(tx: Transaction, ports: Ports, settings: Settings) -> Stripped:
    """Without the fields that only we may write (T-01)."""
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
    return stripped


def _why(tx: Transaction, policy: Policy, stripped: Stripped, settings: Settings) -> Why:
    message = message_facts(tx, settings)
    matched = {
        recipient.mailbox.key: match(policy, message, recipient.mailbox)
        for recipient in tx.envelope.recipients
    }
    return Why(message=message, matched=matched, policy=policy, removed=len(stripped.removed))


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


def _missing(copies: Sequence[Copy], rules: Mapping[str, Actions]) -> str:
    """The row of the first requirement that is not met; empty when all are."""
    for copy in copies:
        for recipient in copy.recipients:
            required = rules[recipient.mailbox.key].require
            if missing := missing_requirement(required, copy.opened):
                return missing
    return ""


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
    stripped: Stripped,
    settings: Settings,
    trace: HeaderField,
    offers: Extensions,
    store: Store,
    copy: Copy,
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
    if offers.dsn and was_encrypted(copy.opened):
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
