"""Reads from complete CRLs whether one certificate is revoked (RFC 5280, 5 and 6.3).

Three answers: good, revoked, unknown.  A list that is not certain to speak about the certificate –
another issuer, a bad signature, a delta, an indirect list, an extension we do not know – says
nothing.  A list past its time no longer proves "good", but what it calls revoked stays revoked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, MIB, Limits
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_KNOWN_WHEN_CRITICAL = (x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier)


class RevocationStatus(StrEnum):
    """What we know; UNKNOWN is neither of the others."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationResult:
    """The status of one certificate and where it comes from.

    Attributes:
        status: Good, revoked or unknown.
        reason: For revoked the CRLReason or "", for unknown why, one phrase.
        this_update: When the list used was made; None without one.
        next_update: When its successor was due.
        in_grace: The list is past *next_update*, but within the configured grace (R-05).
    """

    status: RevocationStatus
    reason: str = ""
    this_update: datetime | None = None
    next_update: datetime | None = None
    in_grace: bool = False


@dataclass(frozen=True, slots=True)
class _List:
    parsed: x509.CertificateRevocationList
    this_update: datetime
    next_update: datetime
    number: int
    issuer_der: bytes


def status(
    certificate: Certificate,
    issuer: Certificate,
    crls: Iterable[bytes],
    now: datetime,
    grace_seconds: int,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> RevocationResult:
    """Return what the newest applicable list in *crls* says about *certificate*.

    Args:
        certificate: Whose status is wanted.
        issuer: The certificate that issued it; lists signed by any other key do not count.
        crls: DER CertificateLists, untrusted.
        now: The time of judgement.
        grace_seconds: How long after nextUpdate a list still proves "good" (R-05).
        limits: Longer lists than *crl_octets* are not looked at.
    """
    usable = []
    for der in crls:
        crl = _usable(der, certificate, issuer, now) if len(der) <= limits.crl_octets else None
        if crl:
            usable.append(crl)
    if not usable:
        return RevocationResult(status=RevocationStatus.UNKNOWN, reason="no usable CRL")
    newest = max(usable, key=lambda crl: (crl.this_update, crl.number))
    try:
        entry = newest.parsed.get_revoked_certificate_by_serial_number(certificate.serial_number)
    except PARSE_ERRORS:
        return RevocationResult(status=RevocationStatus.UNKNOWN, reason="CRL malformed")
    if entry is not None:
        verdict, reason = RevocationStatus.REVOKED, _entry_reason(entry)
    elif now > newest.next_update + timedelta(seconds=grace_seconds):
        verdict, reason = RevocationStatus.UNKNOWN, "CRL out of date"
    else:
        verdict, reason = RevocationStatus.GOOD, ""
    return RevocationResult(
        status=verdict,
        reason=reason,
        this_update=newest.this_update,
        next_update=newest.next_update,
        in_grace=verdict is RevocationStatus.GOOD and now > newest.next_update,
    )


def _usable(
    der: bytes, certificate: Certificate, issuer: Certificate, now: datetime
) -> _List | None:
    crl = _read(der)
    if (
        crl is None
        or crl.this_update > now
        or crl.issuer_der != issuer.subject_der
        or issuer.subject_der != certificate.issuer_der
        or (issuer.key_usage is not None and not issuer.key_usage.crl_sign)
        or not _speaks_about(crl.parsed, certificate)
        or not _is_signed_by(der, issuer)
    ):
        return None
    return crl


def _read(der: bytes) -> _List | None:
    return (_remembered if len(der) <= _REMEMBERED_OCTETS else _parse)(der)


def _parse(der: bytes) -> _List | None:
    # None for what we can never use: malformed, without nextUpdate (RFC 5280, 5.1.2.5), a delta,
    # a weak signature, critical extensions beyond the known ones.
    try:
        parsed = x509.load_der_x509_crl(der)
        extensions = parsed.extensions
        next_update = parsed.next_update_utc
        issuer_der = parsed.issuer.public_bytes()
        weak = isinstance(parsed.signature_hash_algorithm, _WEAK_HASHES)
    except PARSE_ERRORS:
        return None
    number = 0
    for extension in extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            return None
        if isinstance(extension.value, x509.CRLNumber):
            number = extension.value.crl_number
        elif extension.critical and not isinstance(extension.value, _KNOWN_WHEN_CRITICAL):
            return None
    if next_update is None or weak:
        return None
    return _List(parsed, parsed.last_update_utc, next_update, number, issuer_der)


def _is_signed_by(der: bytes, issuer: Certificate) -> bool:
    return (_remembered_check if len(der) <= _REMEMBERED_OCTETS else _check)(der, issuer)


def _check(der: bytes, issuer: Certificate) -> bool:
    crl = _read(der)
    try:
        return crl is not None and crl.parsed.is_signature_valid(issuer.public_key)  # type: ignore[arg-type]
    except (*PARSE_ERRORS, CertificateError):
        return False


# Lists are asked again for every message.  What strangers send along is kept in memory as well,
# so the sizes and numbers are small.
_REMEMBERED_OCTETS = 4 * MIB
_remembered = functools.lru_cache(maxsize=8)(_parse)
_remembered_check = functools.lru_cache(maxsize=16)(_check)


def _speaks_about(crl: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    # RFC 5280, 5.2.5 and 6.3.3 (b) (2): the list's scope has to include the certificate.
    try:
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return True
    if scope.indirect_crl or scope.only_contains_attribute_certs or scope.only_some_reasons:
        return False
    if scope.only_contains_user_certs and certificate.is_ca:
        return False
    if scope.only_contains_ca_certs and not certificate.is_ca:
        return False
    if scope.relative_name is not None:
        return False
    if scope.full_name is None:
        return True
    try:
        points = certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    except x509.ExtensionNotFound:
        return False
    names = {name for point in points.value for name in point.full_name or ()}
    return not names.isdisjoint(scope.full_name)


def _entry_reason(entry: x509.RevokedCertificate) -> str:
    # Every entry means revoked: certificateHold, unknown reasons, and also removeFromCRL, which
    # has no meaning in a complete list (RFC 5280, 5.3.1).
    try:
        return str(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
    except (*PARSE_ERRORS, x509.ExtensionNotFound):
        return ""
