"""Keys that a certificate binds to RSASSA-PSS, perhaps with parameters (RFC 4055, 1.2 and 3.1)."""

from __future__ import annotations

from functools import lru_cache

from smimegw.cms import algorithm_identifiers, asn1
from smimegw.cms.algorithm_identifiers import SignatureAlgorithm
from smimegw.cms.algorithms import SignatureScheme, signature_scheme_for
from smimegw.errors import CMSError
from smimegw.x509.certificate import Certificate


def scheme_for(certificate: Certificate, wanted: SignatureScheme | None) -> SignatureScheme:
    """Return the scheme to sign with: *wanted* where the key leaves a choice.

    Raises:
        UnsupportedAlgorithmError: The key cannot sign.
    """
    if certificate.is_bound_to_pss:
        return SignatureScheme.RSA_PSS
    return wanted or signature_scheme_for(certificate)


def pss_flaw(certificate: Certificate, algorithm: SignatureAlgorithm) -> str:
    """Say why a signature with *algorithm* is none that *certificate* allows; "" when it is.

    Parameters in the certificate fix both hashes, and the least salt (RFC 4055, 3.3).
    """
    if not certificate.is_bound_to_pss:
        return ""
    if algorithm.scheme is not SignatureScheme.RSA_PSS:
        return "the certificate's key is for RSASSA-PSS only"
    try:
        allowed = _parameters(certificate.der)
    except CMSError:
        return "the certificate's parameters for RSASSA-PSS cannot be used"
    if allowed is None:
        return ""
    if algorithm.digest is not allowed.digest or algorithm.salt_octets < allowed.salt_octets:
        return "the certificate's parameters for RSASSA-PSS are others"
    return ""


@lru_cache(maxsize=256)
def _parameters(certificate_der: bytes) -> SignatureAlgorithm | None:
    """What the SubjectPublicKeyInfo fixes; None when it fixes nothing."""
    fields = asn1.read_document(certificate_der).children().read(asn1.SEQUENCE).children()
    fields.optional(0xA0)  # version
    fields.read(asn1.INTEGER)
    for _ in range(4):  # signature, issuer, validity, subject
        fields.read(asn1.SEQUENCE)
    algorithm = fields.read(asn1.SEQUENCE).children().read(asn1.SEQUENCE)
    if algorithm_identifiers.read(algorithm).parameters is None:
        return None
    return algorithm_identifiers.read_signature(algorithm)
