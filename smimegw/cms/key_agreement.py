"""KeyAgreeRecipientInfo: ECDH, a derivation, and a key wrap (RFC 5753, RFC 8418)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from smimegw.cms import algorithm_identifiers, asn1, der, key_encryption_algorithms
from smimegw.cms.algorithms import (
    DigestAlgorithm,
    KeyEncryption,
    KeyWrap,
    public_key_of,
)
from smimegw.cms.asn1 import Element
from smimegw.cms.identifiers import (
    CertificateIdentifier,
    issuer_and_serial_number,
    read_issuer_and_serial_number,
)
from smimegw.cms.key_encryption_algorithms import KeyAgreement
from smimegw.cms.keys import AgreementKey, DecryptionCredential
from smimegw.cms.originator_key import agree, read_originator_key
from smimegw.cms.triple_des_wrap import triple_des_unwrap
from smimegw.errors import (
    CertificateError,
    CMSError,
    DecryptionError,
    UnsupportedAlgorithmError,
)
from smimegw.x509.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAgreeRecipientInfo:
    """A content key under an agreed key, for one recipient (RFC 5652, 6.2.2)."""

    identifier: CertificateIdentifier
    originator: Element = field(repr=False)
    user_keying_material: bytes | None = field(repr=False)
    algorithm: Element = field(repr=False)
    encrypted_key: bytes = field(repr=False)

    @property
    def is_weak(self) -> bool:
        """The wrap is one of old mail."""
        try:
            return key_encryption_algorithms.read_key_agreement(self.algorithm).wrap.is_weak
        except (CMSError, UnsupportedAlgorithmError):
            return False

    def content_key(self, credential: DecryptionCredential, key_octets: int) -> bytes:
        """Recover a content key of *key_octets*.

        Raises:
            DecryptionError: For every reason alike.
            KeystoreError: The key cannot be used now.
        """
        try:
            own = credential.certificate.public_key
            if not isinstance(own, AgreementKey):
                raise DecryptionError
            agreement = key_encryption_algorithms.read_key_agreement(self.algorithm)
            if agreement.cofactor and not isinstance(own, ec.EllipticCurvePublicKey):
                raise DecryptionError  # RFC 8418, 3: there is no such form
            peer = read_originator_key(self.originator, own)
        except (CMSError, CertificateError, ValueError, UnsupportedAlgorithm):
            raise DecryptionError from None
        secret = credential.key.exchange(peer)
        wrapping_key = _key_encryption_key(secret, agreement, self.user_keying_material)
        try:
            unwrap = triple_des_unwrap if agreement.wrap.is_weak else aes_key_unwrap
            content_key = unwrap(wrapping_key, self.encrypted_key)
        except (InvalidUnwrap, ValueError):
            raise DecryptionError from None
        if len(content_key) != key_octets:
            raise DecryptionError
        return content_key


def read_key_agree(element: Element, most: int) -> tuple[list[KeyAgreeRecipientInfo], bool]:
    """Read one KeyAgreeRecipientInfo, one value for each of at most *most* encrypted keys.

    The second value says whether there were more.

    Raises:
        CMSError: Malformed.
    """
    fields = element.children()
    fields.read(asn1.INTEGER).integer()
    originator = _sole(fields.read(0xA0))
    material = fields.optional(0xA1)
    algorithm = fields.read(asn1.SEQUENCE)
    encrypted_keys = fields.read(asn1.SEQUENCE).children()
    fields.finish()
    user_keying_material = None
    if material is not None:
        user_keying_material = _sole(material).octets()
    found: list[KeyAgreeRecipientInfo] = []
    while not encrypted_keys.at_end:
        if len(found) == most:
            return found, True
        pair = encrypted_keys.read(asn1.SEQUENCE).children()
        identifier = _read_identifier(pair.read())
        encrypted_key = pair.read(asn1.OCTET_STRING, asn1.OCTET_STRING | asn1.CONSTRUCTED)
        pair.finish()
        found.append(
            KeyAgreeRecipientInfo(
                identifier=identifier,
                originator=originator,
                user_keying_material=user_keying_material,
                algorithm=algorithm,
                encrypted_key=encrypted_key.octets(),
            )
        )
    return found, False


def write_key_agree(
    certificate: Certificate, key_encryption: KeyEncryption, content_key: bytes
) -> bytes:
    """Wrap *content_key* for *certificate* with a new ephemeral key.

    Raises:
        UnsupportedAlgorithmError: The certificate's key is none to agree with.
    """
    key = public_key_of(certificate)
    if not isinstance(key, AgreementKey):
        raise UnsupportedAlgorithmError(
            f"{key_encryption.label} needs a key for agreement, the certificate's is another"
        )
    octets = len(content_key)
    wrap = next(wrap for wrap in KeyWrap if wrap.key_octets == octets and not wrap.is_weak)
    agreement = KeyAgreement(
        key_encryption=key_encryption,
        wrap=wrap,
        wrap_identifier=algorithm_identifiers.write(wrap.oid),  # parameters absent (RFC 3565)
    )
    originator_key, secret = agree(key)
    encrypted_key = aes_key_wrap(_key_encryption_key(secret, agreement, None), content_key)
    return der.explicit(
        1,
        der.integer(3),
        der.explicit(0, originator_key),
        key_encryption_algorithms.write_key_agreement(agreement),
        der.sequence(
            der.sequence(issuer_and_serial_number(certificate), der.octet_string(encrypted_key))
        ),
    )


def _sole(explicit: Element) -> Element:
    reader = explicit.children()
    element = reader.read()
    reader.finish()
    return element


def _read_identifier(element: Element) -> CertificateIdentifier:
    if element.tag == asn1.SEQUENCE:
        return read_issuer_and_serial_number(element)
    if element.tag != 0xA0:  # [0] IMPLICIT RecipientKeyIdentifier
        raise CMSError("a recipient is named in an unknown way")
    return CertificateIdentifier(key_identifier=element.children().read(asn1.OCTET_STRING).octets())


def _key_encryption_key(
    secret: bytes, agreement: KeyAgreement, user_keying_material: bytes | None
) -> bytes:
    octets = agreement.wrap.key_octets
    digest = agreement.key_encryption.digest or DigestAlgorithm.SHA256
    material = b""
    if user_keying_material is not None:
        material = der.explicit(0, der.octet_string(user_keying_material))
    key_bits = (8 * octets).to_bytes(4, "big")
    shared_info = der.sequence(  # ECC-CMS-SharedInfo (RFC 5753, 7.2)
        agreement.wrap_identifier, material, der.explicit(2, der.octet_string(key_bits))
    )
    if agreement.key_encryption.is_hkdf:
        # RFC 8418, 2.2: the keying material is the salt, too
        hkdf = HKDF(digest.primitive(), octets, user_keying_material or None, shared_info)
        return hkdf.derive(secret)
    x963 = X963KDF(algorithm=digest.primitive(), length=octets, sharedinfo=shared_info)
    return x963.derive(secret)
