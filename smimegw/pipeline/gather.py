"""All reads of a transaction: certificates, issuers, CRLs, keys.  Troubles become facts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities
from smimegw.cms.keys import SigningCredential
from smimegw.errors import CertificateError, DatabaseError, DirectoryError, KeystoreError
from smimegw.pipeline.enrol import enrol, would_help
from smimegw.pipeline.issuer_evidence import GatheredEvidence, evidence_for
from smimegw.pipeline.once_more import once_more
from smimegw.pipeline.settings import Settings
from smimegw.policy.model import SigningAnswer
from smimegw.ports import FoundCertificate, Ports
from smimegw.sources import SourceAnswer, look_up
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import encryption_flaw, signing_flaw
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningEvidence:
    """The originator's signing credential, or why there is none."""

    answer: SigningAnswer
    credential: SigningCredential | None = None
    detail: str = ""


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


async def signing_evidence(
    mailbox: Mailbox, ports: Ports, settings: Settings, *, enrols: bool = False
) -> SigningEvidence:
    """Find the newest usable signing credential of *mailbox*; never raises for a dependency.

    Args:
        mailbox: Whose; the session may use it.
        ports: Where to read.
        settings: Trust and limits.
        enrols: Who has none gets one, and one that ends soon is renewed meanwhile.
    """
    found = await _signing_evidence(mailbox, ports, settings)
    if enrols and found.credential is not None:
        ports.enrolment.renew_when_due(mailbox, found.credential.certificate)
    if not enrols or not would_help(found.answer, found.detail):
        return found
    trouble = await enrol(mailbox, ports, settings)
    if trouble:
        return replace(found, detail=trouble)
    return await _signing_evidence(mailbox, ports, settings)


async def _signing_evidence(mailbox: Mailbox, ports: Ports, settings: Settings) -> SigningEvidence:
    try:
        credentials = await once_more(partial(ports.keystore.signing_credentials, mailbox))
    except KeystoreError as exc:
        answer = SigningAnswer.LOCKED if exc.locked else SigningAnswer.UNAVAILABLE
        event, row = ("keystore.locked", "R-13") if exc.locked else ("keystore.error", "R-14")
        ports.events.emit(event, text=str(exc), code=row)
        return SigningEvidence(answer=answer, detail=str(exc))
    if not credentials:
        return SigningEvidence(answer=SigningAnswer.NONE)
    now = ports.clock.now()
    reason = ""
    for credential in credentials:
        reason = signing_flaw(credential.certificate, now)
        if not reason and await _is_revoked(credential, ports, settings, now):
            reason = "revoked"
        if not reason:
            return SigningEvidence(answer=SigningAnswer.USABLE, credential=credential)
    return SigningEvidence(answer=SigningAnswer.EXPIRED, detail=reason)


async def _is_revoked(
    credential: SigningCredential, ports: Ports, settings: Settings, now: datetime
) -> bool:
    """Whether a CRL at hand names our own certificate; a missing CRL is the verifier's matter."""
    gathered = await evidence_for(
        [credential.certificate],
        ports,
        settings,
        purpose=Purpose.SIGNATURE,
        intermediates=credential.chain,
    )
    question = partial(
        settings.judgements.validate,
        credential.certificate,
        gathered.evidence,
        purpose=Purpose.SIGNATURE,
        mailbox=None,
        now=now,
    )
    if settings.judgements.recall(*question.args, **question.keywords):
        return False
    try:
        await ports.workers.run(question)
    except CertificateError as exc:
        return exc.reason == "revoked"
    return False


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
