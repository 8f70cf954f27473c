"""The ephemeral public key that a sender agrees on a secret with (RFC 5753, 3.1.1; RFC 8418, 3)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.asn1 import Element
from smimegw.cms.keys import AgreementKey
from smimegw.errors import UnsupportedAlgorithmError

_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_X25519 = "1.3.101.110"  # RFC 8410, 3
_X448 = "1.3.101.111"
_CURVE_OIDS = {
    "secp256r1": "1.2.840.10045.3.1.7",
    "secp384r1": "1.3.132.0.34",
    "secp521r1": "1.3.132.0.35",
    "brainpoolP256r1": "1.3.36.3.3.2.8.1.1.7",  # RFC 5639, A.1
    "brainpoolP384r1": "1.3.36.3.3.2.8.1.1.11",
    "brainpoolP512r1": "1.3.36.3.3.2.8.1.1.13",
}
_ORIGINATOR_KEY = 0xA1


def agree(recipient: AgreementKey) -> tuple[bytes, bytes]:
    """Agree on a secret with *recipient* through a new key; return that OriginatorPublicKey, too.

    Returns:
        The originator's public key in DER, and the secret.

    Raises:
        UnsupportedAlgorithmError: The recipient's point is one of those that give no secret.
    """
    try:
        match recipient:
            case x25519.X25519PublicKey():
                x25519_key = x25519.X25519PrivateKey.generate()
                octets = x25519_key.public_key().public_bytes_raw()
                return _originator_key(octets, _X25519), x25519_key.exchange(recipient)
            case x448.X448PublicKey():
                x448_key = x448.X448PrivateKey.generate()
                octets = x448_key.public_key().public_bytes_raw()
                return _originator_key(octets, _X448), x448_key.exchange(recipient)
            case ec.EllipticCurvePublicKey():
                ec_key = ec.generate_private_key(recipient.curve)
                octets = ec_key.public_key().public_bytes(
                    Encoding.X962, PublicFormat.UncompressedPoint
                )
                secret = ec_key.exchange(ec.ECDH(), recipient)
                return _originator_key(octets, _EC_PUBLIC_KEY), secret
    except ValueError:
        # RFC 7748, 6.1: a secret of zeros
        raise UnsupportedAlgorithmError("the certificate's public key is a weak point") from None


def read_originator_key(originator: Element, own: AgreementKey) -> AgreementKey:
    """Read the sender's key, which must be of the kind and on the curve of *own*.

    Raises:
        UnsupportedAlgorithmError: Named by a certificate, of another kind or on another curve.
        CMSError: Malformed.
        ValueError: Not a point.
    """
    if originator.tag != _ORIGINATOR_KEY:
        raise UnsupportedAlgorithmError("static-static key agreement is not supported")
    algorithm_element, point = originator.elements(asn1.SEQUENCE, asn1.BIT_STRING)
    algorithm = algorithm_identifiers.read(algorithm_element)
    match own:
        case x25519.X25519PublicKey() if algorithm.oid == _X25519 and not algorithm.parameters:
            return x25519.X25519PublicKey.from_public_bytes(point.bits())
        case x448.X448PublicKey() if algorithm.oid == _X448 and not algorithm.parameters:
            return x448.X448PublicKey.from_public_bytes(point.bits())
        case ec.EllipticCurvePublicKey() if algorithm.oid == _EC_PUBLIC_KEY:
            named = None if algorithm.has_null_or_no_parameters else algorithm.parameters
            # RFC 5480, 2.1.1: named curves only, and the recipient's
            if named is None or (
                named.tag == asn1.OBJECT_IDENTIFIER
                and named.oid() == _CURVE_OIDS.get(own.curve.name)
            ):
                return ec.EllipticCurvePublicKey.from_encoded_point(own.curve, point.bits())
            raise UnsupportedAlgorithmError("the originator's key is on another curve")
    raise UnsupportedAlgorithmError("the originator's key is of another kind")


def _originator_key(octets: bytes, oid: str) -> bytes:
    return der.value(_ORIGINATOR_KEY, algorithm_identifiers.write(oid), der.bit_string(octets))
