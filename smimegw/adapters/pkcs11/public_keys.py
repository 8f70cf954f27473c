"""Turns keys into PKCS#11 attributes, and the attributes of public keys into keys.

Curves are written as object identifiers (PKCS #11 v3.1, 2.3.3), so that Brainpool needs no name.
"""

from __future__ import annotations

from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier
from pkcs11 import Attribute, KeyType, ObjectClass

from smimegw.cms import asn1, der
from smimegw.errors import CMSError, KeystoreError, UnsupportedAlgorithmError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_ED25519_NAMES = (der.value(0x13, b"edwards25519"), der.oid("1.3.101.112"))
"""Edwards curves are named by text or, since v3.1, by object identifier."""

_CURVE_OIDS = {
    "secp256r1": "1.2.840.10045.3.1.7",
    "secp384r1": "1.3.132.0.34",
    "secp521r1": "1.3.132.0.35",
    "brainpoolP256r1": "1.3.36.3.3.2.8.1.1.7",  # RFC 5639, A.1
    "brainpoolP384r1": "1.3.36.3.3.2.8.1.1.11",
    "brainpoolP512r1": "1.3.36.3.3.2.8.1.1.13",
}


def curve_parameters(curve: ec.EllipticCurve) -> bytes:
    """CKA_EC_PARAMS of *curve*.

    Raises:
        UnsupportedAlgorithmError: Not one of the curves that mail is signed with.
    """
    try:
        return der.oid(_CURVE_OIDS[curve.name])
    except KeyError:
        raise UnsupportedAlgorithmError(f"the curve {curve.name} is not used") from None


def edwards_parameters() -> bytes:
    """CKA_EC_PARAMS of Ed25519, in the form that all versions read."""
    return _ED25519_NAMES[0]


def read_public_key(found: pkcs11.Object) -> PublicKey:
    """Return the public key that a public (or, for RSA, a private) key object tells.

    Raises:
        KeystoreError: Another kind of key, or damaged.
        pkcs11.PKCS11Error: The token does not answer.
    """
    kind = found[Attribute.KEY_TYPE]
    try:
        if kind is KeyType.RSA:
            exponent, modulus = (
                int.from_bytes(found[name], "big")
                for name in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS)
            )
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        if kind is KeyType.EC_EDWARDS:
            return ed25519.Ed25519PublicKey.from_public_bytes(_point(found[Attribute.EC_POINT]))
        if kind is KeyType.EC:
            name = asn1.read_document(found[Attribute.EC_PARAMS]).oid()
            curve = ec.get_curve_for_oid(ObjectIdentifier(name))()
            point = _point(found[Attribute.EC_POINT])
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except (ValueError, LookupError, CMSError):
        raise KeystoreError("the token holds a damaged public key", retryable=False) from None
    raise KeystoreError(f"the token holds a key of kind {kind}, which is not used", retryable=False)


def public_attributes(key: PublicKey) -> dict[Attribute, Any]:
    """What a public key object says beside name and duties."""
    attributes: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PUBLIC_KEY}
    match key:
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            attributes |= {
                Attribute.KEY_TYPE: KeyType.RSA,
                Attribute.MODULUS: _octets(numbers.n),
                Attribute.PUBLIC_EXPONENT: _octets(numbers.e),
            }
        case ec.EllipticCurvePublicKey():
            point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            attributes |= {
                Attribute.KEY_TYPE: KeyType.EC,
                Attribute.EC_PARAMS: curve_parameters(key.curve),
                Attribute.EC_POINT: der.octet_string(point),
            }
        case ed25519.Ed25519PublicKey():
            attributes |= {
                Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
                Attribute.EC_PARAMS: edwards_parameters(),
                Attribute.EC_POINT: der.octet_string(key.public_bytes_raw()),
            }
    return attributes


def private_attributes(key: PrivateKey) -> dict[Attribute, Any]:
    """What a private key object says beside name and duties; the key itself."""
    attributes: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            attributes |= {
                Attribute.KEY_TYPE: KeyType.RSA,
                Attribute.MODULUS: _octets(numbers.public_numbers.n),
                Attribute.PUBLIC_EXPONENT: _octets(numbers.public_numbers.e),
                Attribute.PRIVATE_EXPONENT: _octets(numbers.d),
                Attribute.PRIME_1: _octets(numbers.p),
                Attribute.PRIME_2: _octets(numbers.q),
                Attribute.EXPONENT_1: _octets(numbers.dmp1),
                Attribute.EXPONENT_2: _octets(numbers.dmq1),
                Attribute.COEFFICIENT: _octets(numbers.iqmp),
            }
        case ec.EllipticCurvePrivateKey():
            size = (key.curve.key_size + 7) // 8
            attributes |= {
                Attribute.KEY_TYPE: KeyType.EC,
                Attribute.EC_PARAMS: curve_parameters(key.curve),
                Attribute.VALUE: key.private_numbers().private_value.to_bytes(size, "big"),
            }
        case ed25519.Ed25519PrivateKey():
            attributes |= {
                Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
                Attribute.EC_PARAMS: edwards_parameters(),
                Attribute.VALUE: key.private_bytes_raw(),
            }
    return attributes


def _point(octets: bytes) -> bytes:
    """The point inside CKA_EC_POINT: an OCTET STRING, though some tokens leave that out."""
    try:
        element = asn1.read_document(octets)
    except CMSError:
        return octets
    return element.octets() if element.tag == asn1.OCTET_STRING else octets


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
