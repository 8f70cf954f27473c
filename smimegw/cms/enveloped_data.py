"""EnvelopedData: content under a CBC cipher, nothing notices changes (RFC 5652, 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.asn1 import Element, Reader
from smimegw.cms.content_ciphers import AnyCipher, LegacyCipher, undo_cbc
from smimegw.cms.content_info import DATA, ENVELOPED_DATA, content_info_header, expect_sequence
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.recipient_info import (
    Recipient,
    RecipientInfo,
    needs_version_2,
    read_recipient_infos,
)
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import CMSError, UnsupportedAlgorithmError
from smimegw.limits import Limits

RecipientIdentifier = CertificateIdentifier
_DATA = der.oid(DATA)
_BLOCK_OCTETS = 16
_PADDING = tuple(bytes((pad,)) * pad for pad in range(_BLOCK_OCTETS + 1))
_RC2_128_BITS = 58  # rc2ParameterVersion (RFC 2268, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enveloped:
    """An EnvelopedData or AuthEnvelopedData, read but not opened.

    Attributes:
        cipher: How the content is encrypted.
        content_type: OID of the content's type, usually id-data.
        recipient_infos: At most limits.recipient_infos of them, in order.
        more_recipients: There were more RecipientInfos than that.
        nonce: Initialisation vector or GCM nonce.
        encrypted_content: The ciphertext; a view into what was parsed.
        additional_data: What is authenticated besides (DER of authAttrs).
        tag: The GCM tag; empty for EnvelopedData.
    """

    cipher: AnyCipher
    content_type: str
    recipient_infos: tuple[RecipientInfo, ...] = field(repr=False)
    more_recipients: bool
    nonce: bytes = field(repr=False)
    encrypted_content: Content = field(repr=False)
    additional_data: bytes = field(default=b"", repr=False)
    tag: bytes = field(default=b"", repr=False)

    @property
    def authenticated(self) -> bool:
        """Changes to the content are noticed when it is opened."""
        return self.cipher.authenticated

    @property
    def recipient_ids(self) -> tuple[RecipientIdentifier, ...]:
        """Whose certificates are named; what to ask the keystore for."""
        return tuple(info.identifier for info in self.recipient_infos)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedContentInfo:
    """The inner structure that both kinds share (RFC 5652, 6.1)."""

    content_type: str
    cipher: AnyCipher
    parameters: Element
    encrypted: Content


def read_enveloped_data(content: Element, limits: Limits) -> Enveloped:
    """Read an EnvelopedData.

    Raises:
        CMSError: Malformed, or without content.
        UnsupportedAlgorithmError: Not a CBC cipher that we know.
        LimitError: Too deep or too many elements.
    """
    fields = expect_sequence(content)
    recipient_infos, more = read_recipients(fields, limits)
    inner = read_encrypted_content_info(fields)
    fields.optional(0xA1)  # unprotectedAttrs
    fields.finish()
    if inner.cipher.authenticated:
        raise UnsupportedAlgorithmError("EnvelopedData with a cipher of AuthEnvelopedData")
    nonce = _read_nonce(inner.cipher, inner.parameters)
    return Enveloped(
        cipher=inner.cipher,
        content_type=inner.content_type,
        recipient_infos=recipient_infos,
        more_recipients=more,
        nonce=nonce,
        encrypted_content=inner.encrypted,
    )


def _read_nonce(cipher: AnyCipher, parameters: Element) -> bytes:
    if cipher is LegacyCipher.RC2_128_CBC:
        version, parameters = parameters.elements(asn1.INTEGER, asn1.OCTET_STRING)
        if version.integer() != _RC2_128_BITS:
            raise UnsupportedAlgorithmError("RC2 with another effective key length than 128 bits")
    if parameters.tag != asn1.OCTET_STRING:
        raise CMSError("CBC without an initialisation vector")
    nonce = parameters.octets()
    if len(nonce) != cipher.block_octets:
        raise CMSError("CBC with an initialisation vector that is no block")
    return nonce


def read_recipients(fields: Reader, limits: Limits) -> tuple[tuple[RecipientInfo, ...], bool]:
    """Read version, originatorInfo and recipientInfos."""
    fields.read(asn1.INTEGER).integer()
    fields.optional(0xA0)  # originatorInfo: certificates for static key agreement
    return read_recipient_infos(fields.read(asn1.SET), limits)


def read_encrypted_content_info(fields: Reader) -> EncryptedContentInfo:
    """Read the EncryptedContentInfo; the ciphertext stays where it is."""
    inner = fields.read(asn1.SEQUENCE).children()
    content_type = inner.read(asn1.OBJECT_IDENTIFIER).oid()
    cipher, parameters = algorithm_identifiers.read_cipher(inner.read(asn1.SEQUENCE))
    encrypted = inner.optional(0x80, 0xA0)
    inner.finish()
    if encrypted is None:
        raise CMSError("the encrypted content is not there")
    return EncryptedContentInfo(
        content_type=content_type,
        cipher=cipher,
        parameters=parameters,
        encrypted=encrypted.octet_string(),
    )


def decrypt_content(enveloped: Enveloped, content_key: bytes, store: Store = MEMORY) -> Content:
    """Undo the cipher and its padding.

    Raises:
        DecryptionError: For every reason alike.
    """
    encrypted = enveloped.encrypted_content
    return undo_cbc(enveloped.cipher, content_key, enveloped.nonce, encrypted, store)


def write_enveloped_data(
    content: Iterable[bytes],
    length: int,
    recipients: Sequence[Recipient],
    recipient_infos: bytes,
    cipher: ContentCipher,
    content_key: bytes,
    rng: Callable[[int], bytes],
) -> Content:
    """Write a ContentInfo with EnvelopedData; *content* is encrypted when it is read."""
    nonce = rng(_BLOCK_OCTETS)
    pad = _BLOCK_OCTETS - length % _BLOCK_OCTETS  # RFC 5652, 6.3
    before = der.integer(2 if needs_version_2(recipients) else 0) + recipient_infos
    inner = encrypted_content_info_header(cipher, der.octet_string(nonce), length + pad)
    octets = len(before) + len(inner) + length + pad
    header = der.header(asn1.SEQUENCE, octets)
    head = content_info_header(ENVELOPED_DATA, len(header) + octets) + header + before + inner

    def encrypted() -> Iterator[bytes]:
        encryptor = Cipher(algorithms.AES(content_key), modes.CBC(nonce)).encryptor()
        for piece in exactly(content, length):
            yield encryptor.update(piece)
        yield encryptor.update(_PADDING[pad]) + encryptor.finalize()

    return Content.joined((head, Content.made(length + pad, encrypted)))


def encrypted_content_info_header(cipher: ContentCipher, parameters: bytes, octets: int) -> bytes:
    """Write an EncryptedContentInfo up to where *octets* octets of ciphertext begin."""
    before = _DATA + algorithm_identifiers.write(cipher.oid, parameters)
    encrypted = der.header(asn1.CONTEXT | 0, octets)
    return der.header(asn1.SEQUENCE, len(before) + len(encrypted) + octets) + before + encrypted


def exactly(content: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Pass *content* on and make sure that it has *length* octets.

    Raises:
        ValueError: It has more or less; the lengths already written would be wrong.
    """
    left = length
    for piece in content:
        left -= len(piece)
        if left < 0:
            raise ValueError("content is longer than was said")
        yield piece
    if left:
        raise ValueError("content is shorter than was said")
