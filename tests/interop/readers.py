"""Other programs as readers of whole mails: four of them behind one interface.

for reader in (OpenSSLReader(...), GnuPGReader(home), NSSReader(database)):
    content = reader.verified(reader.opened(mail))

The MIME structure is taken apart here with the standard library, never with the product's parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Protocol

from tests.fakes.pki import Issued
from tests.interop.gnupg import GnuPG
from tests.interop.nss import NSS
from tests.interop.openssl import Files, openssl
from tests.peers.bouncy_castle import BouncyCastle

Shown = list[tuple[str, str | None, str | None, bytes]]


class Reader(Protocol):
    """A program that reads protected mail."""

    def verified(self, mail: bytes) -> bytes:
        """The entity that was signed; fails when the signature does not verify."""

    def opened(self, mail: bytes) -> bytes:
        """The entity that was encrypted."""


@dataclass(frozen=True)
class OpenSSLReader:
    """``openssl cms``; it takes mails apart by itself."""

    person: Files

    def verified(self, mail: bytes) -> bytes:
        return openssl("cms", "-verify", "-CAfile", self.person.root, stdin=mail)

    def opened(self, mail: bytes) -> bytes:
        own = ("-recip", self.person.certificate, "-inkey", self.person.key)
        return openssl("cms", "-decrypt", *own, stdin=mail)


@dataclass(frozen=True)
class GnuPGReader:
    """gpgsm, as KMail, Claws Mail and mutt with gpgme use it."""

    home: GnuPG

    def verified(self, mail: bytes) -> bytes:
        content = signed_part(mail)
        if content is None:
            content, status = self.home.run("--output", "-", "--verify", stdin=cms_of(mail))
        else:
            signature = self.home.keep("signature", cms_of(mail))
            _, status = self.home.run("--verify", signature, self.home.keep("content", content))
        assert "GOODSIG" in status, status
        assert "TRUST_FULLY" in status, status
        return content

    def opened(self, mail: bytes) -> bytes:
        return self.home.run("--decrypt", stdin=cms_of(mail))[0]


@dataclass(frozen=True)
class NSSReader:
    """NSS, as Thunderbird uses it."""

    database: NSS

    def verified(self, mail: bytes) -> bytes:
        return self.database.verified(cms_of(mail), signed_part(mail))

    def opened(self, mail: bytes) -> bytes:
        return self.database.opened(cms_of(mail))


@dataclass(frozen=True)
class BouncyCastleReader:
    """Bouncy Castle, as Java programs use it; *person* trusts the root of the own chain."""

    peer: BouncyCastle
    person: Issued

    def verified(self, mail: bytes) -> bytes:
        root = self.person.chain[-1]
        return self.peer.verified(cms_of(mail), root=root, content=signed_part(mail))

    def opened(self, mail: bytes) -> bytes:
        return self.peer.decrypted(cms_of(mail), self.person)


def signed_part(mail: bytes) -> bytes | None:
    """The exact octets that a clear signature covers; None when *mail* is not clear-signed."""
    boundary = message_from_bytes(mail, policy=policy.SMTP).get_boundary()
    if boundary is None:
        return None
    body = b"\r\n" + mail.partition(b"\r\n\r\n")[2]
    return body.split(b"\r\n--" + boundary.encode())[1].removeprefix(b"\r\n")


def cms_of(mail: bytes) -> bytes:
    """The CMS object of a signed or encrypted *mail*, decoded."""
    parts = [
        part
        for part in message_from_bytes(mail, policy=policy.SMTP).walk()
        if part.get_content_type() in {"application/pkcs7-signature", "application/pkcs7-mime"}
    ]
    octets = parts[-1].get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def shown(mail: bytes) -> Shown:
    """What a person reads and saves: type, character set, file name and decoded octets.

    Line ends of texts count as line ends, however they are written.
    """
    return [
        (
            part.get_content_type(),
            part.get_content_charset(),
            part.get_filename(),
            _octets(part),
        )
        for part in message_from_bytes(mail, policy=policy.SMTP).walk()
        if not part.is_multipart()
    ]


def _octets(part: EmailMessage) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    if part.get_content_maintype() != "text":
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
