"""Reads the originator's signing credential and judges it.  Troubles become facts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.cms.keys import SigningCredential
from smimegw.errors import CertificateError, KeystoreError
from smimegw.pipeline.enrol import enrol, would_help
from smimegw.pipeline.issuer_evidence import evidence_for
from smimegw.pipeline.once_more import once_more
from smimegw.pipeline.settings import Settings
from smimegw.policy.answers import SigningAnswer
from smimegw.ports import Ports
from smimegw.x509.lint import signing_flaw
from smimegw.x509.path import Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningEvidence:
    """The originator's signing credential, or why there is none."""

    answer: SigningAnswer
    credential: SigningCredential | None = None
    detail: str = ""


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
