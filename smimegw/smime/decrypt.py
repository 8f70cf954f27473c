"""Opens an encrypted layer; what comes out is not verified."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from smimegw.cms.content_ciphers import AnyCipher
from smimegw.cms.envelope import decrypt as decrypt_enveloped
from smimegw.cms.keys import DecryptionCredential
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import DecryptionError, MessageError, UnsupportedAlgorithmError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.entity import Entity
from smimegw.mime.sendable import sendable
from smimegw.smime.media_types import MIME_TYPES, EncryptedLayer, layer_of

# What a CBC block that somebody shifted or cut decrypts to is noise, and noise soon holds one of
# these; text does not (tab, form feed, and the shifts of ISO 2022 are left out).
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r\x0e\x0f\x1b"))  # no text has them
_HEADER_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedContent:
    """What was inside an encrypted layer.  Decryption proves nothing about who wrote it.

    Attributes:
        entity: Header section and body, CRLF line ends.
        cipher: How it was encrypted; ``is_weak`` for what only old mail has.
        authenticated: The cipher noticed that nothing was changed since encryption.
        key_fingerprint: Of the certificate whose key opened it.
    """

    entity: Entity = field(repr=False)
    cipher: AnyCipher
    authenticated: bool
    key_fingerprint: str


def decrypt(
    layer: EncryptedLayer,
    credentials: Sequence[DecryptionCredential],
    limits: Limits = DEFAULT_LIMITS,
    *,
    allow_legacy: bool = False,
    store: Store = MEMORY,
) -> OpenedContent:
    """Open *layer* with one of *credentials*; old ciphers only where *allow_legacy* says so.

    What comes out is in *store*, and nobody's before all of it was judged.

    Raises:
        NoMatchingKeyError: The layer names none of their certificates.
        LimitError: The same, but it names more than limits.recipient_infos.
        UnsupportedAlgorithmError: An old cipher that is not allowed; no key was used.
        DecryptionError: Any other failure, also when what comes out is not a well-formed entity
            (cases J05); never with a reason.
        KeystoreError: The key cannot be used now.
    """
    enveloped = layer.enveloped
    recipient_ids = layer.recipient_ids
    named = [
        credential
        for credential in credentials
        if any(identifier.matches(credential.certificate) for identifier in recipient_ids)
    ]
    if not named:
        decrypt_enveloped(enveloped, ())  # says which of the two errors it is
    if enveloped.cipher.is_weak and not allow_legacy:
        raise UnsupportedAlgorithmError(f"{enveloped.cipher.label} is too weak to be read")
    for credential in named:
        entity = _opened(layer, credential, limits, store)
        if entity is not None:
            return OpenedContent(
                entity=entity,
                cipher=enveloped.cipher,
                authenticated=enveloped.authenticated,
                key_fingerprint=credential.certificate.fingerprint,
            )
    # Raised outside every handler, so that not even __context__ tells a reason.
    raise DecryptionError


def _opened(
    layer: EncryptedLayer, credential: DecryptionCredential, limits: Limits, store: Store
) -> Entity | None:
    try:
        plaintext = decrypt_enveloped(
            layer.enveloped,
            (credential,),
            allow_legacy=layer.enveloped.cipher.is_weak,
            store=store,
        )
        return _entity(plaintext, layer.enveloped.cipher, limits, store)
    except MessageError:
        return None


def _entity(plaintext: Content, cipher: AnyCipher, limits: Limits, store: Store) -> Entity | None:
    """The entity that *plaintext* is; None when it is not one that may be passed on."""
    inner = Entity.parse(plaintext, limits)
    is_cms = inner.content_type.media_type in MIME_TYPES  # refused when doubled or malformed
    _ = inner.transfer_encoding
    entity = sendable(inner, store)
    well_formed = (
        entity is not None
        and bool(entity.header.fields or entity.separator)
        and not any(entry.flaw for entry in entity.header)
        and _HEADER_CONTROL.search(entity.header.raw) is None
        and (cipher.authenticated or is_cms or not _has_control(inner.body))
    )
    if well_formed and is_cms and entity is not None:
        layer_of(entity, limits, store)  # noise in the place of a nested layer is a failure, too
    return entity if well_formed else None


def _has_control(body: Content) -> bool:
    # One search for each is several times faster than a pattern that looks for all.
    return any(any(map(piece.__contains__, _CONTROLS)) for piece in body.pieces())
