"""Sign and encrypt one group's copy; pure, runs in a worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from smimegw.cms.keys import SigningCredential
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import LimitError, MIMEError
from smimegw.failpoints import reach
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.build import SignedForm, split_for_protection
from smimegw.mime.confidentiality import HeaderConfidentiality
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField, HeaderSection, encode_text_field
from smimegw.pipeline.group import Group
from smimegw.policy.choices import Protection
from smimegw.smime.encrypt import Protected, already_protected, encrypt, sign_outside
from smimegw.smime.header_protection import protect_header
from smimegw.smime.media_types import EncryptedLayer
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.transaction import Delivery, ReversePath

_MIME_VERSION = HeaderField.parse(b"MIME-Version: 1.0\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The message to protect, and what is changed in every copy of it.

    Attributes:
        content: As received.
        reverse_path: As received.
        trace: The Received field that goes on top.
        subject: The Subject without its trigger word; None leaves the field alone.
        dropped: Lower-case names of fields that must not go out (used triggers, Bcc).
        own_signature: The client signed it and the signature holds: it is not signed again.
        own_encryption: The client encrypted it: for whom, its layer tells (R-26).
    """

    content: Entity
    reverse_path: ReversePath
    trace: HeaderField
    subject: str | None = None
    dropped: frozenset[str] = frozenset()
    own_signature: bool = False
    own_encryption: EncryptedLayer | None = None


def seal(
    original: Original,
    group: Group,
    credential: SigningCredential | None,
    *,
    now: datetime,
    limits: Limits = DEFAULT_LIMITS,
    store: Store = MEMORY,
) -> Delivery:
    """Return the copy of *group*: finished when it is short, else encrypted while it is read.

    Raises:
        MIMEError: The message cannot be signed without changing what it says.
        ValueError: Signing was decided and there is no *credential*.
    """
    reach("protect.seal")
    header = _outgoing(original)
    if original.own_encryption is not None:
        proof = _own_protection(original.own_encryption, group)
        if proof is not None or not group.protection.encrypts:
            return _delivery(original, group, header, original.content.body, proof)
    signs = group.protection.signs and not original.own_signature
    signs = signs and original.own_encryption is None
    if not signs and not group.protection.encrypts:
        return _delivery(original, group, header, original.content.body, None)
    outer, entity = _outer_and_inner(header, original.content)
    outer, entity = _with_header(outer, entity, original, group, limits)
    if signs:
        entity = _sign(entity, group, credential, now, limits, store)
    reach("protect.before-encrypt")
    if group.protection.encrypts:
        protected = _encrypt(entity, group)
        reach("protect.encrypted")
        if group.protection.signs_outside:
            protected = sign_outside(
                protected,
                lambda inner: _sign(inner, group, credential, now, limits, store),
                store,
            )
        fields = _joined(outer, protected.header)
        return _delivery(original, group, fields, protected.body, protected)
    return _delivery(original, group, _joined(outer, entity.header), entity.body, None)


def _outer_and_inner(header: HeaderSection, content: Entity) -> tuple[HeaderSection, Entity]:
    """The fields that stay readable, and what is protected."""
    # A body whose empty line was forgotten must not stay outside as part of the header section.
    whole = Entity(header, content.body, content.separator).ended_at_first_non_field()
    outer, inner = split_for_protection(whole.header)
    if not outer.all("from"):
        raise MIMEError("a line before the From field is no header field")
    return outer, Entity(inner, whole.body)


def _with_header(
    outer: HeaderSection, entity: Entity, original: Original, group: Group, limits: Limits
) -> tuple[HeaderSection, Entity]:
    """The header fields under the same protection, where the rule wants that (RFC 9788)."""
    wish = group.treatment.header
    is_own = original.own_signature or original.own_encryption is not None
    if is_own or wish.confidentiality is HeaderConfidentiality.OFF:
        return outer, entity  # what the client protected, with its fields or without, stays so
    return protect_header(outer, entity, wish, encrypts=group.protection.encrypts, limits=limits)


def _own_protection(layer: EncryptedLayer, group: Group) -> Protected | None:
    if group.protection.encrypts:
        return already_protected(layer, group.certificates)
    return None


def _encrypt(entity: Entity, group: Group) -> Protected:
    if group.cipher is None:
        raise ValueError("encrypting was decided without a cipher")
    return encrypt(
        entity,
        group.certificates,
        cipher=group.cipher.cipher,
        key_encryptions=group.key_encryptions,
    )


def _sign(
    entity: Entity,
    group: Group,
    credential: SigningCredential | None,
    now: datetime,
    limits: Limits,
    store: Store,
) -> Entity:
    if credential is None:
        raise ValueError("signing was decided without a credential")
    treatment = group.treatment
    # A scheme is a choice for RSA keys only; others have one of their own.
    is_rsa = isinstance(credential.certificate.public_key, RSAPublicKey)
    scheme = treatment.scheme if is_rsa else None
    if treatment.form is SignedForm.CLEAR:
        try:
            return sign_clear(
                entity,
                credential,
                now=now,
                digest=treatment.digest,
                scheme=scheme,
                limits=limits,
                store=store,
            )
        except (MIMEError, LimitError):
            pass  # relays would change it, we cannot: it travels wrapped (cases L11)
    return sign_opaque(
        entity,
        credential,
        now=now,
        digest=treatment.digest,
        scheme=scheme,
        limits=limits,
        store=store,
    )


def _outgoing(original: Original) -> HeaderSection:
    header = original.content.header
    dropped = original.dropped
    if any(entry.lower_name in dropped for entry in header):
        header = header.without(lambda entry: entry.lower_name in dropped)
    if original.subject is not None and header.all("subject"):
        header = header.replace(encode_text_field("Subject", _one_line(original.subject)))
    return header


def _one_line(text: str) -> str:
    """*text* without tabs of folding and without what an encoded word may hide."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _joined(outer: Iterable[HeaderField], added: HeaderSection) -> HeaderSection:
    """The outer fields, MIME-Version once, and the Content-* fields of the new entity."""
    kept = (entry for entry in outer if entry.lower_name != "mime-version")
    return HeaderSection((*kept, _MIME_VERSION, *added.fields))


def _delivery(
    original: Original,
    group: Group,
    header: HeaderSection,
    body: Content,
    proof: Protected | None,
) -> Delivery:
    changed = header is not original.content.header
    separator = original.content.separator or (b"\r\n" if changed and header.fields else b"")
    return Delivery(
        reverse_path=original.reverse_path,
        recipients=group.recipients,
        pieces=Content.joined((original.trace.raw, header.raw, separator, body)).settled(),
        protection=group.protection,
        proof=proof,
    )


def label_of(protection: Protection) -> str:
    """The short word for logs: ``none``, ``sign``, ``sign+encrypt``, ``sign+encrypt+sign`` …"""
    return protection.value.replace("-then-", "+").replace("-", "+")
