"""Encrypts an entity for validated certificates; the result is proof that it is encrypted."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher, KeyEncryption, key_encryption_for
from smimegw.cms.content_ciphers import AnyCipher
from smimegw.cms.envelope import Recipient
from smimegw.cms.envelope import encrypt as write_enveloped
from smimegw.content import MEMORY, Content, Store
from smimegw.mime.build import pkcs7_mime
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.x509.path import Purpose, ValidatedCertificate

_TOKEN = object()


class Protected:
    """What may leave for recipients whose policy says *encrypt*; proof that it is encrypted.

    Made by `encrypt`, by `sign_outside` of another one, and by `already_protected` for what a
    client encrypted itself.

    Attributes:
        header: The Content-* fields; the outer fields of the message go above them.
        recipients: Who can open it.
        cipher_label: Such as ``aes-256-cbc``.
        key_labels: How the content key is encrypted, one per certificate, in the order given.
        body: Base64 in lines, or a signature around it.  It is encrypted when it is read, with the
            same key and nonce to the same octets every time.
    """

    __slots__ = ("body", "cipher_label", "header", "key_labels", "recipients")

    def __init__(
        self,
        token: object,
        octets: Content,
        recipients: tuple[Mailbox, ...],
        cipher: AnyCipher,
        key_encryptions: tuple[KeyEncryption, ...],
    ) -> None:
        if token is not _TOKEN:
            raise TypeError("Protected values are made by smimegw.smime.encrypt only")
        self.recipients = recipients
        self.cipher_label = cipher.label
        self.key_labels = tuple(item.label for item in key_encryptions)
        fields, self.body = pkcs7_mime(_smime_type(cipher), octets)
        self.header = HeaderSection(fields)

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces; may be called again."""
        return self.body.pieces()

    def __repr__(self) -> str:
        names = ", ".join(mailbox.address for mailbox in self.recipients)
        return f"Protected({self.cipher_label} for {names})"


def encrypt(
    entity: Entity,
    recipients: Sequence[ValidatedCertificate],
    *,
    cipher: ContentCipher = ContentCipher.AES_256_CBC,
    oaep: bool = False,
    key_encryptions: Sequence[KeyEncryption] | None = None,
    rng: Callable[[int], bytes] = os.urandom,
) -> Protected:
    """Encrypt *entity* so that exactly *recipients* can open it.

    Args:
        entity: Only the inner fields (Content-*) and the body, CRLF line ends; taken as it is.
        recipients: Validated for encryption; several certificates of one mailbox are allowed
            while its owner changes from one key to the next (R-09).
        cipher: A GCM cipher makes an AuthEnvelopedData.
        oaep: RSA recipients read OAEP.
        key_encryptions: One for each of *recipients*, instead of *oaep*.
        rng: Source of content key, nonce and ephemeral keys.

    Raises:
        TypeError: A recipient is not a `ValidatedCertificate`.
        ValueError: No recipient, one that was validated for another purpose or for no mailbox,
            or not one key encryption for each.
        UnsupportedAlgorithmError: A recipient's key is none we use.
    """
    if not recipients:
        raise ValueError("nobody to encrypt to")
    mailboxes: dict[Mailbox, None] = {}
    chosen: list[Recipient] = []
    for recipient in recipients:
        mailboxes[_mailbox(recipient)] = None
    if key_encryptions is None:
        key_encryptions = [key_encryption_for(entry.certificate, oaep) for entry in recipients]
    for recipient, key_encryption in zip(recipients, key_encryptions, strict=True):
        chosen.append(Recipient(recipient.certificate, key_encryption))
    plaintext = entity.content
    return Protected(
        _TOKEN,
        write_enveloped(plaintext, len(plaintext), chosen, cipher, rng=rng),
        tuple(mailboxes),
        cipher,
        tuple(item.key_encryption for item in chosen),
    )


def sign_outside(
    protected: Protected, sign: Callable[[Entity], Entity], store: Store = MEMORY
) -> Protected:
    """Put a signature around what is encrypted: the outermost of three layers (RFC 2634, 1.1).

    Args:
        protected: What is encrypted.
        sign: Such as `smime.sign.sign_clear` with its arguments.
        store: Keeps what is signed, which is read several times.

    Raises:
        ValueError: What came back does not hold what is encrypted.
    """
    entity = Entity(protected.header, store.store(protected.pieces()))
    signed = sign(entity)
    layer = layer_of(signed, store=store)
    if not isinstance(layer, SignedLayer) or layer.content != entity.content:
        raise ValueError("the outer signature is not around what was encrypted")
    wrapped = copy.copy(protected)
    wrapped.body = signed.body
    wrapped.header = signed.header
    return wrapped


def already_protected(
    layer: EncryptedLayer, recipients: Sequence[ValidatedCertificate]
) -> Protected | None:
    """Return the proof that the client itself encrypted for every mailbox of *recipients* (R-26).

    None when some mailbox has no certificate that a RecipientInfo names.
    """
    wanted = {_mailbox(recipient) for recipient in recipients}
    named = {
        _mailbox(recipient)
        for recipient in recipients
        if any(identifier.matches(recipient.certificate) for identifier in layer.recipient_ids)
    }
    if not wanted or named != wanted:
        return None
    return Protected(_TOKEN, layer.octets, tuple(named), layer.enveloped.cipher, ())


def _mailbox(recipient: ValidatedCertificate) -> Mailbox:
    if not isinstance(recipient, ValidatedCertificate):
        raise TypeError("only a ValidatedCertificate can be encrypted to")
    if recipient.purpose is not Purpose.ENCRYPTION:
        raise ValueError("the certificate was validated for another purpose than encryption")
    if recipient.mailbox is None:
        raise ValueError("the certificate was validated for no mailbox")
    return recipient.mailbox


def _smime_type(cipher: AnyCipher) -> str:
    # RFC 8551, 3.2.2 writes this one in mixed case
    return "authEnveloped-data" if cipher.authenticated else "enveloped-data"
