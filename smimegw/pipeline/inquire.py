"""Asks outside for revocation lists and OCSP answers that the directories and files do not have.

Lists first: one serves every correspondent of a CA and tells its operator nothing about our mail.
OCSP is asked for what is still open then.  Troubles become "unknown", never an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from smimegw.outside import RevocationSource
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.x509.certificate import Certificate
from smimegw.x509.crl import freshest_places
from smimegw.x509.evidence import Evidence
from smimegw.x509.inquiry import RevocationQuestion, answer, unanswered
from smimegw.x509.status import RevocationResult, RevocationStatus

_MARGIN_SECONDS = 0.25  # our deadline comes before the caller's, so that the rest is not lost
_NOT_IN_TIME = RevocationResult(status=RevocationStatus.UNKNOWN, reason="no answer in time")


async def inquire(
    certificates: Sequence[Certificate],
    evidence: Evidence,
    ports: Ports,
    settings: Settings,
    *,
    until: float,
) -> Evidence:
    """Return *evidence* with the lists and answers that could be had about *certificates*.

    Args:
        certificates: Whose paths will be judged.
        evidence: What is at hand; nothing is asked that it already settles.
        ports: Where to ask.
        settings: Limits.
        until: Time of the event loop at which the caller gives up.
    """
    source = ports.revocation
    if not any(_is_askable(c, source) for c in (*certificates, *evidence.intermediates)):
        return evidence
    lists: list[bytes] = []
    answers: list[bytes] = []
    questions: tuple[RevocationQuestion, ...] = ()

    def gathered() -> Evidence:
        # In an order of its own, so that equal evidence is remembered as equal.
        return replace(
            evidence,
            crls=tuple(dict.fromkeys([*evidence.crls, *sorted(lists)])),
            ocsp_responses=tuple(dict.fromkeys([*evidence.ocsp_responses, *sorted(answers)])),
        )

    results: Sequence[RevocationResult] | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until - _MARGIN_SECONDS):
            now = ports.clock.now()
            questions = await ports.workers.run(_open, certificates, evidence, now, settings)
            await asyncio.gather(*(_lists(q, source, lists) for q in questions))
            left = await ports.workers.run(
                unanswered, questions, gathered(), ports.clock.now(), limits=settings.limits
            )
            await asyncio.gather(*(_answer(q, source, answers) for q in left))
            now = ports.clock.now()
            results = await ports.workers.run(_results, questions, gathered(), now, settings)
    for result in results or [_NOT_IN_TIME] * len(questions):
        ports.events.emit("revocation.checked", result=result.status, method=result.method)
    return gathered()


def _is_askable(certificate: Certificate, source: RevocationSource) -> bool:
    urls = [*certificate.ocsp_urls, *(url for point in certificate.crl_points for url in point)]
    return any(source.may_ask(url) for url in urls)


def _open(
    certificates: Sequence[Certificate], evidence: Evidence, now: datetime, settings: Settings
) -> tuple[RevocationQuestion, ...]:
    found = (
        settings.inquiry.open_questions(c, evidence, now, limits=settings.limits)
        for c in certificates
    )
    return tuple(dict.fromkeys(question for each in found for question in each))


async def _lists(
    question: RevocationQuestion, source: RevocationSource, found: list[bytes]
) -> None:
    async def at(point: Sequence[str]) -> tuple[bytes, ...]:
        urls = [url for url in point if source.may_ask(url)]
        return await source.crls(urls, question.issuer) if urls else ()

    async def at_all(points: Iterable[Sequence[str]]) -> tuple[bytes, ...]:
        answers = await asyncio.gather(*(at(point) for point in points))
        found.extend(der for some in answers for der in some)
        return tuple(der for some in answers for der in some)

    points = question.certificate.crl_points
    complete = await at_all(points)
    # A list may itself say where changes to it are published sooner (RFC 5280, 5.2.6).
    deltas = dict.fromkeys(place for der in complete for place in freshest_places(der))
    await at_all(place for place in deltas if place not in points)


async def _answer(
    question: RevocationQuestion, source: RevocationSource, found: list[bytes]
) -> None:
    urls = [url for url in question.certificate.ocsp_urls if source.may_ask(url)]
    if urls:
        response = await source.ocsp(question.certificate, question.issuer, urls)
        found.extend([response] if response is not None else [])


def _results(
    questions: Sequence[RevocationQuestion], evidence: Evidence, now: datetime, settings: Settings
) -> tuple[RevocationResult, ...]:
    return tuple(answer(q, evidence, now, limits=settings.limits) for q in questions)
