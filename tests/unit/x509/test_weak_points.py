"""Keys of small order are found in every encoding, and no other key is taken for one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, x448, x25519

from smimegw.x509 import lint
from smimegw.x509.weak_points import is_weak_point
from tests.fakes.pki import make_ca

P25519 = 2**255 - 19
P448 = 2**448 - 2**224 - 1
Y_OF_ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
CA = make_ca("Points")


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize(
    "y", [0, 1, P25519 - 1, P25519, P25519 + 1, Y_OF_ORDER_8, P25519 - Y_OF_ORDER_8]
)
def test_small_order_on_edwards25519(y: int, sign: int) -> None:
    """All eight points, those with y beyond the prime too (RFC 8032, 5.1.7)."""
    octets = (y | sign << 255).to_bytes(32, "little")
    assert is_weak_point(ed25519.Ed25519PublicKey.from_public_bytes(octets))


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P448 - 1, P448, P448 + 1])
def test_small_order_on_edwards448(y: int, sign: int) -> None:
    """All four points (RFC 8032, 5.2.7)."""
    octets = y.to_bytes(56, "little") + bytes([sign << 7])
    assert is_weak_point(ed448.Ed448PublicKey.from_public_bytes(octets))


@pytest.mark.parametrize("u", [0, 1, P25519 - 1, P25519, P25519 + 1])
def test_small_order_on_curve25519(u: int) -> None:
    """The secret would be zeros (RFC 7748, 6.1)."""
    assert is_weak_point(x25519.X25519PublicKey.from_public_bytes(u.to_bytes(32, "little")))


@pytest.mark.parametrize("u", [0, 1, P448 - 1, P448, P448 + 1])
def test_small_order_on_curve448(u: int) -> None:
    """The secret would be zeros (RFC 7748, 6.2)."""
    assert is_weak_point(x448.X448PublicKey.from_public_bytes(u.to_bytes(56, "little")))


@pytest.mark.parametrize(
    "kind",
    [
        ed25519.Ed25519PrivateKey,
        ed448.Ed448PrivateKey,
        x25519.X25519PrivateKey,
        x448.X448PrivateKey,
    ],
)
def test_ordinary_keys_are_none(kind: type[ed25519.Ed25519PrivateKey]) -> None:
    """Generated ones never are."""
    assert not any(is_weak_point(kind.generate().public_key()) for _ in range(50))


@pytest.mark.parametrize("kind", ["ed25519", "ed448", "x25519", "x448"])
def test_certificates_with_ordinary_keys_have_no_flaw(kind: str) -> None:
    """RFC 8410."""
    assert lint.key_flaw(CA.issue(key=kind, slot=f"points {kind}").certificate) == ""
