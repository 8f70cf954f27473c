"""Remembers judgements, so that a busy correspondent's path is checked once and not per message."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from smimegw.addresses import Mailbox
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate

# Long enough for a burst of mail, short enough that "now" in a record is nearly true.
_MAX_AGE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Question:
    certificate: Certificate
    evidence: Evidence  # with every anchor, candidate and list: any change is another question
    purpose: Purpose
    mailbox: Mailbox | None
    strict_local_part: bool


class ValidationCache:
    """Proofs of `validate`, bounded, shared by threads; refusals are always judged anew."""

    def __init__(self, *, size: int = 1000, limits: Limits = DEFAULT_LIMITS) -> None:
        """Keep up to *size* proofs; *limits* hold for every judgement."""
        self._size = size
        self._limits = limits
        self._lock = threading.Lock()
        self._known: OrderedDict[_Question, tuple[datetime, ValidatedCertificate]] = OrderedDict()

    def validate(
        self,
        certificate: Certificate,
        evidence: Evidence,
        *,
        purpose: Purpose,
        mailbox: Mailbox | None,
        now: datetime,
        strict_local_part: bool = False,
    ) -> ValidatedCertificate:
        """Like `smimegw.x509.path.validate`, from memory where the same was asked just before.

        Raises:
            CertificateError: As `smimegw.x509.path.validate`.
        """
        question = _Question(certificate, evidence, purpose, mailbox, strict_local_part)
        known = self._recalled(question, now)
        if known is not None:
            return known
        proof = validate(
            certificate,
            evidence,
            purpose=purpose,
            mailbox=mailbox,
            now=now,
            strict_local_part=strict_local_part,
            limits=self._limits,
        )
        with self._lock:
            self._known[question] = (now, proof)
            self._known.move_to_end(question)
            # An old proof is of no use, and it keeps the lists it rests on in memory.
            while len(self._known) > 1 and self._may_forget_first(now):
                self._known.popitem(last=False)
        return proof

    def recall(
        self,
        certificate: Certificate,
        evidence: Evidence,
        *,
        purpose: Purpose,
        mailbox: Mailbox | None,
        now: datetime,
        strict_local_part: bool = False,
    ) -> ValidatedCertificate | None:
        """What `validate` would find in memory, or None; quick enough for an event loop."""
        question = _Question(certificate, evidence, purpose, mailbox, strict_local_part)
        return self._recalled(question, now)

    def _recalled(self, question: _Question, now: datetime) -> ValidatedCertificate | None:
        with self._lock:
            known = self._known.get(question)
            if known is None:
                return None
            judged_at, proof = known
            if not judged_at <= now <= min(judged_at + _MAX_AGE, proof.valid_until):
                return None
            self._known.move_to_end(question)
            return proof

    def _may_forget_first(self, now: datetime) -> bool:
        judged_at, _ = next(iter(self._known.values()))
        return len(self._known) > self._size or judged_at + _MAX_AGE < now

    def __len__(self) -> int:
        return len(self._known)
