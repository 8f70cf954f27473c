"""Says about which certificates of a path somebody still has to be asked whether they are revoked.

Only certificates with a path to a trust anchor that holds are worth a question: the addresses in
the others were written by anybody.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509 import revocation
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.judge import judge
from smimegw.x509.search import PathSearch
from smimegw.x509.status import RevocationResult, RevocationStatus

_PATHS = 4  # cross-certified CAs have two or three


@dataclass(frozen=True, slots=True)
class RevocationQuestion:
    """Is *certificate*, issued by *issuer*, revoked?"""

    certificate: Certificate
    issuer: Certificate


def answer(
    question: RevocationQuestion,
    evidence: Evidence,
    now: datetime,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> RevocationResult:
    """What *evidence* says to *question*."""
    return revocation.status(
        question.certificate,
        question.issuer,
        evidence.crls,
        now,
        evidence.crl_grace_seconds,
        ocsp_responses=evidence.ocsp_responses,
        authorities=evidence.intermediates,
        limits=limits,
    )


def open_questions(
    certificate: Certificate,
    evidence: Evidence,
    now: datetime,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[RevocationQuestion, ...]:
    """What *evidence* leaves open about the paths of *certificate*; () when one is known good.

    A list that is only good by grace leaves its question open: there may be a newer one.
    """
    search = PathSearch(evidence, now=now, limits=limits)
    found: dict[RevocationQuestion, None] = {}
    try:
        for path in itertools.islice(search.paths(certificate), _PATHS):
            search.spend(len(path) - 1)
            try:
                judge(path, now, limits=limits)
            except CertificateError:
                continue
            questions = [RevocationQuestion(*pair) for pair in itertools.pairwise(path)]
            open_here = unanswered(questions, evidence, now, limits=limits)
            if open_here == ():
                return ()
            found.update(dict.fromkeys(open_here or ()))
    except CertificateError:
        pass  # the search was cut short; what was found is still worth asking
    return tuple(found)


def unanswered(
    questions: Sequence[RevocationQuestion],
    evidence: Evidence,
    now: datetime,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[RevocationQuestion, ...] | None:
    """Those of *questions* that *evidence* does not settle; None when one of them is revoked."""
    results = [answer(question, evidence, now, limits=limits) for question in questions]
    if any(result.status is RevocationStatus.REVOKED for result in results):
        return None
    return tuple(
        question
        for question, result in zip(questions, results, strict=True)
        if result.status is RevocationStatus.UNKNOWN or result.in_grace
    )
