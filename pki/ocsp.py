"""Writes OCSP responses (RFC 6960), about several certificates at a time.

Pure: what is known of a certificate is asked of the caller, the time comes in.  The library writes
about one certificate only, so the format is written here; it makes the signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.authority import BACKDATE
from pki.ocsp_request import NONCE, CertID, Request
from pki.revocation import Revocation
from smimegw.cms import asn1, der

_BASIC = "1.3.6.1.5.5.7.48.1.1"
_EXTENDED_REVOKE = "1.3.6.1.5.5.7.48.1.9"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_ENUMERATED = 0x0A
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": hashes.SHA1,
    "2.16.840.1.101.3.4.2.4": hashes.SHA224,
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}
_REASONS = {  # RFC 5280, 5.3.1
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
_NEVER_ISSUED = Revocation(  # RFC 6960, 2.2
    revoked_at=datetime(1970, 1, 1, tzinfo=UTC), reason="certificateHold"
)


class Failure(IntEnum):
    """OCSPResponseStatus of an answer that is none (RFC 6960, 4.2.1)."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """What the CA knows of a serial number: never issued, good, or revoked."""

    issued: bool
    revocation: Revocation | None = None


NOT_ISSUED = Standing(issued=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """Who answers for one issuer, with a key that the issuer appointed (RFC 6960, 4.2.2.2)."""

    issuer: x509.Certificate
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def counts_at(self, now: datetime) -> bool:
        """Whether readers believe its answers now."""
        own = self.certificate
        return own.not_valid_before_utc <= now < own.not_valid_after_utc

    def answers_for(self, asked: CertID) -> bool:
        """Whether *asked* is about a certificate of the same issuer."""
        if asked.algorithm not in _HASHES:
            return False
        algorithm = _HASHES[asked.algorithm]()
        return (
            _hash(algorithm, self.issuer.subject.public_bytes()) == asked.issuer_name_hash
            and _hash(algorithm, _key_octets(self.issuer)) == asked.issuer_key_hash
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When an answer was made and for how long it counts."""

    produced_at: datetime
    this_update: datetime
    next_update: datetime


def failure(status: Failure) -> bytes:
    """Return an OCSPResponse that only says why there is no answer."""
    return der.sequence(der.value(_ENUMERATED, bytes([status])))


def answer(
    request: Request,
    standing_of: Callable[[CertID], Standing],
    responder: Responder,
    times: Times,
    *,
    unissued_is_revoked: bool = False,
) -> bytes:
    """Return a signed OCSPResponse about all certificates of *request*.

    Args:
        request: What was asked; certificates of other issuers are unknown.
        standing_of: Tells of a certificate that *responder* answers for.
        responder: Who signs.
        times: For how long it counts.
        unissued_is_revoked: Say "revoked" of numbers never issued (RFC 6960, 2.2).
    """
    singles, extended = [], False
    for asked in request.certificates:
        ours = responder.answers_for(asked)
        status = _status(standing_of(asked)) if ours else der.value(0x82)
        if ours and unissued_is_revoked and status == der.value(0x82):
            status, extended = _revoked(_NEVER_ISSUED), True
        singles.append(_single(asked, status, times))
    extensions = [_extension(NONCE, der.octet_string(request.nonce))] if request.nonce else []
    extensions += [_extension(_EXTENDED_REVOKE, der.NULL)] if extended else []
    data = der.sequence(
        _responder_id(responder),
        _time(times.produced_at),
        der.sequence(*singles),
        der.explicit(1, der.sequence(*extensions)) if extensions else b"",
    )
    basic = der.sequence(
        data,
        der.sequence(der.oid(_ECDSA_WITH_SHA256)),
        der.bit_string(responder.key.sign(data, ec.ECDSA(hashes.SHA256()))),
        der.explicit(0, der.sequence(responder.certificate.public_bytes(Encoding.DER))),
    )
    successful = der.value(_ENUMERATED, b"\0")
    inside = der.sequence(der.oid(_BASIC), der.octet_string(basic))
    return der.sequence(successful, der.explicit(0, inside))


def times_from(now: datetime, hours: int, responder: Responder) -> Times:
    """Return *hours* from now, not beyond the responder's own end."""
    now = now.replace(microsecond=0)
    start = max(now - BACKDATE, responder.certificate.not_valid_before_utc)
    end = min(now + timedelta(hours=hours), responder.certificate.not_valid_after_utc)
    return Times(produced_at=now, this_update=start, next_update=end)


# --- writing -------------------------------------------------------------------------------------


def _status(standing: Standing) -> bytes:
    if not standing.issued:
        return der.value(0x82)
    return _revoked(standing.revocation) if standing.revocation else der.value(0x80)


def _revoked(revocation: Revocation) -> bytes:
    code = _REASONS.get(revocation.reason)  # RFC 5280, 5.3.1: unspecified is left out
    reason = der.explicit(0, der.value(_ENUMERATED, bytes([code]))) if code else b""
    return der.value(0xA1, _time(revocation.revoked_at), reason)


def _single(asked: CertID, status: bytes, times: Times) -> bytes:
    until = der.explicit(0, _time(times.next_update))
    return der.sequence(asked.encoded, status, _time(times.this_update), until)


def _responder_id(responder: Responder) -> bytes:
    own_key = _hash(hashes.SHA1(), _key_octets(responder.certificate))  # noqa: S303 - RFC 6960, 4.2.1
    return der.explicit(2, der.octet_string(own_key))


def _extension(name: str, value: bytes) -> bytes:
    return der.sequence(der.oid(name), der.octet_string(value))


def _time(moment: datetime) -> bytes:
    # RFC 6960, 4.2.2.1: GeneralizedTime always, where `der.time` would choose
    text = moment.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")
    return der.value(asn1.GENERALIZED_TIME, text.encode("ascii"))


def _hash(algorithm: hashes.HashAlgorithm, octets: bytes) -> bytes:
    state = hashes.Hash(algorithm)
    state.update(octets)
    return state.finalize()


def _key_octets(certificate: x509.Certificate) -> bytes:
    """The content of subjectPublicKey, without tag, length and unused bits (RFC 6960, 4.1.1)."""
    octets = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    *_, bits = asn1.read_document(octets).elements()
    return bits.bits()
