"""AuthEnvelopedData: content under a cipher that notices every change (RFC 5083, RFC 5084)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.asn1 import Element
from smimegw.cms.content_info import (
    AUTH_ENVELOPED_DATA,
    DATA,
    content_info_header,
    expect_sequence,
)
from smimegw.cms.enveloped_data import (
    Enveloped,
    encrypted_content_info_header,
    exactly,
    read_encrypted_content_info,
    read_recipients,
)
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import CMSError, DecryptionError, UnsupportedAlgorithmError
from smimegw.limits import Limits

_NONCE_OCTETS = 12
_NONCE_OCTETS_MOST = 64
_TAG_OCTETS = 16
_TAG_OCTETS_LEAST = 12  # RFC 5084, 3.2: AES-GCM-ICVlen is 12 to 16


def read_auth_enveloped_data(content: Element, limits: Limits) -> Enveloped:
    """Read an AuthEnvelopedData.

    Raises:
        CMSError: Malformed, or without content.
        UnsupportedAlgorithmError: Neither AES-GCM nor ChaCha20-Poly1305.
        LimitError: Too deep or too many elements.
    """
    fields = expect_sequence(content)
    recipient_infos, more = read_recipients(fields, limits)
    inner = read_encrypted_content_info(fields)
    attributes = fields.optional(0xA1)
    tag = fields.read(asn1.OCTET_STRING).octets()
    fields.optional(0xA2)  # unauthAttrs
    fields.finish()
    if not inner.cipher.authenticated:
        raise UnsupportedAlgorithmError("AuthEnvelopedData with a cipher of EnvelopedData")
    if attributes is None and inner.content_type != DATA:
        raise CMSError("AuthEnvelopedData without authAttrs (RFC 5083, 2.1)")
    if inner.cipher is ContentCipher.CHACHA20_POLY1305:
        nonce = _read_chacha20_parameters(inner.parameters, len(tag))
    else:
        nonce = _read_gcm_parameters(inner.parameters, len(tag))
    return Enveloped(
        cipher=inner.cipher,
        content_type=inner.content_type,
        recipient_infos=recipient_infos,
        more_recipients=more,
        nonce=nonce,
        encrypted_content=inner.encrypted,
        # RFC 5083, 2.2: the attributes with the tag of a SET OF
        additional_data=(
            b"" if attributes is None else der.value(asn1.SET, attributes.view.whole())
        ),
        tag=tag,
    )


def decrypt_content(enveloped: Enveloped, content_key: bytes, store: Store = MEMORY) -> Content:
    """Undo the cipher; nothing comes out unless the tag is right.

    With ChaCha20-Poly1305 the whole content is collected first.

    Raises:
        DecryptionError: For every reason alike.
    """
    if enveloped.cipher is ContentCipher.CHACHA20_POLY1305:
        try:
            # the library has it in one piece only
            whole = b"".join((*enveloped.encrypted_content, enveloped.tag))
            opened = ChaCha20Poly1305(content_key).decrypt(
                enveloped.nonce, whole, enveloped.additional_data
            )
        except (InvalidTag, ValueError):
            raise DecryptionError from None
        return store.store((opened,))
    return store.store(_decrypted(enveloped, content_key))


def _decrypted(enveloped: Enveloped, content_key: bytes) -> Iterator[bytes]:
    mode = modes.GCM(enveloped.nonce, enveloped.tag, min_tag_length=_TAG_OCTETS_LEAST)
    try:
        decryptor = Cipher(algorithms.AES(content_key), mode).decryptor()
        decryptor.authenticate_additional_data(enveloped.additional_data)
        for piece in enveloped.encrypted_content:
            yield decryptor.update(piece)
        decryptor.finalize()
    except (InvalidTag, ValueError):
        raise DecryptionError from None


def write_auth_enveloped_data(
    content: Iterable[bytes],
    length: int,
    recipient_infos: bytes,
    cipher: ContentCipher,
    content_key: bytes,
    rng: Callable[[int], bytes],
) -> Content:
    """Write a ContentInfo with AuthEnvelopedData; *content* is encrypted when it is read.

    With ChaCha20-Poly1305 the whole content is collected first.
    """
    nonce = rng(_NONCE_OCTETS)
    is_chacha20 = cipher is ContentCipher.CHACHA20_POLY1305
    parameters = der.octet_string(nonce)  # RFC 8103, 2
    if not is_chacha20:
        parameters = der.sequence(parameters, der.integer(_TAG_OCTETS))
    before = der.integer(0) + recipient_infos
    inner = encrypted_content_info_header(cipher, parameters, length)
    tag_header = der.header(asn1.OCTET_STRING, _TAG_OCTETS)
    octets = len(before) + len(inner) + length + len(tag_header) + _TAG_OCTETS
    header = der.header(asn1.SEQUENCE, octets)
    head = content_info_header(AUTH_ENVELOPED_DATA, len(header) + octets) + header + before + inner

    def encrypted() -> Iterator[bytes]:
        if is_chacha20:
            # the library has it in one piece only
            whole = b"".join(exactly(content, length))
            octets_and_tag = ChaCha20Poly1305(content_key).encrypt(nonce, whole, None)
            yield octets_and_tag[:length]
            yield tag_header + octets_and_tag[length:]
            return
        encryptor = Cipher(algorithms.AES(content_key), modes.GCM(nonce)).encryptor()
        for piece in exactly(content, length):
            yield encryptor.update(piece)
        yield encryptor.finalize() + tag_header + encryptor.tag

    return Content.joined((head, Content.made(length + len(tag_header) + _TAG_OCTETS, encrypted)))


def _read_chacha20_parameters(parameters: Element, tag_octets: int) -> bytes:
    # RFC 8103, 2: AEADChaCha20Poly1305Nonce ::= OCTET STRING (SIZE(12))
    if parameters.tag != asn1.OCTET_STRING or len(parameters.content) != _NONCE_OCTETS:
        raise CMSError("ChaCha20-Poly1305 without a nonce of 12 octets")
    if tag_octets != _TAG_OCTETS:
        raise CMSError("ChaCha20-Poly1305 with a tag that has not 16 octets")
    return parameters.octets()


def _read_gcm_parameters(parameters: Element, tag_octets: int) -> bytes:
    fields = parameters.children()
    nonce = fields.read(asn1.OCTET_STRING).octets()
    announced = fields.optional(asn1.INTEGER)
    fields.finish()
    if not 8 <= len(nonce) <= _NONCE_OCTETS_MOST:
        raise CMSError("AES-GCM nonce is too short or too long")
    # RFC 5084, 3.2: DEFAULT 12; the tag must be as long as announced
    if tag_octets != (_TAG_OCTETS_LEAST if announced is None else announced.integer()):
        raise CMSError("AES-GCM tag is not as long as announced")
    if not _TAG_OCTETS_LEAST <= tag_octets <= _TAG_OCTETS:
        raise CMSError("AES-GCM tag is too short or too long")
    return nonce
