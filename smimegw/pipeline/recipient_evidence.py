"""Reads and judges the encryption certificates of one recipient.  Troubles become facts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities
from smimegw.errors import CertificateError, DirectoryError
from smimegw.pipeline.issuer_evidence import GatheredEvidence, evidence_for
from smimegw.pipeline.settings import Settings
from smimegw.ports import FoundCertificate, Ports
from smimegw.sources import SourceAnswer, look_up
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import encryption_flaw
from smimegw.x509.path import Purpose, ValidatedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCertificate:
    """One found certificate and what came of judging it: a proof, or the reason against it."""

    found: FoundCertificate
    validated: ValidatedCertificate | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientEvidence:
    """Everything known about one recipient's encryption certificates.

    Attributes:
        judged: In the order of the directory.
        trouble: Why the directory could not answer; empty when it did.
        capabilities: What the mailbox' own signed mail said its software reads.
        said: What each source said that was asked.
    """

    mailbox: Mailbox
    judged: tuple[JudgedCertificate, ...] = ()
    trouble: str = ""
    capabilities: Capabilities = NOTHING_KNOWN
    said: tuple[SourceAnswer, ...] = ()


async def recipient_evidence(
    mailbox: Mailbox, ports: Ports, settings: Settings
) -> RecipientEvidence:
    """Find and judge the encryption certificates of *mailbox*; never raises for a dependency."""
    began = ports.clock.now()
    source, result = ports.directory.name, "error"
    said: tuple[SourceAnswer, ...] = ()
    try:
        async with asyncio.timeout(settings.limits.lookup_seconds) as deadline:
            answer = await look_up(ports.directory, mailbox)
            said = answer.said
            found = answer.found_or_raise()
            gathered = await evidence_for(
                [entry.certificate for entry in found],
                ports,
                settings,
                purpose=Purpose.ENCRYPTION,
                until=deadline.when(),
            )
    except (DirectoryError, TimeoutError) as exc:
        trouble = str(exc) or "no answer in time"
        ports.events.emit(
            "directory.error", source=source, rcpt=mailbox.address, text=trouble, code="R-06"
        )
        return RecipientEvidence(mailbox=mailbox, trouble=trouble, said=said)
    else:
        stale = any(entry.stale for entry in found)
        result = "stale" if stale else "found" if found else "absent"
    finally:
        seconds = (ports.clock.now() - began).total_seconds()
        ports.events.emit("directory.lookup", source=source, result=result, seconds=seconds)
    now = ports.clock.now()
    questions = _questions(found, gathered, mailbox, now, settings)
    judged = _remembered(found, questions, settings)
    if judged is None:
        judged = await ports.workers.run(_judge, found, questions, gathered, now)
    return RecipientEvidence(mailbox=mailbox, judged=judged, said=said)


def _questions(
    found: Sequence[FoundCertificate],
    gathered: GatheredEvidence,
    mailbox: Mailbox,
    now: datetime,
    settings: Settings,
) -> list[partial[ValidatedCertificate]]:
    """One judgement for each of *found*, not made yet."""
    # Without its issuers nobody knows whether a CA of ours says more about it than DNS does.
    takes_word = settings.trust.believes_dns and not gathered.trouble
    return [
        partial(
            settings.judgements.validate,
            entry.certificate,
            replace(
                gathered.evidence,
                vouched=(entry.certificate,) if entry.vouched and takes_word else (),
            ),
            purpose=Purpose.ENCRYPTION,
            mailbox=mailbox,
            now=now,
            strict_local_part=settings.compares_local_part(mailbox),
        )
        for entry in found
    ]


def _remembered(
    found: Sequence[FoundCertificate],
    questions: Sequence[partial[ValidatedCertificate]],
    settings: Settings,
) -> tuple[JudgedCertificate, ...] | None:
    """What `_judge` would say, when all of it was said just before: not worth a thread."""
    judged = []
    for entry, question in zip(found, questions, strict=True):
        proof = settings.judgements.recall(*question.args, **question.keywords)
        if proof is None:
            return None
        judged.append(JudgedCertificate(found=entry, validated=proof))
    return tuple(judged)


def _judge(
    found: Sequence[FoundCertificate],
    questions: Sequence[partial[ValidatedCertificate]],
    gathered: GatheredEvidence,
    now: datetime,
) -> tuple[JudgedCertificate, ...]:
    judged = []
    for entry, question in zip(found, questions, strict=True):
        try:
            validated = question()
        except CertificateError as exc:
            reason = exc.reason
            if gathered.trouble and _may_change(reason, entry.certificate, now):
                # An issuer that could not be asked for is not an untrusted one.
                reason = "revocation-unknown"
            judged.append(JudgedCertificate(found=entry, validated=None, reason=reason))
        else:
            judged.append(JudgedCertificate(found=entry, validated=validated))
    return tuple(judged)


def _may_change(reason: str, certificate: Certificate, now: datetime) -> bool:
    """Whether more CA certificates or lists might undo *reason*.

    Not where the certificate alone speaks against itself, nor its issuer, who revoked it.
    """
    if reason in {"revoked", "address-mismatch"}:
        return False
    return reason != encryption_flaw(certificate, now)
