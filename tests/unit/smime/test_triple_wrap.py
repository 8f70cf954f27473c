"""Signed, encrypted, and signed once more: the outermost layer keeps the proof of encryption."""

from __future__ import annotations

import pytest

from smimegw.mime.build import SignedForm
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import Protected, encrypt, sign_outside
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import verify
from tests.fakes.pki import NOW
from tests.fakes.smime import (
    ALICE,
    BOB,
    EVIDENCE,
    TEXT,
    address,
    clear_signed,
    reader,
    recipient,
    signer,
    whole,
)


@pytest.fixture
def sealed() -> Protected:
    return encrypt(clear_signed(), [recipient(BOB)])


@pytest.mark.parametrize("sign", [sign_clear, sign_opaque])
def test_three_layers_come_apart_again(sealed: Protected, sign: object) -> None:
    """Outer signature, encryption, inner signature (RFC 2634, 1.1)."""
    wrapped = sign_outside(sealed, lambda entity: sign(entity, signer(ALICE), now=NOW))  # type: ignore[operator]
    outer = layer_of(whole(wrapped))
    assert isinstance(outer, SignedLayer)
    verify(outer, EVIDENCE, originator=address(ALICE), sender=None, now=NOW)
    middle = layer_of(Entity.parse(outer.content))
    assert isinstance(middle, EncryptedLayer)
    inner = layer_of(decrypt(middle, [reader(BOB)]).entity)
    assert isinstance(inner, SignedLayer)
    assert inner.content == TEXT.raw


def test_what_is_encrypted_stays_as_it_was(sealed: Protected) -> None:
    """The outer signature adds and changes nothing; the proof for the relay stays one (T-23)."""
    wrapped = sign_outside(sealed, lambda entity: sign_clear(entity, signer(ALICE), now=NOW))
    outer = layer_of(whole(wrapped))
    assert isinstance(outer, SignedLayer)
    assert outer.form is SignedForm.CLEAR
    assert Entity.parse(outer.content).body == whole(sealed).body
    assert isinstance(wrapped, Protected)
    assert (wrapped.recipients, wrapped.cipher_label) == (sealed.recipients, sealed.cipher_label)
    assert b"".join(wrapped.pieces()) == b"".join(wrapped.pieces())


def test_signature_around_something_else_is_no_protection(sealed: Protected) -> None:
    """A signer that exchanged the ciphertext for the text would leak it (T-23)."""
    with pytest.raises(ValueError, match="outer signature"):
        sign_outside(sealed, lambda _: clear_signed())
    with pytest.raises(ValueError, match="outer signature"):
        sign_outside(sealed, lambda entity: entity)
