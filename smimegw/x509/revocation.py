"""Reads from CRLs and OCSP responses whether one certificate is revoked (RFC 5280, 5 and 6.3).

Three answers: good, revoked, unknown.  A list that is not certain to speak about the certificate –
another issuer, a bad signature, another scope, an extension we do not know – says nothing.  A list
past its time no longer proves "good", but what it calls revoked stays revoked.  Of several sources
one "revoked" is enough, then one "good".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509 import lint, ocsp
from smimegw.x509.certificate import PARSE_ERRORS, Certificate
from smimegw.x509.crl import RevocationList, is_signed_by, read_crl
from smimegw.x509.crl_scope import (
    indirect_entry,
    scope_of,
    speaks_about,
    speaks_indirectly_about,
)
from smimegw.x509.issuer import is_issued_by
from smimegw.x509.status import RevocationMethod, RevocationResult, RevocationStatus

__all__ = ["RevocationMethod", "RevocationResult", "RevocationStatus", "status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    certificate: Certificate
    issuer: Certificate
    now: datetime
    grace_seconds: int
    above: Certificate | None
    authorities: Sequence[Certificate]
    limits: Limits


def status(
    certificate: Certificate,
    issuer: Certificate,
    crls: Iterable[bytes],
    now: datetime,
    grace_seconds: int,
    *,
    ocsp_responses: Iterable[bytes] = (),
    above: Certificate | None = None,
    authorities: Sequence[Certificate] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> RevocationResult:
    """Return what the newest applicable list and the newest response say about *certificate*.

    Args:
        certificate: Whose status is wanted.
        issuer: The certificate that issued it; lists signed by any other key do not count, except
            indirect ones to which the certificate refers, and those by another key of the same CA:
            they prove "revoked", and "good" where the issuer's key does not sign lists.
        crls: DER CertificateLists, untrusted.
        now: The time of judgement.
        grace_seconds: How long after nextUpdate a list still proves "good" (R-05).
        ocsp_responses: DER OCSPResponses, untrusted.
        above: Next after *issuer* in the path, None where that is the anchor.
        authorities: Certificates among which another key of the CA, or the issuer of an indirect
            list, may be; untrusted.
        limits: Longer lists than *crl_octets* are not looked at.
    """
    question = _Question(
        certificate=certificate,
        issuer=issuer,
        now=now,
        grace_seconds=grace_seconds,
        above=above,
        authorities=authorities,
        limits=limits,
    )
    held = tuple(der for der in crls if len(der) <= limits.crl_octets)
    signers = _signers(question, held)
    lists = [crl for der in held if (crl := _usable(der, question, signers))]
    listed = _listed(lists, question)
    responses = tuple(ocsp_responses)
    if not responses:
        return listed

    def of_responder(responder: Certificate) -> RevocationStatus:
        return status(responder, issuer, held, now, grace_seconds, limits=limits).status

    answered = ocsp.status(
        certificate, issuer, responses, now, revocation_of=of_responder, limits=limits
    )
    return min(listed, answered, key=_rank)


def _rank(result: RevocationResult) -> tuple[int, bool, float]:
    order = (RevocationStatus.REVOKED, RevocationStatus.GOOD, RevocationStatus.UNKNOWN)
    age = result.this_update.timestamp() if result.this_update else 0.0
    return order.index(result.status), result.in_grace, -age


def _listed(lists: Sequence[RevocationList], question: _Question) -> RevocationResult:
    """What all lists say together; of those that cannot prove "good" only "revoked" counts."""
    sources: dict[object, list[RevocationList]] = {}
    for crl in lists:
        sources.setdefault(crl.source, []).append(crl)
    results = [_combined((), question)]
    for some in sources.values():
        result = _combined(some, question)
        if some[0].can_prove_good or result.status is RevocationStatus.REVOKED:
            results.append(result)
    return min(results, key=_rank)


def _combined(lists: Sequence[RevocationList], question: _Question) -> RevocationResult:
    """What complete lists say, brought up to date by the newest delta (RFC 5280, 6.3.3)."""
    complete = max(
        (crl for crl in lists if crl.base_number is None), key=lambda crl: crl.age, default=None
    )
    delta = max(
        (crl for crl in lists if _is_newer_delta(crl, complete)),
        key=lambda crl: crl.age,
        default=None,
    )
    try:
        entry = _entry(complete, question.certificate)
        change = _entry(delta, question.certificate)
    except PARSE_ERRORS:
        return RevocationResult(status=RevocationStatus.UNKNOWN, reason="CRL malformed")
    used = [crl for crl in (complete, delta) if crl is not None]
    if change is not None and not _lifts(change):
        return _result(RevocationStatus.REVOKED, _entry_reason(change), used, question)
    fits = complete is not None and delta is not None and _applies(delta, complete)
    if entry is not None and not (fits and change is not None and _is_hold(entry)):
        return _result(RevocationStatus.REVOKED, _entry_reason(entry), used[:1], question)
    if complete is None:
        return RevocationResult(status=RevocationStatus.UNKNOWN, reason="no usable CRL")
    return _result(RevocationStatus.GOOD, "", used if fits else [complete], question)


def _result(
    verdict: RevocationStatus, reason: str, used: Sequence[RevocationList], question: _Question
) -> RevocationResult:
    # Of a complete list and its delta each alone proves "good" until its own end.
    next_update = max(crl.next_update for crl in used)
    end = next_update + timedelta(seconds=question.grace_seconds)
    if verdict is RevocationStatus.GOOD and question.now > end:
        verdict, reason = RevocationStatus.UNKNOWN, "CRL out of date"
    good = verdict is RevocationStatus.GOOD
    return RevocationResult(
        status=verdict,
        reason=reason,
        method=RevocationMethod.CRL,
        this_update=max(crl.this_update for crl in used),
        next_update=next_update,
        in_grace=good and question.now > next_update,
        valid_until=end if good else None,
    )


# --- complete and delta --------------------------------------------------------------------------


def _is_newer_delta(crl: RevocationList, complete: RevocationList | None) -> bool:
    if crl.base_number is None:
        return False
    return complete is None or (crl.number or 0) > (complete.number or 0)


def _applies(delta: RevocationList, complete: RevocationList) -> bool:
    # RFC 5280, 5.2.4 (b) and (c): same scope, and the complete list is not older than the base.
    return (
        delta.base_number is not None
        and complete.number is not None
        and complete.number >= delta.base_number
        and delta.issuer_der == complete.issuer_der
        and scope_of(delta.parsed) == scope_of(complete.parsed)
    )


def _entry(crl: RevocationList | None, certificate: Certificate) -> x509.RevokedCertificate | None:
    if crl is None:
        return None
    scope = scope_of(crl.parsed)
    if scope is not None and scope.indirect_crl:
        return indirect_entry(crl.parsed, certificate)
    serial_number = certificate.serial_number
    if serial_number < 0:  # forbidden, and seen; the library's index has only the others
        return next((entry for entry in crl.parsed if entry.serial_number == serial_number), None)
    return crl.parsed.get_revoked_certificate_by_serial_number(serial_number)


def _lifts(entry: x509.RevokedCertificate) -> bool:
    return _entry_reason(entry) == x509.ReasonFlags.remove_from_crl.value


def _is_hold(entry: x509.RevokedCertificate) -> bool:
    # Only a hold can be lifted (RFC 5280, 5.3.1).
    return _entry_reason(entry) == x509.ReasonFlags.certificate_hold.value


# --- which lists count ---------------------------------------------------------------------------


def _usable(
    der: bytes, question: _Question, signers: Sequence[Certificate]
) -> RevocationList | None:
    crl = read_crl(der)
    certificate, issuer = question.certificate, question.issuer
    if crl is None or crl.this_update > question.now:
        return None
    if issuer.subject_der != certificate.issuer_der:
        return None
    own = crl.issuer_der == issuer.subject_der
    if not (speaks_about if own else speaks_indirectly_about)(crl.parsed, certificate):
        return None
    signs = own and (issuer.key_usage is None or issuer.key_usage.crl_sign)
    if signs and is_signed_by(der, issuer):
        return crl
    named = (signer for signer in signers if signer.subject_der == crl.issuer_der)
    signer = next((signer for signer in named if is_signed_by(der, signer)), None)
    # QUIRK 2026-11 AD CS: after a change of keys it makes one list for each key, and nothing in
    # them says so.  Where the issuer signs lists, absence from another key's means nothing.
    return replace(crl, other_key=signer if signs else None) if signer else None


def _signers(question: _Question, crls: Sequence[bytes]) -> list[Certificate]:
    """Who besides the issuer may sign lists about its certificates.

    Some CAs have a key for lists only, many that changed their key sign with the new one, and
    indirect lists come from whom the certificate names as its cRLIssuer.  Of the paths that
    RFC 5280, 6.3.3 (f) wants we accept those along the issuer's own: from it, to it, or beside it.
    """
    issuer, above = question.issuer, question.above
    names = {issuer.subject_der, *question.certificate.crl_issuers}
    candidates = [c for c in question.authorities if c.subject_der in names and c != issuer]
    authorities = [issuer] if above is None else [issuer, above]
    signers = [
        candidate
        for candidate in candidates
        if _is_fit(candidate, question)
        and any(_is_good(candidate, authority, question, crls) for authority in authorities)
    ]
    if above is not None and (above.key_usage is None or above.key_usage.crl_sign):
        signers.append(above)
    return signers


def _is_fit(signer: Certificate, question: _Question) -> bool:
    return (
        signer.key_usage is not None
        and signer.key_usage.crl_sign
        and not lint.validity_flaw(signer, question.now)
        and not lint.key_flaw(signer, limits=question.limits)
        and not lint.weak_hash_flaw(signer)
    )


def _is_good(
    signer: Certificate, issuer: Certificate, question: _Question, crls: Sequence[bytes]
) -> bool:
    now, grace_seconds, limits = question.now, question.grace_seconds, question.limits
    return is_issued_by(signer, issuer, limits) and (
        status(signer, issuer, crls, now, grace_seconds, limits=limits).status
        is RevocationStatus.GOOD
    )


def _entry_reason(entry: x509.RevokedCertificate) -> str:
    # Every entry of a complete list means revoked: certificateHold, unknown reasons, and also
    # removeFromCRL, which has a meaning in a delta only (RFC 5280, 5.3.1).
    try:
        return str(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
    except (*PARSE_ERRORS, x509.ExtensionNotFound):
        return ""
