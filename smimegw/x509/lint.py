"""Says why a certificate may not be used for e-mail, looking at that certificate alone.

The rules are RFC 8550, 4.4, with the key sizes of limits.py.  Each answer is "" or one reason word
of `CertificateError`.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import Certificate
from smimegw.x509.weak_points import EdwardsOrMontgomeryKey, is_weak_point

# FIPS 186-5, A.1.1; smaller exponents make forgeries and broadcasts easier
RSA_EXPONENTS = range(65537, 2**256, 2)

CURVES: tuple[type[ec.EllipticCurve], ...] = (  # all of cofactor 1
    *(ec.SECP256R1, ec.SECP384R1, ec.SECP521R1),
    *(ec.BrainpoolP256R1, ec.BrainpoolP384R1, ec.BrainpoolP512R1),
)
_EDWARDS_KEYS = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)  # only sign (RFC 8410, 5)
_MONTGOMERY_KEYS = (x25519.X25519PublicKey, x448.X448PublicKey)  # only agree
_RSA_STRENGTHS = ((15360, 256), (7680, 192), (3072, 128), (2048, 112))
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_MAIL_PURPOSES = {
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}


def encryption_flaw(
    certificate: Certificate, now: datetime, *, limits: Limits = DEFAULT_LIMITS
) -> str:
    """Why nobody should encrypt to *certificate*; "" when nothing speaks against it."""
    return (
        validity_flaw(certificate, now)
        or _encryption_usage_flaw(certificate)
        or purpose_flaw(certificate)
        or key_flaw(certificate, limits=limits)
        or signature_flaw(certificate)
    )


def signing_flaw(
    certificate: Certificate, now: datetime, *, limits: Limits = DEFAULT_LIMITS
) -> str:
    """Why a signature by *certificate* counts for nothing; "" when nothing speaks against it."""
    return (
        validity_flaw(certificate, now)
        or _signing_usage_flaw(certificate)
        or purpose_flaw(certificate)
        or key_flaw(certificate, limits=limits)
        or signature_flaw(certificate)
    )


def validity_flaw(certificate: Certificate, now: datetime) -> str:
    """``expired``, ``not-yet-valid`` or ""; both ends belong to the period (RFC 5280, 4.1.2.5)."""
    if now < certificate.not_before:
        return "not-yet-valid"
    return "expired" if now > certificate.not_after else ""


def purpose_flaw(certificate: Certificate) -> str:
    """``extended-key-usage`` unless e-mail is among the purposes or none are given.

    RFC 8550, 4.4.4: without the extension the certificate is good for every purpose.
    """
    purposes = certificate.extended_key_usage
    return "" if purposes is None or purposes & _MAIL_PURPOSES else "extended-key-usage"


def key_flaw(certificate: Certificate, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """``weak-key`` for sizes, exponents, curves, points and kinds that are not accepted."""
    try:
        key = certificate.public_key
    except CertificateError as exc:
        return exc.reason
    if isinstance(key, rsa.RSAPublicKey):
        fits = limits.rsa_bits_min <= key.key_size <= limits.rsa_bits_max
        strong = fits and key.public_numbers().e in RSA_EXPONENTS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        strong = isinstance(key.curve, CURVES)
    elif isinstance(key, EdwardsOrMontgomeryKey):
        strong = not is_weak_point(key)
    else:
        strong = False
    return "" if strong else "weak-key"


def security_bits(certificate: Certificate) -> int:
    """How strong the key is, in bits of NIST SP 800-57 part 1, table 2; 0 for unknown kinds."""
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey):
        return next((bits for size, bits in _RSA_STRENGTHS if key.key_size >= size), 0)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.key_size // 2
    if isinstance(key, x25519.X25519PublicKey):
        return 128
    return 224 if isinstance(key, x448.X448PublicKey) else 0


def signature_flaw(certificate: Certificate) -> str:
    """``weak-signature`` when the issuer signed with MD5, SHA-1 or something unknown.

    A self-issued certificate gets its trust from being configured, not from its signature.
    """
    if certificate.is_self_issued:
        return ""
    return weak_hash_flaw(certificate)


def weak_hash_flaw(certificate: Certificate) -> str:
    """Like `signature_flaw`, whoever issued it."""
    try:
        algorithm = certificate.parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "weak-signature"
    return "weak-signature" if isinstance(algorithm, _WEAK_HASHES) else ""


def _encryption_usage_flaw(certificate: Certificate) -> str:
    # RFC 8550, 4.4.2; CA certificates are no end entities, whatever their KeyUsage says.
    try:
        key = certificate.public_key
    except CertificateError as exc:
        return exc.reason
    usage = certificate.key_usage
    fit = False
    if isinstance(key, rsa.RSAPublicKey):
        # A key bound to RSASSA-PSS signs only (RFC 4055, 1.2).
        pss = certificate.parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
        fit = not pss and (usage is None or usage.key_encipherment)
    elif isinstance(key, (ec.EllipticCurvePublicKey, *_MONTGOMERY_KEYS)):
        fit = usage is None or usage.key_agreement
    return "" if fit and not certificate.is_ca else "key-usage"


def _signing_usage_flaw(certificate: Certificate) -> str:
    try:
        agrees_only = isinstance(certificate.public_key, _MONTGOMERY_KEYS)
    except CertificateError as exc:
        return exc.reason
    usage = certificate.key_usage
    fit = not agrees_only and (usage is None or usage.digital_signature or usage.content_commitment)
    return "" if fit and not certificate.is_ca else "key-usage"
