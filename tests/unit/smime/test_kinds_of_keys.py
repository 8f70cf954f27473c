"""Mail with every kind of key, from the certificate's path to the result (RFC 8551, 2)."""

from __future__ import annotations

import pytest

from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.errors import CertificateError, VerificationError
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import verify
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from tests.fakes.pki import NOW, Issued, make_ca
from tests.fakes.smime import TEXT, whole

SIGNING = {
    "brainpool256": ("ecdsa-sha256", "sha-256"),
    "brainpool384": ("ecdsa-sha256", "sha-256"),
    "brainpool512": ("ecdsa-sha256", "sha-256"),
    "ed25519": ("ed25519-sha512", "sha-512"),
    "ed448": ("ed448-shake256", "shake256"),
}
ENCRYPTING = {
    "brainpool256": "ecdh-sha256kdf",
    "brainpool384": "ecdh-sha384kdf",
    "brainpool512": "ecdh-sha512kdf",
    "x25519": "ecdh-hkdf-sha256",
    "x448": "ecdh-hkdf-sha512",
}
CA = make_ca("Kinds of keys")
EVIDENCE = Evidence(trust_anchors=(CA.certificate,), require_revocation=False)


def _person(kind: str, usage: str) -> Issued:
    return CA.issue("alice@ours.example", key=kind, usage=usage, slot=f"kinds/{usage}")


def _credential(person: Issued) -> SigningCredential:
    key = SoftwareSigningKey(person.key)
    return SigningCredential(person.certificate, person.chain, key)


def _validated(person: Issued, purpose: Purpose) -> ValidatedCertificate:
    mailbox = person.certificate.mailboxes[0]
    return validate(person.certificate, EVIDENCE, purpose=purpose, mailbox=mailbox, now=NOW)


def _label(entity: Entity, person: Issued) -> tuple[str, tuple[str, ...]]:
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    mailbox = person.certificate.mailboxes[0]
    verified = verify(layer, EVIDENCE, originator=mailbox, sender=None, now=NOW)
    assert verified.entity.raw == TEXT.raw
    assert verified.notes == ()
    return verified.label, layer.micalg


@pytest.mark.parametrize("kind", SIGNING)
def test_clear_signed_mail_passes(kind: str) -> None:
    """Path, micalg and signature fit each other (RFC 8419, RFC 5639)."""
    person = _person(kind, "sign")
    label, micalg = _label(sign_clear(TEXT, _credential(person), now=NOW), person)
    assert (label, micalg) == (SIGNING[kind][0], (SIGNING[kind][1],))


@pytest.mark.parametrize("kind", SIGNING)
def test_opaque_signed_mail_passes(kind: str) -> None:
    """The same inside SignedData."""
    person = _person(kind, "sign")
    label, _ = _label(sign_opaque(TEXT, _credential(person), now=NOW), person)
    assert label == SIGNING[kind][0]


@pytest.mark.parametrize("kind", SIGNING)
def test_changed_mail_fails(kind: str) -> None:
    """One letter."""
    person = _person(kind, "sign")
    signed = sign_clear(TEXT, _credential(person), now=NOW)
    body = signed.body.whole().replace(TEXT.body.read(0, 5), TEXT.body.read(0, 5).swapcase(), 1)
    assert body != signed.body
    layer = layer_of(Entity(signed.header, body))
    assert isinstance(layer, SignedLayer)
    mailbox = person.certificate.mailboxes[0]
    with pytest.raises(VerificationError, match="fail digest"):
        verify(layer, EVIDENCE, originator=mailbox, sender=None, now=NOW)


@pytest.mark.parametrize("kind", ENCRYPTING)
def test_encrypted_mail_opens(kind: str) -> None:
    """From the validated certificate to the entity (RFC 8418, RFC 5753)."""
    person = _person(kind, "encrypt")
    protected = encrypt(TEXT, [_validated(person, Purpose.ENCRYPTION)])
    assert protected.key_labels == (ENCRYPTING[kind],)
    layer = layer_of(whole(protected))
    assert isinstance(layer, EncryptedLayer)
    credential = DecryptionCredential(person.certificate, SoftwareDecryptionKey(person.key))
    assert decrypt(layer, [credential]).entity.raw == TEXT.raw


@pytest.mark.parametrize(
    ("kind", "purpose"),
    [
        ("ed25519", Purpose.ENCRYPTION),
        ("ed448", Purpose.ENCRYPTION),
        ("x25519", Purpose.SIGNATURE),
        ("x448", Purpose.SIGNATURE),
    ],
)
def test_keys_are_good_for_one_purpose_only(kind: str, purpose: Purpose) -> None:
    """Whatever KeyUsage says (RFC 8410, 5)."""
    with pytest.raises(CertificateError, match="key-usage"):
        _validated(_person(kind, "both"), purpose)


@pytest.mark.parametrize("kind", ["ed25519", "ed448", "brainpool384"])
def test_authorities_may_have_such_keys(kind: str) -> None:
    """The path is checked with the issuer's kind of signature (RFC 8410, 6)."""
    ca = make_ca(f"CA with {kind}", key=kind)
    person = ca.issue("alice@ours.example", key="p256", slot="kinds/below")
    evidence = Evidence(trust_anchors=(ca.certificate,), require_revocation=False)
    mailbox = person.certificate.mailboxes[0]
    found = validate(
        person.certificate, evidence, purpose=Purpose.SIGNATURE, mailbox=mailbox, now=NOW
    )
    assert found.certificate == person.certificate
