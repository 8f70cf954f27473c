"""Says whether one certificate really issued another: names and signature, nothing more."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from smimegw.errors import CertificateError
from smimegw.limits import Limits
from smimegw.x509.certificate import Certificate


def is_issued_by(certificate: Certificate, issuer: Certificate, limits: Limits) -> bool:
    """The names fit and the signature of *certificate* holds with the key of *issuer*."""
    try:
        key = issuer.public_key
        if isinstance(key, rsa.RSAPublicKey) and key.key_size > limits.rsa_bits_max:
            return False  # a check with such a key takes seconds
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, CertificateError):
        return False
    return True
