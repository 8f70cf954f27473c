"""The ciphers of encrypted content: those we write, and old ones that are only read (RFC 3370)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from smimegw.content import Content, Store
from smimegw.errors import DecryptionError, UnsupportedAlgorithmError

_AES = "2.16.840.1.101.3.4.1."


class ContentCipher(Enum):
    """How the content is encrypted (RFC 3565, RFC 5084, RFC 8103)."""

    AES_128_CBC = ("aes-128-cbc", 16, _AES + "2")
    AES_192_CBC = ("aes-192-cbc", 24, _AES + "22")
    AES_256_CBC = ("aes-256-cbc", 32, _AES + "42")
    AES_128_GCM = ("aes-128-gcm", 16, _AES + "6")
    AES_192_GCM = ("aes-192-gcm", 24, _AES + "26")
    AES_256_GCM = ("aes-256-gcm", 32, _AES + "46")
    CHACHA20_POLY1305 = ("chacha20-poly1305", 32, "1.2.840.113549.1.9.16.3.18")

    def __init__(self, label: str, key_octets: int, oid: str) -> None:
        """*label* is the name for records, *key_octets* the length of the content key."""
        self.label = label
        self.key_octets = key_octets
        self.oid = oid
        self.authenticated = not label.endswith("cbc")  # the cipher itself notices changes

    @property
    def is_weak(self) -> bool:
        """Nobody should rely on it any more."""
        return False

    @property
    def block_octets(self) -> int:
        """Length of a block, and so of an initialisation vector of CBC."""
        return 16

    @classmethod
    def from_oid(cls, oid: str) -> ContentCipher:
        """Find a cipher.

        Raises:
            UnsupportedAlgorithmError: Not one of ours.
        """
        cipher = _BY_OID.get(oid)
        if isinstance(cipher, cls):
            return cipher
        raise UnsupportedAlgorithmError(f"content-encryption algorithm {oid} is not supported")


class LegacyCipher(Enum):
    """Ciphers of S/MIME 2 and 3: read where that is allowed, never written (RFC 8551, B)."""

    DES_EDE3_CBC = ("des-ede3-cbc", 24, "1.2.840.113549.3.7")
    RC2_128_CBC = ("rc2-128-cbc", 16, "1.2.840.113549.3.2")

    def __init__(self, label: str, key_octets: int, oid: str) -> None:
        """As `ContentCipher`."""
        self.label = label
        self.key_octets = key_octets
        self.oid = oid
        self.authenticated = False  # nothing notices changes

    @property
    def is_weak(self) -> bool:
        """Blocks of 64 bits, and no integrity."""
        return True

    @property
    def block_octets(self) -> int:
        """Length of a block, and so of an initialisation vector of CBC."""
        return 8


AnyCipher = ContentCipher | LegacyCipher
_BY_OID: dict[str, AnyCipher] = {item.oid: item for item in (*ContentCipher, *LegacyCipher)}


def cipher_of(oid: str) -> AnyCipher:
    """Find the cipher that *oid* names, an old one, too.

    Raises:
        UnsupportedAlgorithmError: None of them.
    """
    return _BY_OID.get(oid) or ContentCipher.from_oid(oid)


def undo_cbc(
    cipher: AnyCipher, content_key: bytes, nonce: bytes, pieces: Iterable[bytes], store: Store
) -> Content:
    """Undo CBC and its padding (RFC 5652, 6.3), into *store*.

    What comes out is kept before the padding is judged, whether it is right or not: neither the
    steps nor the disk tell anybody (T-07).

    Raises:
        DecryptionError: For every reason alike.
    """
    faults: list[bool] = []
    content = store.store(_undone(cipher, content_key, nonce, pieces, faults))
    if faults:
        raise DecryptionError
    return content


def _undone(
    cipher: AnyCipher, content_key: bytes, nonce: bytes, pieces: Iterable[bytes], faults: list[bool]
) -> Iterator[bytes]:
    block = cipher.block_octets
    held = last = b""
    try:
        decryptor = Cipher(_block_cipher(cipher, content_key), modes.CBC(nonce)).decryptor()
        for piece in pieces:
            held += decryptor.update(piece)
            if len(held) > block:
                yield held[:-block]
                held = held[-block:]
        held += decryptor.finalize()
        unpadder = padding.PKCS7(8 * block).unpadder()
        last = unpadder.update(held) + unpadder.finalize()
    except (ValueError, UnsupportedAlgorithm):
        faults.append(True)
    yield last


def _block_cipher(cipher: AnyCipher, content_key: bytes) -> algorithms.AES | TripleDES | RC2:
    match cipher:
        case LegacyCipher.DES_EDE3_CBC:
            return TripleDES(content_key)
        case LegacyCipher.RC2_128_CBC:
            return RC2(content_key)
        case _:
            return algorithms.AES(content_key)
