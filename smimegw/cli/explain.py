"""``smimegw explain``: what would happen to a message, and why; nothing is sent or stored."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from smimegw.address_lists import parse_mailboxes
from smimegw.addresses import Mailbox
from smimegw.app import Assembled, assemble
from smimegw.cli.algorithms import algorithm_lines, algorithm_values
from smimegw.cli.exits import Exit, exits
from smimegw.cli.explained_inbound import explain_inbound, tell_rule
from smimegw.cli.found_certificates import certificate_lines, source_lines
from smimegw.cli.options import config_option, json_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.config.policies import PolicyFolder
from smimegw.errors import UsageError
from smimegw.mime.entity import Entity
from smimegw.mime.headers import encode_text_field, field
from smimegw.pipeline.facts import originator
from smimegw.pipeline.outbound import refusal_reply
from smimegw.pipeline.plan import Plan, plan
from smimegw.pipeline.protect import label_of
from smimegw.pipeline.replies import Refusal
from smimegw.pipeline.select import chosen, evidence_values
from smimegw.policy.header_keys import header_text
from smimegw.policy.model import Decision, Policy
from smimegw.ports import NoEnrolment
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import (
    Envelope,
    Recipient,
    ReversePath,
    SessionInfo,
    Transaction,
)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--from", "sender", metavar="ADDRESS", help="From; default: the file's own.")
@click.option("--to", multiple=True, metavar="ADDRESS", help="Recipient; may be repeated.")
@click.option("--subject", metavar="TEXT", help="Subject, for trigger words.")
@click.option("--header", multiple=True, metavar="'NAME: VALUE'", help="Header field.")
@click.option("--user", default="", help="Login of a submission client.")
@click.option("--policy", "folder", type=click.Path(path_type=Path), help="A draft policy.")
@config_option
@json_option
@exits
def explain(
    file: Path | None,
    sender: str | None,
    to: tuple[str, ...],
    subject: str | None,
    header: tuple[str, ...],
    user: str,
    folder: Path | None,
    config: Path,
    as_json: bool,
) -> Exit:
    """Say for each recipient: rule, certificate, those not used, protection, reply.

    FILE is a message; - reads it from standard input.  Without FILE give --from and --to.
    Mail from one of our domains is explained as outbound, other mail as inbound.

    \b
    Examples:
      smimegw explain --from alice@corp.example --to bob@partner.example
      smimegw explain note.eml --policy ./draft --json
    """
    configuration = load(config, check_files=False)
    configured = PolicyFolder.configured(configuration.policies)
    policy = (PolicyFolder(folder) if folder else configured).load()
    content = _content(file, sender, to, subject, header)
    recipients = _recipients(content, to)
    return asyncio.run(_explain(configuration, policy, content, recipients, user, as_json))


def _content(
    file: Path | None,
    sender: str | None,
    to: Sequence[str],
    subject: str | None,
    header: Sequence[str],
) -> Entity:
    if file is None and not (sender and to):
        raise UsageError("give a message file, or --from ADDRESS and --to ADDRESS")
    octets = b""
    if file is not None:
        octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    octets = octets.replace(b"\r\n", b"\n")
    if b"\r" in octets or b"\0" in octets:
        raise UsageError(f"{file}: bare CR or NUL, which every listener refuses (R-53)")
    entity = Entity.parse(octets.replace(b"\n", b"\r\n"))
    section = entity.header
    if sender:
        section = section.replace(field("From", Mailbox.parse(sender).address.encode()))
    if to and not section.all("to"):
        addresses = ", ".join(Mailbox.parse(entry).address for entry in to)
        section = section.replace(field("To", addresses.encode()))  # UTF-8: RFC 6532, 3.2
    if subject is not None:
        section = section.replace(encode_text_field("Subject", subject))
    for line in header:
        name, _, value = line.partition(":")
        section = section.append(
            (field(name.strip(), value.strip().encode("utf-8", "surrogateescape")),)
        )
    return entity.with_header(section)


def _recipients(content: Entity, to: Sequence[str]) -> tuple[Mailbox, ...]:
    if to:
        return tuple(Mailbox.parse(address) for address in to)
    found = [
        named.mailbox
        for name in ("to", "cc", "bcc")
        for entry in content.header.all(name)
        for named in parse_mailboxes(entry.body)
    ]
    if not found:
        raise UsageError("the message names no recipient; give --to ADDRESS")
    return tuple(dict.fromkeys(found))


async def _explain(
    configuration: Configuration,
    policy: Policy,
    content: Entity,
    recipients: Sequence[Mailbox],
    user: str,
    as_json: bool,
) -> Exit:
    assembled = assemble(configuration)
    try:
        author = originator(content.header)
        ours = author is not None and assembled.settings.is_internal(author.mailbox)
        tx = _transaction(content, recipients, user, assembled, inbound=not ours)
        if ours:
            return await _outbound(tx, policy, assembled, as_json)
        return await explain_inbound(tx, policy, assembled, as_json)
    finally:
        await assembled.close()


def _transaction(
    content: Entity,
    recipients: Sequence[Mailbox],
    user: str,
    assembled: Assembled,
    *,
    inbound: bool,
) -> Transaction:
    author = originator(content.header)
    role = ListenerRole.SUBMISSION if user else ListenerRole.RELAY
    now = assembled.ports.clock.now()
    return Transaction(
        id="EXPLAIN",
        session=SessionInfo(
            listener="explain",
            role=ListenerRole.MX if inbound else role,
            protocol="ESMTP",
            peer="",
            user=user,
        ),
        envelope=Envelope(
            reverse_path=ReversePath(mailbox=author.mailbox if author else None),
            recipients=tuple(Recipient(mailbox=mailbox) for mailbox in recipients),
        ),
        content=content,
        started_at=now,
        received_at=now,
    )


# --- outbound ------------------------------------------------------------------------------------


async def _outbound(tx: Transaction, policy: Policy, assembled: Assembled, as_json: bool) -> Exit:
    try:
        # A question makes no certificate: where mail would get one, this says that there is none.
        ports = replace(assembled.ports, enrolment=NoEnrolment())
        decided = await plan(tx, policy, ports, assembled.settings)
    except Refusal as refusal:
        _tell_refusal(refusal, as_json)
        return Exit.NO
    replies = [
        refusal_reply(decision, facts, decided.originator)
        if decision.refusal
        else Reply(250, "2.0.0", "OK")
        for decision, facts in zip(decided.decisions, decided.facts, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(_values(decided, replies)))
    else:
        _tell(tx, decided, replies)
    if all(reply.is_positive for reply in replies):
        return Exit.YES
    return Exit.NO if any(reply.is_permanent for reply in replies) else Exit.CANNOT_TELL


def _tell_refusal(refusal: Refusal, as_json: bool) -> None:
    if as_json:
        values = {"schema": 1, "kind": "explain", "reply": str(refusal.reply), "recipients": []}
        click.echo(json.dumps(values))
    else:
        click.echo(f"The whole message would be refused: {refusal.reply}")


def _tell(tx: Transaction, decided: Plan, replies: Sequence[Reply]) -> None:
    click.echo(f"Direction  outbound, From <{decided.originator.address}>, {tx.size} octets")
    for matched, decision, reply in zip(decided.matched, decided.decisions, replies, strict=True):
        what = label_of(decision.protection).upper() if not decision.refusal else "NOTHING IS SENT"
        click.echo(f"\n<{decision.recipient.address}>  ->  {what}   would reply {reply}")
        tell_rule(matched)
        if decision.fallback:
            click.echo(f"  fallback   certificate {decision.fallback}: the rule allows less")
        if decision.note:
            click.echo(f"  note       {decision.note}")
        _tell_encryption(decided, decision)
        _tell_header(decision)
    _tell_signature(decided)
    click.echo("\nNothing was sent, stored or learned.")


def _tell_encryption(decided: Plan, decision: Decision) -> None:
    evidence = decided.evidence.recipients.get(decision.recipient.key)
    if evidence is None:
        return
    for line in source_lines(evidence):
        click.echo(f"  {line}")
    for line in certificate_lines(evidence):
        click.echo(f"  cert       {line}")
    for reader in decision.treatment.other_readers(decided.originator):
        for line in certificate_lines(decided.evidence.recipients[reader.key]):
            click.echo(f"  also for   <{reader.address}>  {line}")
    for line in algorithm_lines(decided, decision.recipient):
        click.echo(f"  {line}")


def _tell_signature(decided: Plan) -> None:
    signing = decided.evidence.signing
    if decided.own.signature:
        click.echo("\nsignature  the mail program's own holds and is kept (R-26)")
    elif signing.credential is not None:
        certificate = signing.credential.certificate
        click.echo(
            f"\nsignature  {certificate.fingerprint[:19]}  {certificate.subject_text}, "
            f"valid to {certificate.not_after:%Y-%m-%d}"
        )
    elif any(decision.protection.signs for decision in decided.decisions):
        click.echo(f"\nsignature  none: {signing.answer.value} {signing.detail}".rstrip())


def _tell_header(decision: Decision) -> None:
    header = header_text(decision.treatment.header, decision.protection)
    if header and not decision.refusal:
        click.echo(f"  header     {header}")


def _values(decided: Plan, replies: Sequence[Reply]) -> dict[str, object]:
    recipients = []
    for decision, facts, reply in zip(decided.decisions, decided.facts, replies, strict=True):
        evidence = decided.evidence.recipients.get(decision.recipient.key)
        recipients.append(
            {
                "address": decision.recipient.address,
                "rule": decision.rule,
                "rule_source": decision.rule_source,
                "why": decision.why,
                "protection": decision.protection.value,
                "certificate": facts.certificate.value if evidence else "",
                "used": [e.certificate.fingerprint for e in chosen(evidence)] if evidence else [],
                **(evidence_values(evidence) if evidence else {"sources": [], "not_used": []}),
                **algorithm_values(decided, decision.recipient),
                "fallback": decision.fallback,
                "note": decision.note,
                "refusal": decision.refusal,
                "reply": str(reply),
            }
        )
    return {
        "schema": 1,
        "kind": "explain",
        "direction": "outbound",
        "from": decided.originator.address,
        "signing": decided.evidence.signing.answer.value,
        "recipients": recipients,
    }
