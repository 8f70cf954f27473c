"""The key wrap of old key agreement, undone and otherwise kept out (RFC 3217, 3)."""

from __future__ import annotations

import pytest

from smimegw.cms import der
from smimegw.cms.algorithms import ContentCipher, KeyWrap
from smimegw.cms.envelope import parse_enveloped
from smimegw.cms.triple_des_wrap import triple_des_unwrap
from smimegw.errors import DecryptionError
from tests.unit.cms.people import person, sealed

# The example of RFC 3217, 3.4.
CONTENT_KEY = "2923bf85e06dd6ae529149f1f1bae9eab3a7da3d860d3e98"
WRAPPING_KEY = "255e0d1c07b646dfb3134cc843ba8aa71f025b7c0838251f"
WRAPPED = "690107618ef092b3b48ca1796b234ae9fa33ebb4159604037db5d6a84eb3aac2768c632775a467d4"


def test_example_of_the_rfc() -> None:
    """RFC 3217, 3.4."""
    octets = triple_des_unwrap(bytes.fromhex(WRAPPING_KEY), bytes.fromhex(WRAPPED))
    assert octets.hex() == CONTENT_KEY


@pytest.mark.parametrize("at", [0, 8, 20, 39])
def test_any_changed_octet_is_noticed(at: int) -> None:
    """The checksum covers the key (RFC 3217, 3.2)."""
    wrapped = bytearray.fromhex(WRAPPED)
    wrapped[at] ^= 1
    with pytest.raises(DecryptionError):
        triple_des_unwrap(bytes.fromhex(WRAPPING_KEY), bytes(wrapped))


@pytest.mark.parametrize("wrapped", [WRAPPED[:-2], WRAPPED + "00", "", WRAPPED[:64]])
def test_other_lengths_are_refused(wrapped: str) -> None:
    """40 octets, no others (RFC 3217, 3.2)."""
    with pytest.raises(DecryptionError):
        triple_des_unwrap(bytes.fromhex(WRAPPING_KEY), bytes.fromhex(wrapped))


def test_other_wrapping_key_does_not_open() -> None:
    """Nor one of another length."""
    for key in ("00" * 24, WRAPPING_KEY[:32]):
        with pytest.raises(DecryptionError):
            triple_des_unwrap(bytes.fromhex(key), bytes.fromhex(WRAPPED))


def test_ours_are_never_wrapped_weakly() -> None:
    """Keys of 24 octets exist for AES, too (RFC 3565, 2.3.2)."""
    octets = sealed([person("bob", "p256")], ContentCipher.AES_192_CBC)
    (info,) = parse_enveloped(octets).recipient_infos
    assert not info.is_weak
    assert der.oid(KeyWrap.AES_192.oid) in octets
