"""Judges a certificate and gives proof: the one place that makes a `ValidatedCertificate`.

`search` proposes paths, `judge` applies RFC 5280, 6.1 to each, `revocation` reads the lists and
responses at hand; the first path that passes all three is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from datetime import datetime
from enum import StrEnum

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509 import lint
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.inquiry import answer, questions_about
from smimegw.x509.judge import judge
from smimegw.x509.match import matching_mailbox
from smimegw.x509.search import PathSearch
from smimegw.x509.status import RevocationResult, RevocationStatus

_PROOF = object()


class Purpose(StrEnum):
    """What the certificate is to be used for."""

    ENCRYPTION = "encryption"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedCertificate:
    """Proof that `validate` accepted a certificate; cannot be made in any other way.

    Attributes:
        certificate: The end-entity.
        path: End-entity … trust anchor; one certificate when the end-entity itself is the anchor,
            or when somebody vouched for it.
        purpose: What it was judged for.
        mailbox: The address in the certificate that matched; None when none was asked for.
        revocation: GOOD, or UNKNOWN where the evidence did not demand more; never REVOKED.
        valid_until: When this judgement ends at the latest.
        evidence: What the revocation status rests on, for people: ``crl 2026-11-23T02:00Z``,
            ``ocsp`` with such a time, ``pinned`` or ``dnssec``.
    """

    certificate: Certificate
    path: tuple[Certificate, ...]
    purpose: Purpose
    mailbox: Mailbox | None
    revocation: RevocationStatus
    valid_until: datetime
    evidence: str
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only smimegw.x509.path.validate makes a ValidatedCertificate")


def validate(
    certificate: Certificate,
    evidence: Evidence,
    *,
    purpose: Purpose,
    mailbox: Mailbox | None,
    now: datetime,
    strict_local_part: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    valid_at: datetime | None = None,
) -> ValidatedCertificate:
    """Judge *certificate* for *purpose* and, if given, for *mailbox*, at the time *now*.

    With *valid_at*, an earlier time, the certificates of the path need have been valid then; they
    must not be revoked now (R-44).

    Raises:
        CertificateError: ``untrusted-ca``, ``expired``, ``not-yet-valid``, ``revoked``,
            ``revocation-unknown``, ``key-usage``, ``extended-key-usage``, ``weak-key``,
            ``weak-signature``, ``address-mismatch``, ``path`` or ``limits``.
    """
    valid_at = valid_at or now
    flaw_of = lint.encryption_flaw if purpose is Purpose.ENCRYPTION else lint.signing_flaw
    if flaw := flaw_of(certificate, valid_at, limits=limits):
        raise CertificateError(flaw, certificate.subject_text)
    matched = None
    if mailbox is not None:
        matched = matching_mailbox(certificate, mailbox, strict_local_part=strict_local_part)
        if matched is None:
            raise CertificateError("address-mismatch", f"{certificate.subject_text} is not theirs")
    path, results = _best_path(certificate, evidence, now, valid_at, limits)
    return ValidatedCertificate(
        certificate=certificate,
        path=path,
        purpose=purpose,
        mailbox=matched,
        revocation=_weakest(results),
        valid_until=_valid_until(path, results),
        evidence=_describe(results, certificate, evidence),
        proof=_PROOF,
    )


class _EndEntityRevokedError(CertificateError):
    """No other path undoes an issuer's word about a certificate it issued."""


def _best_path(
    certificate: Certificate,
    evidence: Evidence,
    now: datetime,
    valid_at: datetime,
    limits: Limits,
) -> tuple[tuple[Certificate, ...], tuple[RevocationResult, ...]]:
    # A self-signed end-entity that the administrator pinned is its own path.
    if certificate.is_self_issued and certificate in evidence.trust_anchors:
        return (certificate,), ()
    search = PathSearch(evidence, now=valid_at, limits=limits)
    failures: list[CertificateError] = []
    try:
        for path in search.paths(certificate):
            search.spend(len(path) - 1)
            try:
                judge(path, valid_at, limits=limits, policies=evidence.policies)
                return path, _revocation(path, evidence, now, limits)
            except _EndEntityRevokedError:
                raise
            except CertificateError as exc:
                failures.append(exc)
    except CertificateError as exc:
        if not failures or isinstance(exc, _EndEntityRevokedError):
            raise
    if failures:
        raise failures[0]  # of the likeliest path
    if search.was_cut:
        raise CertificateError("limits", f"no path of {limits.path_depth} certificates or fewer")
    if certificate in evidence.vouched:
        return (certificate,), ()
    raise CertificateError("untrusted-ca", f"no path to a trusted CA: {certificate.subject_text}")


def _revocation(
    path: Sequence[Certificate], evidence: Evidence, now: datetime, limits: Limits
) -> tuple[RevocationResult, ...]:
    # RFC 5280, 6.1: of every certificate but the anchor.
    results = []
    for question in questions_about(path):
        result = answer(question, evidence, now, limits=limits)
        if result.status is RevocationStatus.REVOKED:
            error = _EndEntityRevokedError if question.certificate is path[0] else CertificateError
            raise error("revoked", question.certificate.subject_text)
        results.append(result)
    for certificate, result in zip(path, results, strict=False):
        if result.status is RevocationStatus.UNKNOWN and evidence.require_revocation:
            raise CertificateError(
                "revocation-unknown", f"{result.reason}: {certificate.subject_text}"
            )
    return tuple(results)


def _weakest(results: Sequence[RevocationResult]) -> RevocationStatus:
    good = all(result.status is RevocationStatus.GOOD for result in results)
    return RevocationStatus.GOOD if good else RevocationStatus.UNKNOWN


def _valid_until(path: Sequence[Certificate], results: Sequence[RevocationResult]) -> datetime:
    ends = [certificate.not_after for certificate in path]
    ends.extend(result.valid_until for result in results if result.valid_until is not None)
    return min(ends)


def _describe(
    results: Sequence[RevocationResult], certificate: Certificate, evidence: Evidence
) -> str:
    if not results:
        return "dnssec" if certificate not in evidence.trust_anchors else "pinned"
    if results[0].status is not RevocationStatus.GOOD or results[0].this_update is None:
        return "no crl"
    note = f"{results[0].method.value} {results[0].this_update:%Y-%m-%dT%H:%MZ}"
    return note + " overdue" if any(result.in_grace for result in results) else note
