"""Makes protected messages as a partner's own S/MIME program would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.mime.build import split_for_protection
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.encrypt import encrypt
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.pki import CA, NOW, Issued


def protected(content: bytes, change: Callable[[Entity], Entity]) -> bytes:
    """*content* with its inner entity exchanged for what *change* makes of it."""
    outer, inner = split_for_protection(Entity.parse(content).header)
    new = change(Entity(inner, Entity.parse(content).body))
    fields = tuple(e for e in outer if e.lower_name != "mime-version")
    header = HeaderSection(
        (*fields, *Entity.parse(b"MIME-Version: 1.0\r\n\r\n").header, *new.header)
    )
    return b"".join((header.raw, b"\r\n", *new.body))


def signed(
    content: bytes,
    signer: Issued,
    *,
    opaque: bool = False,
    now: datetime = NOW,
    encrypt_to: Issued | None = None,
) -> bytes:
    """*content* signed by *signer*, who wants answers encrypted to *encrypt_to*."""
    credential = SigningCredential(signer.certificate, signer.chain, SoftwareSigningKey(signer.key))
    sign = sign_opaque if opaque else sign_clear
    preferred = encrypt_to.certificate if encrypt_to else None
    if encrypt_to:
        credential = replace(credential, chain=(*signer.chain, encrypt_to.certificate))
    return protected(
        content,
        lambda entity: sign(entity, credential, now=now, encryption_certificate=preferred),
    )


def encrypted(
    content: bytes, ca: CA, *recipients: Issued, cipher: ContentCipher | None = None
) -> bytes:
    """*content* encrypted for *recipients*."""
    evidence = Evidence(trust_anchors=(ca.certificate,), require_revocation=False)
    chosen = [
        validate(
            r.certificate,
            evidence,
            purpose=Purpose.ENCRYPTION,
            mailbox=r.certificate.mailboxes[0],
            now=NOW,
        )
        for r in recipients
    ]

    def change(entity: Entity) -> Entity:
        result = encrypt(entity, chosen, cipher=cipher or ContentCipher.AES_256_CBC)
        return Entity(result.header, b"".join(result.pieces()))

    return protected(content, change)
