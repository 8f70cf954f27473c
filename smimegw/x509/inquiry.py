"""Says about which certificates of a path somebody still has to be asked whether they are revoked.

Only certificates with a path to a trust anchor that holds are worth a question: the addresses in
the others were written by anybody.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509 import revocation
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.judge import judge
from smimegw.x509.search import PathSearch
from smimegw.x509.status import RevocationResult, RevocationStatus

_PATHS = 4  # cross-certified CAs have two or three
_REMEMBERED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RevocationQuestion:
    """Is *certificate*, issued by *issuer*, revoked?  *above* is next in its path, if any is."""

    certificate: Certificate
    issuer: Certificate
    above: Certificate | None = field(default=None, compare=False)


def questions_about(path: Sequence[Certificate]) -> tuple[RevocationQuestion, ...]:
    """One for each certificate of *path* but the anchor, whose issuer is the administrator."""
    return tuple(map(RevocationQuestion, path, path[1:], (*path[2:], None)))


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
        above=question.above,
        authorities=evidence.intermediates,
        limits=limits,
    )


class Inquiry:
    """Finds open questions, and remembers for minutes that there were none or which.

    Without memory every mail to a busy correspondent would search and judge his path anew.
    """

    def __init__(self, *, size: int = 1000) -> None:
        """Keep up to *size* answers."""
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Certificate, Evidence], _Found] = OrderedDict()

    def open_questions(
        self,
        certificate: Certificate,
        evidence: Evidence,
        now: datetime,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> tuple[RevocationQuestion, ...]:
        """What *evidence* leaves open about the paths of *certificate*; () when one is known good.

        A list that is only good by grace leaves its question open: there may be a newer one.
        """
        key = (certificate, evidence)
        with self._lock:
            known = self._known.get(key)
        if known is not None and known.since <= now <= known.until:
            return known.questions
        found = _search(certificate, evidence, now, limits)
        with self._lock:
            self._known[key] = found
            self._known.move_to_end(key)
            # What is old holds lists in memory that nobody will ask with again.
            while len(self._known) > 1 and self._may_forget_first(now):
                self._known.popitem(last=False)
        return found.questions

    def _may_forget_first(self, now: datetime) -> bool:
        return len(self._known) > self._size or next(iter(self._known.values())).until < now

    def __len__(self) -> int:
        return len(self._known)


@dataclass(frozen=True, slots=True)
class _Found:
    questions: tuple[RevocationQuestion, ...]
    since: datetime
    until: datetime


def _search(certificate: Certificate, evidence: Evidence, now: datetime, limits: Limits) -> _Found:
    search = PathSearch(evidence, now=now, limits=limits)
    found: dict[RevocationQuestion, None] = {}
    latest = now + _REMEMBERED
    try:
        for path in itertools.islice(search.paths(certificate), _PATHS):
            search.spend(len(path) - 1)
            try:
                judge(path, now, limits=limits)
            except CertificateError:
                continue
            questions = questions_about(path)
            results = [answer(question, evidence, now, limits=limits) for question in questions]
            if any(result.status is RevocationStatus.REVOKED for result in results):
                continue
            if all(_is_settled(result) for result in results):
                ends = [result.next_update for result in results if result.next_update is not None]
                return _Found((), now, min([latest, *ends]))
            found.update(
                (question, None)
                for question, result in zip(questions, results, strict=True)
                if not _is_settled(result)
            )
    except CertificateError:
        pass  # the search was cut short; what was found is still worth asking
    return _Found(tuple(found), now, latest)


def unanswered(
    questions: Sequence[RevocationQuestion],
    evidence: Evidence,
    now: datetime,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[RevocationQuestion, ...]:
    """Those of *questions* that *evidence* does not settle."""
    return tuple(
        question
        for question in questions
        if not _is_settled(answer(question, evidence, now, limits=limits))
    )


def _is_settled(result: RevocationResult) -> bool:
    return result.status is not RevocationStatus.UNKNOWN and not result.in_grace
