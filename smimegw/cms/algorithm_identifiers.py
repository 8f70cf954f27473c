"""Reads and writes the AlgorithmIdentifiers of digests, signatures and ciphers (RFC 5754)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.asn1 import Element, Reader
from smimegw.cms.content_ciphers import AnyCipher, cipher_of
from smimegw.errors import CMSError, UnsupportedAlgorithmError

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
MGF1 = "1.2.840.113549.1.1.8"
RSASSA_PSS = "1.2.840.113549.1.1.10"
_PKCS1V15_SIGNATURES = {
    "1.2.840.113549.1.1.5": DigestAlgorithm.SHA1,
    "1.2.840.113549.1.1.11": DigestAlgorithm.SHA256,
    "1.2.840.113549.1.1.12": DigestAlgorithm.SHA384,
    "1.2.840.113549.1.1.13": DigestAlgorithm.SHA512,
}
_ECDSA_SIGNATURES = {
    "1.2.840.10045.4.1": DigestAlgorithm.SHA1,
    "1.2.840.10045.4.3.2": DigestAlgorithm.SHA256,
    "1.2.840.10045.4.3.3": DigestAlgorithm.SHA384,
    "1.2.840.10045.4.3.4": DigestAlgorithm.SHA512,
}
_EDWARDS_SIGNATURES = {
    "1.3.101.112": SignatureScheme.ED25519,
    "1.3.101.113": SignatureScheme.ED448,
}
_SHAKE256 = "2.16.840.1.101.3.4.2.12"  # without a length: 512 bits (RFC 8702, 3.1)
_SHAKE256_BITS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmIdentifier:
    """An object identifier and its parameters, not interpreted."""

    oid: str
    parameters: Element | None

    @property
    def has_null_or_no_parameters(self) -> bool:
        """Parameters are absent or NULL, which mean the same for digests and RSA."""
        parameters = self.parameters
        return parameters is None or (parameters.tag == asn1.NULL and not parameters.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureAlgorithm:
    """A signature algorithm; *digest* is None when the identifier does not say (rsaEncryption)."""

    scheme: SignatureScheme
    digest: DigestAlgorithm | None
    salt_octets: int = 0


def read(element: Element) -> AlgorithmIdentifier:
    """Read an AlgorithmIdentifier.

    Raises:
        CMSError: Malformed.
    """
    reader = element.children()
    oid = reader.read(asn1.OBJECT_IDENTIFIER).oid()
    parameters = None if reader.at_end else reader.read()
    reader.finish()
    return AlgorithmIdentifier(oid=oid, parameters=parameters)


def write(oid: str, *parameters: bytes) -> bytes:
    """Write an AlgorithmIdentifier."""
    return der.sequence(der.oid(oid), *parameters)


def read_digest(element: Element) -> DigestAlgorithm:
    """Read a DigestAlgorithmIdentifier (RFC 5754, 2: parameters absent or NULL).

    Raises:
        UnsupportedAlgorithmError: Another digest, or SHAKE256 with another length than 512.
        CMSError: Malformed.
    """
    if usual := _DIGESTS.get(bytes(element.content[:_USUAL_OCTETS])):
        return usual
    identifier = read(element)
    if identifier.oid == DigestAlgorithm.SHAKE256.oid:
        length = identifier.parameters
        if length is None or length.tag != asn1.INTEGER or length.integer() != _SHAKE256_BITS:
            raise UnsupportedAlgorithmError("SHAKE256 without a length of 512 bits")
        return DigestAlgorithm.SHAKE256
    if not identifier.has_null_or_no_parameters:
        raise CMSError("digest algorithm with parameters")
    if identifier.oid == _SHAKE256:
        return DigestAlgorithm.SHAKE256
    return DigestAlgorithm.from_oid(identifier.oid)


def _usual(oid: str) -> tuple[bytes, bytes]:
    """What an AlgorithmIdentifier holds in nearly all mail: no parameters, or NULL."""
    return der.oid(oid), der.oid(oid) + der.NULL


_USUAL_OCTETS = 32  # more than any of them
_DIGESTS = {
    octets: digest
    for digest in DigestAlgorithm
    if digest is not DigestAlgorithm.SHAKE256
    for octets in _usual(digest.oid)
}
_SIGNATURES = {
    octets: SignatureAlgorithm(scheme=scheme, digest=digest)
    for oid, scheme, digest in (
        (RSA_ENCRYPTION, SignatureScheme.RSA_PKCS1V15, None),
        *((o, SignatureScheme.RSA_PKCS1V15, d) for o, d in _PKCS1V15_SIGNATURES.items()),
        *((o, SignatureScheme.ECDSA, d) for o, d in _ECDSA_SIGNATURES.items()),
    )
    for octets in _usual(oid)
}


@cache
def write_digest(digest: DigestAlgorithm) -> bytes:
    """Write a DigestAlgorithmIdentifier, parameters absent (RFC 5754, 2; RFC 8419, 3.1)."""
    if digest is DigestAlgorithm.SHAKE256:
        return write(digest.oid, der.integer(_SHAKE256_BITS))
    return write(digest.oid)


def read_signature(element: Element) -> SignatureAlgorithm:
    """Read a SignatureAlgorithmIdentifier (RFC 5754, 3; RFC 4056, 3; RFC 8419, 2.2).

    Raises:
        CMSError: Malformed, or parameters where there must be none.
        UnsupportedAlgorithmError: Another algorithm, or PSS with contradictory parameters.
    """
    if usual := _SIGNATURES.get(bytes(element.content[:_USUAL_OCTETS])):
        return usual
    identifier = read(element)
    if identifier.oid == RSASSA_PSS:
        return _read_pss(identifier)
    if scheme := _EDWARDS_SIGNATURES.get(identifier.oid):
        if identifier.parameters is not None:
            raise CMSError("EdDSA with parameters")
        return SignatureAlgorithm(scheme=scheme, digest=None)
    if not identifier.has_null_or_no_parameters:
        raise CMSError("signature algorithm with unexpected parameters")
    if known := _SIGNATURES.get(der.oid(identifier.oid)):
        return known
    raise UnsupportedAlgorithmError(f"signature algorithm {identifier.oid} is not supported")


@cache
def write_signature(scheme: SignatureScheme, digest: DigestAlgorithm) -> bytes:
    """Write a SignatureAlgorithmIdentifier; the PSS salt is as long as the digest."""
    if scheme is SignatureScheme.RSA_PKCS1V15:
        return write(RSA_ENCRYPTION, der.NULL)  # what every reader knows (RFC 5754, 3.2)
    if scheme is SignatureScheme.ECDSA:
        return write(next(oid for oid, known in _ECDSA_SIGNATURES.items() if known is digest))
    if scheme.is_pure:
        return write(next(oid for oid, known in _EDWARDS_SIGNATURES.items() if known is scheme))
    hash_identifier = write(digest.oid, der.NULL)  # RFC 4055, 2.1: NULL must be present
    salt = der.explicit(2, der.integer(digest.primitive().digest_size))
    return write(
        RSASSA_PSS,
        der.sequence(
            der.explicit(0, hash_identifier), der.explicit(1, write(MGF1, hash_identifier)), salt
        ),
    )


def _read_pss(identifier: AlgorithmIdentifier) -> SignatureAlgorithm:
    if identifier.parameters is None or identifier.parameters.tag != asn1.SEQUENCE:
        raise CMSError("RSASSA-PSS without parameters")
    reader = identifier.parameters.children()
    digest, mgf_digest = read_hash_and_mask(reader)
    salt = reader.optional(0xA2)
    salt_octets = 20 if salt is None else salt.elements(asn1.INTEGER)[0].integer()
    trailer = reader.optional(0xA3)
    reader.finish()
    if trailer is not None and trailer.elements(asn1.INTEGER)[0].integer() != 1:
        raise UnsupportedAlgorithmError("RSASSA-PSS with an unknown trailer")
    if digest is not mgf_digest:
        raise UnsupportedAlgorithmError("RSASSA-PSS with two different hashes")
    if not 0 <= salt_octets <= 1024:
        raise UnsupportedAlgorithmError("RSASSA-PSS with an absurd salt length")
    return SignatureAlgorithm(
        scheme=SignatureScheme.RSA_PSS, digest=digest, salt_octets=salt_octets
    )


def read_cipher(element: Element) -> tuple[AnyCipher, Element]:
    """Read a content-encryption algorithm; its parameters follow in the second value."""
    identifier = read(element)
    cipher = cipher_of(identifier.oid)
    if identifier.parameters is None:
        raise CMSError("content-encryption algorithm without parameters")
    return cipher, identifier.parameters


def read_hash_and_mask(reader: Reader) -> tuple[DigestAlgorithm, DigestAlgorithm]:
    """Read the members that RSASSA-PSS and RSAES-OAEP share: the digest, and that of MGF1.

    Raises:
        UnsupportedAlgorithmError: Another mask generation function, or SHAKE256.
        CMSError: Malformed.
    """
    hash_element, mask_element = reader.optional(0xA0), reader.optional(0xA1)
    digest = mgf_digest = DigestAlgorithm.SHA1  # the DEFAULTs of RFC 4055, 2.2
    if hash_element is not None:
        digest = read_digest(hash_element.elements(asn1.SEQUENCE)[0])
    if mask_element is not None:
        mask = read(mask_element.elements(asn1.SEQUENCE)[0])
        if mask.oid != MGF1 or mask.parameters is None:
            raise UnsupportedAlgorithmError("mask generation function is not MGF1")
        mgf_digest = read_digest(mask.parameters)
    if DigestAlgorithm.SHAKE256 in (digest, mgf_digest):
        raise UnsupportedAlgorithmError("RSA with SHAKE256 is not supported")
    return digest, mgf_digest
