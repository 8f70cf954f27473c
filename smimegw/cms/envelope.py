"""Encrypts for certificates and opens what was encrypted, whichever of the two envelopes it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from smimegw.cms import auth_enveloped_data, enveloped_data
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.content_info import AUTH_ENVELOPED_DATA, ENVELOPED_DATA, read_content_info
from smimegw.cms.enveloped_data import Enveloped, RecipientIdentifier
from smimegw.cms.keys import DecryptionCredential
from smimegw.cms.recipient_info import Recipient, RecipientInfo, write_recipient_infos
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    NoMatchingKeyError,
    UnsupportedAlgorithmError,
)
from smimegw.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "Enveloped",
    "Recipient",
    "RecipientIdentifier",
    "decrypt",
    "encrypt",
    "parse_enveloped",
]


def encrypt(
    content: Iterable[bytes],
    length: int,
    recipients: Sequence[Recipient],
    cipher: ContentCipher,
    *,
    rng: Callable[[int], bytes] = os.urandom,
) -> Content:
    """Encrypt *content* for *recipients*; return a DER ContentInfo.

    Keys are wrapped at once, the content is read while the result is: memory does not grow.
    Whoever reads the result again gets the same octets, as long as *content* gives the same.

    Args:
        content: In pieces of any size; read again with the result.
        length: How many octets they are together.
        recipients: At least one; a certificate that comes twice is used once.
        cipher: AES-CBC makes EnvelopedData, AES-GCM and ChaCha20-Poly1305 AuthEnvelopedData; with
            the latter memory does grow.
        rng: Where content key and nonce come from.

    Raises:
        UnsupportedAlgorithmError: A certificate's key cannot be used as its recipient says.
        ValueError: No recipients; while reading: *length* was wrong.
    """
    content_key = rng(cipher.key_octets)
    infos = write_recipient_infos(recipients, content_key)
    if cipher.authenticated:
        return auth_enveloped_data.write_auth_enveloped_data(
            content, length, infos, cipher, content_key, rng
        )
    return enveloped_data.write_enveloped_data(
        content, length, recipients, infos, cipher, content_key, rng
    )


def parse_enveloped(octets: bytes | Content, limits: Limits = DEFAULT_LIMITS) -> Enveloped:
    """Read a ContentInfo with EnvelopedData or AuthEnvelopedData, DER or BER, in linear time.

    Raises:
        CMSError: Malformed, truncated, followed by other octets, or another content type.
        UnsupportedAlgorithmError: The content is encrypted in a way we do not know.
        LimitError: Too deep or too many elements.
    """
    oid, content = read_content_info(octets, limits)
    if oid == ENVELOPED_DATA:
        return enveloped_data.read_enveloped_data(content, limits)
    if oid == AUTH_ENVELOPED_DATA:
        return auth_enveloped_data.read_auth_enveloped_data(content, limits)
    raise CMSError("the CMS content is neither EnvelopedData nor AuthEnvelopedData")


def decrypt(
    enveloped: Enveloped,
    credentials: Sequence[DecryptionCredential],
    *,
    allow_legacy: bool = False,
    store: Store = MEMORY,
) -> Content:
    """Open *enveloped* with the first of *credentials* that can.

    A key is used only when a RecipientInfo names its certificate, and once only.  Content under
    AES-CBC is not authenticated: that it opens says nothing about who made it.

    Args:
        enveloped: What to open.
        credentials: Keys with their certificates.
        allow_legacy: Open content under a `LegacyCipher`, too (old mail).
        store: Keeps the content.

    Raises:
        NoMatchingKeyError: No RecipientInfo names one of the certificates.
        LimitError: The same, but there were more than limits.recipient_infos of them.
        UnsupportedAlgorithmError: The cipher is an old one and *allow_legacy* is false; no key
            was used.
        DecryptionError: Everything else, without any hint.
        KeystoreError: A key cannot be used now.
    """
    pairs = list(_pairs(enveloped, credentials))
    if not pairs and enveloped.more_recipients:
        raise LimitError("recipient_infos", "none of the first ones names an available key")
    if not pairs:
        raise NoMatchingKeyError("no RecipientInfo names a certificate whose key is available")
    if enveloped.cipher.is_weak and not allow_legacy:
        raise UnsupportedAlgorithmError(f"{enveloped.cipher.label} is too weak to be read")
    for info, credential in pairs:
        if info.is_weak and not enveloped.cipher.is_weak:
            continue  # a strong cipher's name must not stand for a weak wrap
        content = _opened(enveloped, info, credential, store)
        if content is not None:
            return content
    # raised here, outside every handler, so that not even __context__ tells a reason
    raise DecryptionError


def _opened(
    enveloped: Enveloped, info: RecipientInfo, credential: DecryptionCredential, store: Store
) -> Content | None:
    try:
        content_key = info.content_key(credential, enveloped.cipher.key_octets)
        if enveloped.authenticated:
            return auth_enveloped_data.decrypt_content(enveloped, content_key, store)
        return enveloped_data.decrypt_content(enveloped, content_key, store)
    except DecryptionError:
        return None


def _pairs(
    enveloped: Enveloped, credentials: Sequence[DecryptionCredential]
) -> Iterator[tuple[RecipientInfo, DecryptionCredential]]:
    # one RecipientInfo for each key, so that a message cannot make us use a key 2,000 times
    for credential in credentials:
        for info in enveloped.recipient_infos:
            if info.identifier.matches(credential.certificate):
                yield info, credential
                break
