"""Reads what is known of the issuers of certificates: CA certificates, CRLs, what is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from smimegw.errors import DirectoryError
from smimegw.pipeline.inquire import inquire
from smimegw.pipeline.issuers import missing_issuers
from smimegw.pipeline.settings import Settings, TrustMaterial
from smimegw.ports import Ports
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredEvidence:
    """An `Evidence` and the troubles met while gathering it."""

    evidence: Evidence
    trouble: str = ""


async def evidence_for(
    certificates: Iterable[Certificate],
    ports: Ports,
    settings: Settings,
    *,
    purpose: Purpose,
    intermediates: Sequence[Certificate] = (),
    carried: Sequence[Certificate] = (),
    until: float | None = None,
) -> GatheredEvidence:
    """Follow the issuers of *certificates* upwards and collect CA certificates and CRLs.

    The walk is bounded by `path_depth`, and it asks for each issuer name once.  What it leaves
    open about revocation is asked outside.

    Args:
        certificates: Whose issuers are wanted.
        ports: Where to read.
        settings: Trust and limits.
        purpose: What the certificates will be judged for; anchors may be trusted for one only.
        intermediates: More candidates for the paths.
        carried: Certificates of the message: they make paths, but nobody is asked about them.
        until: Time of the event loop at which the caller gives up; None asks nobody outside.
    """
    certificates = tuple(certificates)
    material = settings.trust
    anchors = material.anchors_for(purpose)
    known = [*anchors, *material.intermediates, *intermediates]
    added: list[Certificate] = []
    lists = list(material.crls)
    wanted = {c.issuer_der for c in certificates}.union(*(c.crl_issuers for c in certificates))
    asked: set[bytes] = set()
    troubles: list[str] = []
    for _ in range(settings.limits.path_depth):
        names = sorted(wanted - asked)[: settings.limits.certificates]
        if not names:
            break
        asked.update(names)
        answers = await _ask_for_all(names, ports)
        wanted = set()
        for name, (issuers, issuer_lists, trouble) in zip(names, answers, strict=True):
            added.extend(issuers)
            lists.extend(issuer_lists)
            if trouble:
                troubles.append(trouble)
            above = [c for c in (*known, *issuers) if c.subject_der == name]
            is_carried = any(c.subject_der == name for c in carried)
            if not (above or is_carried or until is None):
                above = await missing_issuers(name, (*certificates, *known, *added), ports, until)
                added.extend(above)
            wanted.update(c.issuer_der for c in above)
    evidence = _evidence(settings.trust, purpose, [*intermediates, *added], lists)
    if until is not None:
        evidence = await _with_fetched(certificates, evidence, carried, ports, settings, until)
    return GatheredEvidence(evidence=evidence, trouble="; ".join(dict.fromkeys(troubles)))


async def _with_fetched(
    certificates: Sequence[Certificate],
    evidence: Evidence,
    carried: Sequence[Certificate],
    ports: Ports,
    settings: Settings,
    until: float,
) -> Evidence:
    # The verifier adds what the message carries by itself, so here it only helps to find paths.
    whole = replace(evidence, intermediates=(*carried, *evidence.intermediates))
    fetched = await inquire(certificates, whole, ports, settings, until=until)
    return replace(evidence, crls=fetched.crls, ocsp_responses=fetched.ocsp_responses)


def _evidence(
    material: TrustMaterial,
    purpose: Purpose,
    intermediates: Sequence[Certificate],
    crls: Sequence[bytes],
) -> Evidence:
    return Evidence(
        trust_anchors=material.anchors_for(purpose),
        intermediates=tuple(dict.fromkeys([*material.intermediates, *intermediates])),
        crls=tuple(dict.fromkeys(crls)),
        require_revocation=material.require_revocation,
        crl_grace_seconds=material.crl_grace_seconds,
        policies=material.policies,
    )


async def signer_evidence(
    certificates: Sequence[Certificate],
    ports: Ports,
    settings: Settings,
    *,
    carried: Sequence[Certificate] = (),
) -> GatheredEvidence:
    """What is known of the issuers of an inbound message's signers; never raises, never hangs.

    Args:
        certificates: Of the signers.
        ports: Where to read.
        settings: Trust and limits.
        carried: All certificates of the message.
    """
    try:
        async with asyncio.timeout(settings.limits.lookup_seconds) as deadline:
            gathered = await evidence_for(
                certificates,
                ports,
                settings,
                purpose=Purpose.SIGNATURE,
                carried=carried,
                until=deadline.when(),
            )
    except TimeoutError:
        configured = _evidence(settings.trust, Purpose.SIGNATURE, (), settings.trust.crls)
        gathered = GatheredEvidence(evidence=configured, trouble="no answer in time")
    if gathered.trouble:
        source = ports.directory.name
        ports.events.emit("directory.error", source=source, text=gathered.trouble)
    return gathered


async def _ask_for_all(
    names: Sequence[bytes], ports: Ports
) -> list[tuple[tuple[Certificate, ...], tuple[bytes, ...], str]]:
    if len(names) == 1:  # a task of its own costs more than an answer from the cache
        return [await _ask(names[0], ports)]
    return await asyncio.gather(*(_ask(name, ports) for name in names))


async def _ask(name: bytes, ports: Ports) -> tuple[tuple[Certificate, ...], tuple[bytes, ...], str]:
    try:
        issuers = await ports.authorities.authorities(name)
        crls = await ports.authorities.crls(name)
    except DirectoryError as exc:
        return (), (), str(exc)
    return issuers, crls, ""
