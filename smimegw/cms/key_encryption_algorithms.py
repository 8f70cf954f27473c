"""Reads and writes the algorithms that carry a content key to its recipient.

RSAES-OAEP and PKCS #1 v1.5 (RFC 3560, RFC 4055), ECDH (RFC 5753, RFC 8418).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from smimegw.cms import asn1, der
from smimegw.cms.algorithm_identifiers import MGF1, RSA_ENCRYPTION, read, read_hash_and_mask, write
from smimegw.cms.algorithms import DigestAlgorithm, KeyEncryption, KeyWrap
from smimegw.cms.asn1 import Element
from smimegw.errors import UnsupportedAlgorithmError

RSAES_OAEP = "1.2.840.113549.1.1.7"
P_SPECIFIED = "1.2.840.113549.1.1.9"
_STANDARD_DH = {  # dhSinglePass-stdDH (RFC 5753, 7.1.4)
    "1.3.133.16.840.63.0.2": KeyEncryption.ECDH_SHA1KDF,
    "1.3.132.1.11.1": KeyEncryption.ECDH_SHA256KDF,
    "1.3.132.1.11.2": KeyEncryption.ECDH_SHA384KDF,
    "1.3.132.1.11.3": KeyEncryption.ECDH_SHA512KDF,
    # dhSinglePass-stdDH-hkdf (RFC 8418, 2.2)
    "1.2.840.113549.1.9.16.3.19": KeyEncryption.ECDH_HKDF_SHA256,
    "1.2.840.113549.1.9.16.3.20": KeyEncryption.ECDH_HKDF_SHA384,
    "1.2.840.113549.1.9.16.3.21": KeyEncryption.ECDH_HKDF_SHA512,
}
_COFACTOR_DH = {  # dhSinglePass-cofactorDH; the same secret on curves of cofactor 1
    "1.3.133.16.840.63.0.3": KeyEncryption.ECDH_SHA1KDF,
    "1.3.132.1.14.1": KeyEncryption.ECDH_SHA256KDF,
    "1.3.132.1.14.2": KeyEncryption.ECDH_SHA384KDF,
    "1.3.132.1.14.3": KeyEncryption.ECDH_SHA512KDF,
}
_OAEP_BY_DIGEST = {
    DigestAlgorithm.SHA1: KeyEncryption.RSA_OAEP_SHA1,
    DigestAlgorithm.SHA256: KeyEncryption.RSA_OAEP_SHA256,
    DigestAlgorithm.SHA384: KeyEncryption.RSA_OAEP_SHA384,
    DigestAlgorithm.SHA512: KeyEncryption.RSA_OAEP_SHA512,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAEPParameters:
    """RSAES-OAEP-params (RFC 4055, 4.1); the label is always empty."""

    digest: DigestAlgorithm
    mgf_digest: DigestAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransport:
    """How RSA carries a content key: OAEP with these parameters, or PKCS#1 v1.5 when None."""

    oaep: OAEPParameters | None = None

    @property
    def key_encryption(self) -> KeyEncryption:
        """The name for records."""
        return _OAEP_BY_DIGEST[self.oaep.digest] if self.oaep else KeyEncryption.RSA_PKCS1V15


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAgreement:
    """How ECDH wraps a content key; *wrap_identifier* is the DER that enters the derivation.

    *cofactor* marks the cofactor form, which X25519 and X448 do not have (RFC 8418, 3).
    """

    key_encryption: KeyEncryption
    wrap: KeyWrap
    wrap_identifier: bytes
    cofactor: bool = False


def read_key_transport(element: Element) -> KeyTransport:
    """Read the key-encryption algorithm of a KeyTransRecipientInfo (RFC 4055, 4; RFC 3560).

    Raises:
        UnsupportedAlgorithmError: Neither PKCS#1 v1.5 nor OAEP, or OAEP with a label.
    """
    identifier = read(element)
    if identifier.oid == RSA_ENCRYPTION and identifier.has_null_or_no_parameters:
        return KeyTransport()
    if identifier.oid != RSAES_OAEP:
        raise UnsupportedAlgorithmError(f"key transport {identifier.oid} is not supported")
    if identifier.parameters is None:
        return KeyTransport(
            oaep=OAEPParameters(digest=DigestAlgorithm.SHA1, mgf_digest=DigestAlgorithm.SHA1)
        )
    reader = identifier.parameters.children()
    digest, mgf_digest = read_hash_and_mask(reader)
    source = reader.optional(0xA2)
    reader.finish()
    if source is not None:
        source_identifier = read(source.elements(asn1.SEQUENCE)[0])
        if source_identifier.oid != P_SPECIFIED or source_identifier.parameters is None:
            raise UnsupportedAlgorithmError("RSAES-OAEP with an unknown label source")
        if source_identifier.parameters.octets():
            raise UnsupportedAlgorithmError("RSAES-OAEP with a label")  # nobody uses them
    return KeyTransport(oaep=OAEPParameters(digest=digest, mgf_digest=mgf_digest))


@cache
def write_key_transport(key_encryption: KeyEncryption) -> bytes:
    """Write the key-encryption algorithm of a KeyTransRecipientInfo."""
    digest = key_encryption.digest
    if digest is None:
        return write(RSA_ENCRYPTION, der.NULL)
    hash_identifier = write(digest.oid, der.NULL)
    return write(
        RSAES_OAEP,
        der.sequence(
            der.explicit(0, hash_identifier), der.explicit(1, write(MGF1, hash_identifier))
        ),
    )


def read_key_agreement(element: Element) -> KeyAgreement:
    """Read the key-encryption algorithm of a KeyAgreeRecipientInfo (RFC 5753, 7.1.4; RFC 8418).

    Raises:
        UnsupportedAlgorithmError: Not ECDH with one ephemeral key and a key wrap we know.
    """
    identifier = read(element)
    cofactor = identifier.oid in _COFACTOR_DH
    key_encryption = (_COFACTOR_DH if cofactor else _STANDARD_DH).get(identifier.oid)
    if key_encryption is None or identifier.parameters is None:
        raise UnsupportedAlgorithmError(f"key agreement {identifier.oid} is not supported")
    wrap_oid = read(identifier.parameters).oid
    for wrap in KeyWrap:
        if wrap.oid == wrap_oid:
            return KeyAgreement(
                key_encryption=key_encryption,
                wrap=wrap,
                wrap_identifier=identifier.parameters.encoded,
                cofactor=cofactor,
            )
    raise UnsupportedAlgorithmError(f"key wrap {wrap_oid} is not supported")


def write_key_agreement(agreement: KeyAgreement) -> bytes:
    """Write the key-encryption algorithm of a KeyAgreeRecipientInfo."""
    oid = next(oid for oid, known in _STANDARD_DH.items() if known is agreement.key_encryption)
    return write(oid, agreement.wrap_identifier)
