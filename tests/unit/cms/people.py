"""People with credentials, for tests of CMS; the same ones for the life of the process."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec

from smimegw.cms import der
from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    SignatureScheme,
    key_encryption_for,
    signature_scheme_for,
)
from smimegw.cms.capabilities import OURS, Capabilities
from smimegw.cms.content_info import COMPRESSED_DATA, DATA
from smimegw.cms.envelope import Recipient, encrypt
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.cms.signed_data import sign_detached, sign_opaque
from smimegw.cms.verify import digest_of
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import NOW, Issued, make_ca

ZLIB = "1.2.840.113549.1.9.16.3.8"
CONTENT = b"Content-Type: text/plain\r\n\r\nTotals as agreed.\r\n"


def person(name: str = "alice", key: str = "rsa") -> Issued:
    return _issued(name, key)


@cache
def _issued(name: str, key: str) -> Issued:
    return make_ca("CMS test CA").issue(f"{name}@ours.example", key=key, slot=f"cms/{name}")


def signing_credential(issued: Issued) -> SigningCredential:
    return SigningCredential(issued.certificate, issued.chain, SoftwareSigningKey(issued.key))


def decryption_credential(issued: Issued) -> DecryptionCredential:
    return DecryptionCredential(issued.certificate, SoftwareDecryptionKey(issued.key))


def detached(
    issued: Issued,
    content: bytes = CONTENT,
    *,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    scheme: SignatureScheme | None = None,
    capabilities: Capabilities | None = OURS,
    encryption_certificate: Certificate | None = None,
) -> bytes:
    return sign_detached(
        digest_of(digest, (content,)),
        digest_algorithm=digest,
        credential=signing_credential(issued),
        scheme=scheme or signature_scheme_for(issued.certificate),
        signing_time=NOW,
        capabilities=capabilities,
        encryption_certificate=encryption_certificate,
    )


def opaque(issued: Issued, content: bytes = CONTENT) -> bytes:
    return sign_opaque(
        content,
        digest_algorithm=DigestAlgorithm.SHA256,
        credential=signing_credential(issued),
        scheme=signature_scheme_for(issued.certificate),
        signing_time=NOW,
        capabilities=OURS,
    ).whole()


def sealed(
    people: Sequence[Issued],
    cipher: ContentCipher = ContentCipher.AES_256_CBC,
    content: bytes = CONTENT,
    *,
    oaep: bool = False,
) -> bytes:
    recipients = [
        Recipient(issued.certificate, key_encryption_for(issued.certificate, oaep))
        for issued in people
    ]
    return b"".join(encrypt((content,), len(content), recipients, cipher))


def compressed(content: bytes = CONTENT, *, stream: bytes | None = None, oid: str = ZLIB) -> bytes:
    """A ContentInfo with CompressedData (RFC 3274, 1.1); *stream* instead of what zlib makes."""
    octets = zlib.compress(content) if stream is None else stream
    fields = der.sequence(
        der.integer(0),
        der.sequence(der.oid(oid)),
        der.sequence(der.oid(DATA), der.explicit(0, der.octet_string(octets))),
    )
    return der.sequence(der.oid(COMPRESSED_DATA), der.explicit(0, fields))


class CountingKey:
    """A decryption key that counts how often it is used."""

    def __init__(self, issued: Issued) -> None:
        self._key = SoftwareDecryptionKey(issued.key)
        self.uses = 0

    def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
        self.uses += 1
        return self._key.decrypt(encrypted_key, transport)

    def exchange(self, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        self.uses += 1
        return self._key.exchange(peer_public_key)
