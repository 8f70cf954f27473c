"""Wycheproof's ciphers as those of EnvelopedData and AuthEnvelopedData (RFC 5652, RFC 5083)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smimegw.cms import auth_enveloped_data, der, enveloped_data
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.content_info import AUTH_ENVELOPED_DATA, ENVELOPED_DATA
from smimegw.cms.envelope import parse_enveloped
from smimegw.cms.enveloped_data import Enveloped, encrypted_content_info_header
from smimegw.errors import CMSError, DecryptionError
from tests.vectors.wycheproof import Row, Said, Vector, counted, rows

CBC = rows("aes_cbc_pkcs5 72 0 144 0 0")
AEAD = rows("""
aes_gcm           199  30  87 0 0 nonce of 1, 2 or more than 64 octets
chacha20_poly1305 256   0  69 0 0
""")


def envelope(content_type: str, cipher: ContentCipher, parameters: bytes, *rest: bytes) -> bytes:
    """A ContentInfo for nobody; *rest* are ciphertext and tag."""
    encrypted, *tag = rest
    content = der.sequence(
        der.integer(0),
        der.set_of([]),
        encrypted_content_info_header(cipher, parameters, len(encrypted)) + encrypted,
        *(der.octet_string(octets) for octets in tag),
    )
    return der.sequence(der.oid(content_type), der.explicit(0, content))


def aes(vector: Vector, mode: str) -> ContentCipher:
    """The cipher with the vector's length of key."""
    label = f"aes-{vector.group['keySize']}-{mode}"
    return next(cipher for cipher in ContentCipher if cipher.label == label)


def cbc_verdict(vector: Vector) -> Said:
    """Whether the vector's octets are decrypted to its message."""
    cipher = aes(vector, "cbc")
    nonce = der.octet_string(vector.octets("iv"))
    octets = envelope(ENVELOPED_DATA, cipher, nonce, vector.octets("ct"))
    try:
        content = enveloped_data.decrypt_content(parse_enveloped(octets), vector.octets("key"))
    except (CMSError, DecryptionError):
        return Said.NO
    return Said.YES if content == vector.octets("msg") else Said.NO


def aead_verdict(vector: Vector) -> Said:
    """The same with a tag; lengths that CMS does not have are refused when they are read."""
    nonce, tag = der.octet_string(vector.octets("iv")), vector.octets("tag")
    if vector.algorithm == "CHACHA20-POLY1305":
        cipher, parameters = ContentCipher.CHACHA20_POLY1305, nonce
    else:
        cipher = aes(vector, "gcm")
        parameters = der.sequence(nonce, der.integer(len(tag)))
    octets = envelope(AUTH_ENVELOPED_DATA, cipher, parameters, vector.octets("ct"), tag)
    try:
        enveloped = parse_enveloped(octets)
    except CMSError:
        return Said.UNSUPPORTED
    return Said.YES if opened(enveloped, vector) == vector.octets("msg") else Said.NO


def opened(enveloped: Enveloped, vector: Vector) -> bytes | None:
    """The content, with the vector's additional data instead of authAttrs."""
    enveloped = replace(enveloped, additional_data=vector.octets("aad"))
    try:
        return auth_enveloped_data.decrypt_content(enveloped, vector.octets("key"))
    except DecryptionError:
        return None


@pytest.mark.parametrize("row", CBC, ids=str)
def test_cbc_gets_the_verdict_of_wycheproof(row: Row) -> None:
    """Every padding but the right one is refused (RFC 5652, 6.3; cases H25)."""
    assert counted(row.file, cbc_verdict, row.why) == row


@pytest.mark.parametrize("row", AEAD, ids=str)
def test_aead_gets_the_verdict_of_wycheproof(row: Row) -> None:
    """Nothing comes out under a changed tag, or with a nonce of no octets (cases H25)."""
    assert counted(row.file, aead_verdict, row.why) == row
