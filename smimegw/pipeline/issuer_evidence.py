"""Reads what is known of the issuers of certificates: CA certificates, CRLs, what is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from smimegw.pipeline.inquire import inquire
from smimegw.pipeline.issuers import missing_issuers
from smimegw.pipeline.settings import Settings, TrustMaterial
from smimegw.ports import Ports
from smimegw.sources import IssuerAnswer, ask_issuer
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredEvidence:
    """An `Evidence`, and why there may be more than that: a source that did not answer."""

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
    walk = _Walk(
        known=(
            *settings.trust.anchors_for(purpose),
            *settings.trust.intermediates,
            *intermediates,
        ),
        carried=frozenset(c.subject_der for c in carried),
        lists=list(settings.trust.crls),
    )
    await walk.up(certificates, ports, settings, until)
    evidence = _evidence(settings.trust, purpose, [*intermediates, *walk.added], walk.lists)
    if until is not None:
        evidence = await _with_fetched(certificates, evidence, carried, ports, settings, until)
    return GatheredEvidence(evidence=evidence, trouble="; ".join(dict.fromkeys(walk.troubles)))


@dataclass(slots=True, kw_only=True)
class _Walk:
    """The way upwards from certificates to anchors, and what was met on it.

    Attributes:
        known: CA certificates at hand.
        carried: Subjects of those that the message carries.
        lists: CRLs.
        added: CA certificates that were found.
        asked: Names that need not be asked for again.
        troubles: Why there may be more.
    """

    known: tuple[Certificate, ...]
    carried: frozenset[bytes]
    lists: list[bytes]
    added: list[Certificate] = field(default_factory=list)
    asked: set[bytes] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

    async def up(
        self,
        certificates: Sequence[Certificate],
        ports: Ports,
        settings: Settings,
        until: float | None,
    ) -> None:
        """Go up as far as a path may be long."""
        wanted = {c.issuer_der for c in certificates}.union(*(c.crl_issuers for c in certificates))
        for _ in range(settings.limits.path_depth):
            names = sorted(wanted - self.asked)[: settings.limits.certificates]
            if not names:
                break
            wanted = await self._step(names, certificates, ports, until)

    async def _step(
        self,
        names: Sequence[bytes],
        certificates: Sequence[Certificate],
        ports: Ports,
        until: float | None,
    ) -> set[bytes]:
        """Ask for the issuers *names*; return the names above them."""
        self.asked.update(names)
        wanted: set[bytes] = set()
        for name, answer in zip(names, await _ask_for_all(names, ports), strict=True):
            self.added.extend(answer.authorities)
            self.lists.extend(answer.crls)
            self._note(answer.trouble)
            above = [c for c in (*self.known, *answer.authorities) if c.subject_der == name]
            if not (above or name in self.carried or until is None):
                children = (*certificates, *self.known, *self.added)
                fetched = await missing_issuers(name, children, ports, until)
                self._note(fetched.trouble)
                self.added.extend(fetched.found)
                above.extend(fetched.found)
            wanted.update(c.issuer_der for c in above)
        return wanted

    def _note(self, trouble: str) -> None:
        if trouble:
            self.troubles.append(trouble)


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


async def _ask_for_all(names: Sequence[bytes], ports: Ports) -> list[IssuerAnswer]:
    if len(names) == 1:  # a task of its own costs more than an answer from the cache
        return [await ask_issuer(ports.authorities, names[0])]
    return await asyncio.gather(*(ask_issuer(ports.authorities, name) for name in names))
