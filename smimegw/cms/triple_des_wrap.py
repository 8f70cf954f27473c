"""Undoes the Triple-DES key wrap of old mail; never writes it (RFC 3217, RFC 3370, 4.3)."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import constant_time, hashes
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from smimegw.errors import DecryptionError

_IV = bytes.fromhex("4adda22c79e82105")
_KEY_OCTETS = 24
_WRAPPED_OCTETS = 40


def triple_des_unwrap(wrapping_key: bytes, wrapped: bytes) -> bytes:
    """Return the content key of 24 octets; its parity bits are not looked at.

    Raises:
        DecryptionError: For every reason alike.
    """
    if len(wrapping_key) != _KEY_OCTETS or len(wrapped) != _WRAPPED_OCTETS:
        raise DecryptionError
    inner = _undone(wrapping_key, _IV, wrapped)[::-1]
    octets = _undone(wrapping_key, inner[:8], inner[8:])
    content_key, checksum = octets[:_KEY_OCTETS], octets[_KEY_OCTETS:]
    state = hashes.Hash(hashes.SHA1())  # noqa: S303 - the checksum of RFC 3217, 2; proves nothing
    state.update(content_key)
    if not constant_time.bytes_eq(state.finalize()[:8], checksum):
        raise DecryptionError
    return content_key


def _undone(key: bytes, vector: bytes, octets: bytes) -> bytes:
    decryptor = Cipher(TripleDES(key), modes.CBC(vector)).decryptor()
    return decryptor.update(octets) + decryptor.finalize()
