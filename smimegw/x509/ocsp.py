"""Asks one question by OCSP and reads from the answers whether a certificate is revoked (RFC 6960).

An answer counts when it is signed by the issuer itself, or by a responder to whom that very issuer
gave a certificate for this purpose, and when it speaks about exactly our certificate and about now.
Everything else – ``tryLater``, another serial number, another nonce – says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509 import lint
from smimegw.x509.certificate import PARSE_ERRORS, Certificate
from smimegw.x509.issuer import is_issued_by
from smimegw.x509.status import RevocationMethod, RevocationResult, RevocationStatus

_STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_IDENTIFYING_HASHES = (hashes.SHA1, hashes.SHA224, *_STRONG_HASHES)
_RESPONDER_CERTIFICATES = 8  # a real response carries one or two
# A response is often made for us while we wait, by a machine whose clock is not exactly ours.
_CLOCK_TOLERANCE = timedelta(minutes=1)
# Without nextUpdate the responder always knows something newer (RFC 6960, 2.4), so it is good for
# this message only.
_AGE_WITHOUT_NEXT_UPDATE = timedelta(minutes=10)

RevocationOf = Callable[[Certificate], RevocationStatus]


@dataclass(frozen=True, slots=True)
class _Answer:
    response: ocsp.OCSPResponse
    said: ocsp.OCSPSingleResponse
    this_update: datetime
    valid_until: datetime


def request(certificate: Certificate, issuer: Certificate, nonce: bytes = b"") -> bytes:
    """Return the DER OCSPRequest for *certificate*.

    SHA-1 names the issuer, because responders with prepared answers know no other hash
    (RFC 5019, 2.1.1); nothing rests on it.
    """
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate.parsed,
        issuer.parsed,
        hashes.SHA1(),  # noqa: S303
    )
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def answers_nonce(response: bytes, nonce: bytes) -> bool:
    """Whether *response* holds *nonce*, or none at all as prepared answers do (RFC 9654, 3.1)."""
    try:
        extensions = ocsp.load_der_ocsp_response(response).extensions
        return extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    except x509.ExtensionNotFound:
        return True
    except PARSE_ERRORS:
        return False


def made_at(response: bytes) -> datetime | None:
    """When *response* says that its news are from (thisUpdate); None for what is no answer."""
    try:
        parsed = ocsp.load_der_ocsp_response(response)
        return min((each.this_update_utc for each in parsed.responses), default=None)
    except PARSE_ERRORS:
        return None


def status(
    certificate: Certificate,
    issuer: Certificate,
    responses: Iterable[bytes],
    now: datetime,
    *,
    revocation_of: RevocationOf,
    limits: Limits = DEFAULT_LIMITS,
) -> RevocationResult:
    """Return what the newest applicable response says about *certificate*.

    Args:
        certificate: Whose status is wanted.
        issuer: The certificate that issued it.
        responses: DER OCSPResponses, untrusted.
        now: The time of judgement.
        revocation_of: Says whether a responder, issued by *issuer*, is itself revoked.
        limits: Longer responses than *ocsp_octets* are not looked at.
    """
    answers = [
        answer
        for der in responses
        if len(der) <= limits.ocsp_octets
        and (answer := _read(der, certificate, issuer, now)) is not None
        and _is_authentic(answer.response, issuer, now, revocation_of, limits)
    ]
    if not answers:
        return RevocationResult(status=RevocationStatus.UNKNOWN, reason="no usable OCSP response")
    newest = max(answers, key=lambda answer: answer.this_update)
    verdict, reason = _verdict(newest, now)
    return RevocationResult(
        status=verdict,
        reason=reason,
        method=RevocationMethod.OCSP,
        this_update=newest.this_update,
        next_update=newest.said.next_update_utc,
        valid_until=newest.valid_until if verdict is RevocationStatus.GOOD else None,
    )


def _verdict(answer: _Answer, now: datetime) -> tuple[RevocationStatus, str]:
    match answer.said.certificate_status:
        case ocsp.OCSPCertStatus.REVOKED:
            reason = answer.said.revocation_reason
            return RevocationStatus.REVOKED, str(reason.value) if reason else ""
        case ocsp.OCSPCertStatus.GOOD if now <= answer.valid_until:
            return RevocationStatus.GOOD, ""
        case ocsp.OCSPCertStatus.GOOD:
            return RevocationStatus.UNKNOWN, "OCSP response out of date"
    return RevocationStatus.UNKNOWN, "the OCSP responder does not know the certificate"


def _read(
    der: bytes, certificate: Certificate, issuer: Certificate, now: datetime
) -> _Answer | None:
    # None for what cannot be used whoever signed it.
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return None
        several = list(response.responses)
        # We ask about one certificate.  Extensions of single responses can be seen only when
        # there is one, and an unknown critical one would have to be obeyed.
        if len(several) != 1 or not _names(several[0], certificate, issuer):
            return None
        critical = [
            extension
            for extension in (*response.extensions, *response.single_extensions)
            if extension.critical and not isinstance(extension.value, x509.OCSPNonce)
        ]
        this_update = several[0].this_update_utc
        next_update = several[0].next_update_utc
    except PARSE_ERRORS:
        return None
    if critical or this_update > now + _CLOCK_TOLERANCE:
        return None
    valid_until = next_update or this_update + _AGE_WITHOUT_NEXT_UPDATE
    return _Answer(response, several[0], this_update, valid_until)


def _names(single: ocsp.OCSPSingleResponse, certificate: Certificate, issuer: Certificate) -> bool:
    # RFC 6960, 3.2 (1): the certificate in the response is the one of the request.
    algorithm = single.hash_algorithm
    if single.serial_number != certificate.serial_number:
        return False
    if not isinstance(algorithm, _IDENTIFYING_HASHES):
        return False
    ours = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(certificate.parsed, issuer.parsed, algorithm)
        .build()
    )
    return (
        single.issuer_name_hash == ours.issuer_name_hash
        and single.issuer_key_hash == ours.issuer_key_hash
    )


# --- who signed it -------------------------------------------------------------------------------


def _is_authentic(
    response: ocsp.OCSPResponse,
    issuer: Certificate,
    now: datetime,
    revocation_of: RevocationOf,
    limits: Limits,
) -> bool:
    # RFC 6960, 4.2.2.2: the issuer itself, or a responder that it appointed; nobody else, not even
    # another CA that we trust.
    for signer in _signers(response, issuer):
        appointed = signer == issuer or _is_appointed(signer, issuer, now, revocation_of, limits)
        if appointed and _is_signed_by(response, signer):
            return True
    return False


def _signers(response: ocsp.OCSPResponse, issuer: Certificate) -> Iterator[Certificate]:
    yield issuer
    try:
        carried = response.certificates[:_RESPONDER_CERTIFICATES]
        name, key_hash = response.responder_name, response.responder_key_hash
    except PARSE_ERRORS:
        return
    for parsed in carried:
        try:
            certificate = Certificate.parse(parsed.public_bytes(serialization.Encoding.DER))
            identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key)
        except (*PARSE_ERRORS, CertificateError):
            continue
        if identifier.digest == key_hash or certificate.parsed.subject == name:
            yield certificate


def _is_appointed(
    responder: Certificate,
    issuer: Certificate,
    now: datetime,
    revocation_of: RevocationOf,
    limits: Limits,
) -> bool:
    usage = responder.key_usage
    if (
        ExtendedKeyUsageOID.OCSP_SIGNING not in (responder.extended_key_usage or ())
        or (usage is not None and not (usage.digital_signature or usage.content_commitment))
        or lint.validity_flaw(responder, now)
        or lint.key_flaw(responder, limits=limits)
        or lint.weak_hash_flaw(responder)
        or _has_unknown_critical(responder)
        or not is_issued_by(responder, issuer, limits)
    ):
        return False
    revoked = revocation_of(responder)
    if revoked is RevocationStatus.UNKNOWN:
        return _is_exempt(responder)
    return revoked is RevocationStatus.GOOD


def _has_unknown_critical(certificate: Certificate) -> bool:
    return any(
        extension.critical and isinstance(extension.value, x509.UnrecognizedExtension)
        for extension in certificate.parsed.extensions
    )


def _is_exempt(responder: Certificate) -> bool:
    # RFC 6960, 4.2.2.2.1: id-pkix-ocsp-nocheck, trusted for its lifetime.
    try:
        responder.parsed.extensions.get_extension_for_class(x509.OCSPNoCheck)
    except x509.ExtensionNotFound:
        return False
    return True


def _is_signed_by(response: ocsp.OCSPResponse, signer: Certificate) -> bool:
    try:
        _verify(response, signer)
    except (*PARSE_ERRORS, InvalidSignature, CertificateError):
        return False
    return True


def _verify(response: ocsp.OCSPResponse, signer: Certificate) -> None:
    key, signature, signed = signer.public_key, response.signature, response.tbs_response_bytes
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, signed)
        return
    if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        _verify_pss(key, signature, signed)
        return
    algorithm = response.signature_hash_algorithm
    if not isinstance(algorithm, _STRONG_HASHES):
        raise InvalidSignature
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm))
    else:
        raise InvalidSignature


def _verify_pss(key: object, signature: bytes, signed: bytes) -> None:
    # The library does not show the parameters of a response.  They are the signer's own claim
    # about the signature, so trying the strong ones that exist loses nothing.
    if not isinstance(key, rsa.RSAPublicKey):
        raise InvalidSignature
    for strong in _STRONG_HASHES:
        algorithm = strong()
        scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
        try:
            key.verify(signature, signed, scheme, algorithm)
        except InvalidSignature:
            continue
        return
    raise InvalidSignature
