"""Learns from mail that was verified: capabilities, and certificates as candidates (T-30).

It runs after the message was delivered, so it never changes a reply; what it could not write it
learns from the next mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from smimegw.cms.capabilities import certificate_capabilities
from smimegw.errors import CertificateError, DependencyError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.memory import Candidate, CandidateState, Lesson
from smimegw.pipeline.issuer_evidence import evidence_for
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smime.media_types import SignedLayer
from smimegw.smime.verify import VerifiedContent
from smimegw.transaction import Transaction
from smimegw.x509.certificate import Certificate
from smimegw.x509.match import matches
from smimegw.x509.path import Purpose

_SHARE = 0.95  # of the time for the reply
_TOO_LATE = "no time to learn from this mail"
_FOLLOWED = frozenset({CandidateState.ACCEPTED, CandidateState.SUCCESSOR})


async def learn(
    tx: Transaction,
    verified: Iterable[tuple[SignedLayer, VerifiedContent]],
    ports: Ports,
    settings: Settings,
) -> None:
    """Keep what *verified* layers say of their originator; never raises, never waits long.

    Our own people are not learned about: the directories know them.  Whatever goes wrong is only
    told: the message is delivered, and a reply that says otherwise would bring it again.  So it
    also ends before the clock of the whole reply does.
    """
    outside = [
        (layer, content) for layer, content in verified if not settings.is_internal(content.mailbox)
    ]
    limits = settings.limits
    spent = (ports.clock.now() - tx.received_at).total_seconds()
    left = _SHARE * limits.inbound_reply_seconds - spent
    if not outside:
        return
    if left <= 0:
        ports.events.emit("memory.error", txn=tx.id, text=_TOO_LATE)
        return
    try:
        async with asyncio.timeout(min(limits.harvest_seconds, left)):
            for layer, content in outside:
                reach("harvest.before-learn")
                await _learn_capabilities(content, ports)
                reach("harvest.capabilities")
                if settings.harvest:
                    await _learn_certificate(tx.id, layer, content, ports, settings)
    except (DependencyError, TimeoutError) as exc:
        ports.events.emit("memory.error", txn=tx.id, text=str(exc) or _TOO_LATE)
    except Exception as exc:  # noqa: BLE001 – after delivery nothing may become a 451
        ports.events.emit("internal.error", txn=tx.id, error=exc)


async def _learn_capabilities(content: VerifiedContent, ports: Ports) -> None:
    certificate = content.signer.certificate
    capabilities = content.capabilities or certificate_capabilities(certificate)
    if capabilities is None:
        return
    now = ports.clock.now()
    lesson = Lesson(
        mailbox=content.mailbox,
        fingerprint=certificate.fingerprint,
        capabilities=capabilities,
        signing_time=min(content.signing_time, now) if content.signing_time else None,
    )
    await ports.correspondents.learn(lesson, now)


async def _learn_certificate(
    txn: str, layer: SignedLayer, content: VerifiedContent, ports: Ports, settings: Settings
) -> None:
    certificate = preferred_certificate(layer, content)
    if certificate is None:
        return
    learned = await ports.correspondents.candidates(content.mailbox)
    known = next((entry for entry in learned if entry.certificate == certificate), None)
    now = ports.clock.now()
    if known is not None and not may_be_confirmed(known, learned, now, settings.limits):
        return
    found = await ports.directory.find(content.mailbox)
    published = [
        entry.certificate for entry in found if matches(entry.certificate, content.mailbox)
    ]
    if certificate in published or (known is not None and published):
        return
    if not await _is_usable(certificate, content, now, ports, settings):
        return
    if known is not None:
        await _confirm(txn, known, content, ports)
        return
    trusted = _FOLLOWED | ({CandidateState.VERIFIED} if settings.takes_verified else set())
    candidate = proposed(content.mailbox.key, certificate, published, learned, now, trusted=trusted)
    reach("harvest.before-propose")
    if await ports.correspondents.propose(candidate):
        ports.events.emit(
            "certificate.changed" if candidate.was else "certificate.learned",
            txn=txn,
            cert=certificate.fingerprint,
            was=candidate.was or None,
            state=candidate.state.value,
            **{"from": content.mailbox.address},
        )


async def _confirm(txn: str, candidate: Candidate, content: VerifiedContent, ports: Ports) -> None:
    if await ports.correspondents.confirm(candidate):
        ports.events.emit(
            "certificate.verified",
            txn=txn,
            cert=candidate.certificate.fingerprint,
            state=CandidateState.VERIFIED.value,
            **{"from": content.mailbox.address},
        )


def preferred_certificate(layer: SignedLayer, content: VerifiedContent) -> Certificate | None:
    """The certificate that the originator wants to be encrypted to (RFC 8551, 2.5.3.1).

    The one that the signature names, else the signer's own.  Others in the message were not said
    under the signature: whoever carried the mail could have added them.
    """
    if content.encryption_key is None:
        return content.signer.certificate
    carried = layer.signed_data.certificates
    return next((entry for entry in carried if content.encryption_key.matches(entry)), None)


def may_be_confirmed(
    candidate: Candidate, learned: Sequence[Candidate], now: datetime, limits: Limits
) -> bool:
    """Whether *candidate*, which came again, is more than a passer-by (T-30).

    It came first a day or more ago, and mail has taught no other certificate of the mailbox that
    an administrator did not refuse; where there is one, a person decides.
    """
    others = (
        entry
        for entry in learned
        if entry.state is not CandidateState.REFUSED
        and entry.certificate.subject_public_key_info
        != candidate.certificate.subject_public_key_info
    )
    return (
        candidate.state is CandidateState.CANDIDATE
        and not candidate.is_conflict
        and (now - candidate.first_seen).total_seconds() >= limits.harvest_again_seconds
        and next(others, None) is None
    )


def proposed(
    mailbox_key: str,
    certificate: Certificate,
    published: Sequence[Certificate],
    learned: Sequence[Candidate],
    now: datetime,
    *,
    trusted: Collection[CandidateState] = _FOLLOWED,
) -> Candidate:
    """What *certificate* becomes, from what is known of its mailbox (F22).

    A successor follows one that a directory has or an administrator accepted: of the same CA and
    issued later.  Anything else waits for an administrator.

    Args:
        mailbox_key: Whose it is.
        certificate: Judged usable for encryption and for the mailbox.
        published: What the directories have for the mailbox.
        learned: What mail taught about it before.
        now: When it was seen first.
        trusted: Which of those that mail taught may be followed.
    """
    believed = [*published, *(entry.certificate for entry in learned if entry.state in trusted)]
    follows = any(
        _same_issuer(certificate, known) and certificate.not_before > known.not_before
        for known in believed
    )
    known = believed or [entry.certificate for entry in learned]
    newest = max(known, key=lambda entry: entry.not_before, default=None)
    return Candidate(
        mailbox_key=mailbox_key,
        certificate=certificate,
        state=CandidateState.SUCCESSOR if follows else CandidateState.CANDIDATE,
        first_seen=now,
        was=newest.fingerprint if newest else "",
    )


def _same_issuer(one: Certificate, other: Certificate) -> bool:
    """The same CA with the same key; a CA of the same name with another one is not believed."""
    return (
        one.issuer_der == other.issuer_der
        and one.authority_key_identifier is not None
        and one.authority_key_identifier == other.authority_key_identifier
    )


async def _is_usable(
    certificate: Certificate,
    content: VerifiedContent,
    now: datetime,
    ports: Ports,
    settings: Settings,
) -> bool:
    gathered = await evidence_for(
        [certificate],
        ports,
        settings,
        purpose=Purpose.ENCRYPTION,
        intermediates=content.signer.path[1:],
    )
    try:
        await ports.workers.run(
            settings.judgements.validate,
            certificate,
            gathered.evidence,
            purpose=Purpose.ENCRYPTION,
            mailbox=content.mailbox,
            now=now,
            strict_local_part=settings.compares_local_part(content.mailbox),
        )
    except CertificateError:
        return False
    return True
