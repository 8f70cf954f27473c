"""Reads CertificateLists and checks who signed them (RFC 5280, 5.1 and 5.2)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smimegw.errors import CertificateError
from smimegw.limits import MIB
from smimegw.x509.certificate import PARSE_ERRORS, Certificate
from smimegw.x509.crl_scope import scope_of
from smimegw.x509.locations import crl_places

_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_KNOWN_WHEN_CRITICAL = (x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A CertificateList that could be used.

    Attributes:
        base_number: Set for a delta (RFC 5280, 5.2.4).
        other_key: Who signed it, where that makes it prove nothing but "revoked".
    """

    parsed: x509.CertificateRevocationList
    this_update: datetime
    next_update: datetime
    number: int | None
    base_number: int | None
    issuer_der: bytes
    other_key: Certificate | None = None

    @property
    def source(self) -> tuple[Certificate | None, x509.IssuingDistributionPoint | None]:
        """Lists of one source replace each other; what another one says stays as it is."""
        scope = scope_of(self.parsed)
        special = scope is not None and (scope.indirect_crl or scope.only_some_reasons is not None)
        return self.other_key, scope if special else None

    @property
    def can_prove_good(self) -> bool:
        """It speaks about every certificate of its scope and every reason."""
        scope = scope_of(self.parsed)
        return self.other_key is None and (scope is None or scope.only_some_reasons is None)

    @property
    def age(self) -> tuple[datetime, int]:
        """For choosing the newest."""
        return self.this_update, self.number or 0


def read_crl(der: bytes) -> RevocationList | None:
    """Read a CertificateList; None for one that nobody could use, or that is none."""
    return (_remembered if len(der) <= _REMEMBERED_OCTETS else _parse)(der)


def _parse(der: bytes) -> RevocationList | None:
    # None for what we can never use: malformed, without nextUpdate (RFC 5280, 5.1.2.5), a weak
    # signature, critical extensions beyond the known ones.
    try:
        parsed = x509.load_der_x509_crl(der)
        extensions = parsed.extensions
        next_update = parsed.next_update_utc
        issuer_der = parsed.issuer.public_bytes()
        weak = isinstance(parsed.signature_hash_algorithm, _WEAK_HASHES)
    except PARSE_ERRORS:
        return None
    number = base_number = None
    for extension in extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            base_number = extension.value.crl_number
        elif isinstance(extension.value, x509.CRLNumber):
            number = extension.value.crl_number
        elif extension.critical and not isinstance(extension.value, _KNOWN_WHEN_CRITICAL):
            return None
    if next_update is None or weak:
        return None
    this_update = parsed.last_update_utc
    return RevocationList(parsed, this_update, next_update, number, base_number, issuer_der)


def is_signed_by(der: bytes, issuer: Certificate) -> bool:
    """Whether the key of *issuer* signed the list *der*."""
    return (_remembered_check if len(der) <= _REMEMBERED_OCTETS else _check)(der, issuer)


def _check(der: bytes, issuer: Certificate) -> bool:
    crl = read_crl(der)
    try:
        if crl is None:
            return False
        key = issuer.public_key
        # a key of a kind that cannot sign makes it raise, and that is "no", too
        return crl.parsed.is_signature_valid(key)  # type: ignore[arg-type]  # any kind, see above
    except (*PARSE_ERRORS, CertificateError):
        return False


# Lists are asked again for every message.  What strangers send along is kept in memory as well,
# so the sizes and numbers are small.
_REMEMBERED_OCTETS = 4 * MIB
_remembered = functools.lru_cache(maxsize=8)(_parse)
_remembered_check = functools.lru_cache(maxsize=16)(_check)


# --- for whoever fetches lists and wants to know what he got --------------------------------------


def crl_next_update(der: bytes, issuer: Certificate) -> datetime | None:
    """The nextUpdate of a list that *issuer* signed; None for any other and for unusable ones."""
    crl = read_crl(der)
    if crl is None or crl.issuer_der != issuer.subject_der or not is_signed_by(der, issuer):
        return None
    return crl.next_update


def is_indirect_crl(der: bytes) -> bool:
    """Whether *der* is a list in which its signer speaks for other issuers; unverified."""
    crl = read_crl(der)
    scope = scope_of(crl.parsed) if crl else None
    return scope is not None and scope.indirect_crl


def freshest_places(der: bytes) -> tuple[tuple[str, ...], ...]:
    """URLs of each place where a delta to the list *der* is published (RFC 5280, 5.2.6)."""
    crl = read_crl(der)
    return crl_places(crl.parsed.extensions) if crl is not None else ()
