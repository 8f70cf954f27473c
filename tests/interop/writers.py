"""Other programs as writers of protected mails: four of them behind one interface.

    mail = HEAD + writer.clear(entity)
    mail = HEAD + writer.encrypted(writer.opaque(entity))

Entities have CRLF line ends.  The MIME structure around CMS objects is put together here, never
with the product's own code.
"""

from __future__ import annotations

import re
from base64 import encodebytes
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.fakes.pki import Issued
from tests.interop.gnupg import GnuPG
from tests.interop.nss import NSS
from tests.interop.openssl import Files, openssl
from tests.peers.bouncy_castle import BouncyCastle

HEAD = (
    b"From: Bob <bob@partner.example>\r\nTo: alice@ours.example\r\nSubject: from outside\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <b1@partner.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)


_CONTENT_FIELDS = re.compile(rb"^Content-.*\r\n(?:[ \t].*\r\n)*", re.MULTILINE | re.IGNORECASE)


def entity_of(mail: bytes) -> bytes:
    """What a program protects of a whole mail: the fields about its body, and the body."""
    head, _, body = mail.partition(b"\r\n\r\n")
    return b"".join(_CONTENT_FIELDS.findall(head + b"\r\n")) + b"\r\n" + body


class Writer(Protocol):
    """A program that protects mail; what it makes are entities without MIME-Version."""

    def clear(self, entity: bytes) -> bytes:
        """Multipart/signed."""

    def opaque(self, entity: bytes) -> bytes:
        """Application/pkcs7-mime with SignedData."""

    def encrypted(self, entity: bytes) -> bytes:
        """Application/pkcs7-mime with EnvelopedData."""


@dataclass(frozen=True)
class OpenSSLWriter:
    """``openssl cms``, which writes the MIME structure too, with LF line ends."""

    own: Files
    recipient: Path

    def clear(self, entity: bytes) -> bytes:
        return _sent(openssl("cms", "-sign", *self._signer, stdin=_on_unix(entity)))

    def opaque(self, entity: bytes) -> bytes:
        return _sent(openssl("cms", "-sign", "-nodetach", *self._signer, stdin=_on_unix(entity)))

    def encrypted(self, entity: bytes) -> bytes:
        return _sent(openssl("cms", "-encrypt", "-aes256", self.recipient, stdin=entity))

    @property
    def _signer(self) -> tuple[str | Path, ...]:
        own = self.own
        return ("-signer", own.certificate, "-inkey", own.key, "-certfile", own.chain)


@dataclass(frozen=True)
class GnuPGWriter:
    """gpgsm, with *options* for signing and for encrypting."""

    home: GnuPG
    signer: str
    recipient: str
    digest: str = "SHA256"
    cipher: str = "AES256"

    def clear(self, entity: bytes) -> bytes:
        return _multipart_signed(entity, self._sign(entity, "--detach-sign"), self.digest)

    def opaque(self, entity: bytes) -> bytes:
        return pkcs7_mime("signed-data", self._sign(entity))

    def encrypted(self, entity: bytes) -> bytes:
        options = ("--cipher-algo", self.cipher, "--recipient", self.recipient)
        return pkcs7_mime("enveloped-data", self.home.run("--encrypt", *options, stdin=entity)[0])

    def _sign(self, entity: bytes, *form: str) -> bytes:
        options = ("--local-user", self.signer, "--digest-algo", self.digest)
        return self.home.run("--sign", *form, *options, stdin=entity)[0]


@dataclass(frozen=True)
class NSSWriter:
    """NSS' cmsutil."""

    database: NSS
    signer: str
    recipient: str
    digest: str = "SHA256"

    def clear(self, entity: bytes) -> bytes:
        signature = self.database.signed(self.signer, entity, detached=True, digest=self.digest)
        return _multipart_signed(entity, signature, self.digest)

    def opaque(self, entity: bytes) -> bytes:
        signed = self.database.signed(self.signer, entity, digest=self.digest)
        return pkcs7_mime("signed-data", signed)

    def encrypted(self, entity: bytes) -> bytes:
        return pkcs7_mime("enveloped-data", self.database.encrypted([self.recipient], entity))


@dataclass(frozen=True)
class BouncyCastleWriter:
    """Bouncy Castle, with Java's names of algorithms and the forms that its program knows."""

    peer: BouncyCastle
    own: Issued
    recipient: Issued
    signature: str = "SHA256withRSA"
    cipher: str = "2.16.840.1.101.3.4.1.42"
    method: str = "pkcs1"
    form: tuple[str, ...] = ()

    def clear(self, entity: bytes) -> bytes:
        signature = self.peer.signed(self.signature, entity, self.own, form=self.form)
        digest = {"Ed25519": "SHA512", "Ed448": "shake256"}.get(
            self.signature, self.signature.partition("with")[0]
        )
        return _multipart_signed(entity, signature, digest)

    def opaque(self, entity: bytes) -> bytes:
        form = ["opaque", *self.form]
        return pkcs7_mime(
            "signed-data", self.peer.signed(self.signature, entity, self.own, form=form)
        )

    def encrypted(self, entity: bytes) -> bytes:
        recipients = [(self.recipient, self.method)]
        der = self.peer.encrypted(self.cipher, entity, recipients, form=self.form)
        return pkcs7_mime("enveloped-data", der)

    def compressed(self, entity: bytes) -> bytes:
        """Application/pkcs7-mime with CompressedData."""
        return pkcs7_mime("compressed-data", self.peer.compressed(entity))


def _on_unix(entity: bytes) -> bytes:
    return entity.replace(b"\r\n", b"\n")


def _sent(mail: bytes) -> bytes:
    """What SMTP makes of a mail with the line ends of Unix; the field is in HEAD already."""
    return _on_unix(mail).replace(b"\n", b"\r\n").replace(b"MIME-Version: 1.0\r\n", b"", 1)


def _base64(der: bytes) -> bytes:
    return encodebytes(der).replace(b"\n", b"\r\n")


def _multipart_signed(entity: bytes, signature: bytes, digest: str) -> bytes:
    micalg = digest.replace("SHA", "sha-").encode()
    return (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=' + micalg
        + b';\r\n boundary="=_theirs"\r\n\r\n--=_theirs\r\n' + entity + b"\r\n--=_theirs\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + _base64(signature) + b"\r\n--=_theirs--\r\n"
    )  # fmt: skip


def pkcs7_mime(smime_type: str, der: bytes) -> bytes:
    """The entity that carries a CMS object (RFC 8551, 3.2)."""
    return (
        b"Content-Type: application/pkcs7-mime; smime-type=" + smime_type.encode()
        + b"; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _base64(der)
    )  # fmt: skip
