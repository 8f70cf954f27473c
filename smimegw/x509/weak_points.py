"""Knows the public keys on Curve25519 and Curve448 that keep no secret.

Both curves have a few points of small order.  A signature under such a key holds for many messages,
made by anybody; a secret agreed with one is the same for everybody (RFC 7748, 6.1).  Libraries
refuse the secret but verify the signature, as RFC 8032, 5.1.7 lets them.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, x448, x25519

_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1
# y of the points of order 8; the other four of that order have its negative or the other x
_Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_EDWARDS25519 = frozenset({0, 1, _P25519 - 1, _Y_OF_ORDER_8, _P25519 - _Y_OF_ORDER_8})
_EDWARDS448 = frozenset({0, 1, _P448 - 1})

EdwardsOrMontgomeryKey = (
    ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | x25519.X25519PublicKey | x448.X448PublicKey
)


def is_weak_point(key: EdwardsOrMontgomeryKey) -> bool:
    """Whether *key* is a point of small order, in whatever encoding."""
    match key:
        case ed25519.Ed25519PublicKey():
            # RFC 8032, 5.1.2: y little-endian, the highest bit belongs to x
            y = int.from_bytes(key.public_bytes_raw(), "little") % 2**255
            return y % _P25519 in _EDWARDS25519
        case ed448.Ed448PublicKey():
            y = int.from_bytes(key.public_bytes_raw()[:56], "little")
            return y % _P448 in _EDWARDS448
        case x25519.X25519PublicKey():
            return not _agrees(x25519.X25519PrivateKey.generate(), key)
        case x448.X448PublicKey():
            return not _agrees(x448.X448PrivateKey.generate(), key)


def _agrees(
    own: x25519.X25519PrivateKey | x448.X448PrivateKey,
    other: x25519.X25519PublicKey | x448.X448PublicKey,
) -> bool:
    try:
        own.exchange(other)  # type: ignore[arg-type]  # both are of the same curve
    except ValueError:
        return False
    return True
