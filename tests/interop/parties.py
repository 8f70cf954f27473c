"""Other programs as writers and readers of CMS: four of them behind one interface.

party = OpenSSLParty(directory)
content = party.opened(algorithm, ours, alice)        # AssertionError or RefusalError: it refuses
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from smimegw.cms.algorithms import KeyEncryption, SignatureScheme
from tests.fakes.pki import Issued
from tests.interop.gnupg import GnuPG
from tests.interop.matrix import Encryption, Signature
from tests.interop.nss import NSS, nss
from tests.interop.openssl import Files, openssl
from tests.peers.bouncy_castle import BouncyCastle


class Party(Protocol):
    """A program that signs, verifies, encrypts and decrypts."""

    def signed(self, algorithm: Signature, content: bytes, signer: Issued) -> bytes:
        """SignedData with the content inside."""

    def verified(self, algorithm: Signature, cms: bytes, signer: Issued) -> bytes:
        """The content of *cms*, signed by *signer*."""

    def encrypted(self, algorithm: Encryption, content: bytes, recipient: Issued) -> bytes:
        """EnvelopedData or AuthEnvelopedData."""

    def decrypted(self, algorithm: Encryption, cms: bytes, recipient: Issued) -> bytes:
        """The content of *cms*, read with the key of *recipient*."""

    def compressed(self, content: bytes) -> bytes:
        """CompressedData."""


@dataclass(frozen=True)
class OpenSSLParty:
    """``openssl cms``."""

    directory: Path

    def signed(self, algorithm: Signature, content: bytes, signer: Issued) -> bytes:
        files = self._files(signer)
        pss = algorithm.scheme is SignatureScheme.RSA_PSS
        return openssl(
            *("cms", "-sign", "-binary", "-nodetach", "-outform", "DER"),
            *("-md", algorithm.digest.value, "-signer", files.certificate, "-inkey", files.key),
            *(("-keyopt", "rsa_padding_mode:pss") if pss else ()),
            stdin=content,
        )

    def verified(self, algorithm: Signature, cms: bytes, signer: Issued) -> bytes:
        root = self._files(signer).root
        command = ("cms", "-verify", "-binary", "-inform", "DER", "-CAfile", root)
        return openssl(*command, stdin=cms)

    def encrypted(self, algorithm: Encryption, content: bytes, recipient: Issued) -> bytes:
        name = {"des-ede3-cbc": "des3", "rc2-128-cbc": "rc2"}.get(
            algorithm.cipher.label, algorithm.cipher.label
        )
        command: list[str | Path] = ["cms", "-encrypt", "-binary", "-outform", "DER", f"-{name}"]
        if algorithm.cipher.is_weak:
            command += ["-provider", "legacy", "-provider", "default"]
        if algorithm.key_encryption.is_agreement and not algorithm.cipher.is_weak:
            command += [f"-aes{8 * algorithm.wrap.key_octets}-wrap"]
        command += ["-recip", self._files(recipient).certificate]
        for option in _key_options(algorithm):
            command += ["-keyopt", option]
        return openssl(*command, stdin=content)

    def decrypted(self, algorithm: Encryption, cms: bytes, recipient: Issued) -> bytes:
        files = self._files(recipient)
        command = ("cms", "-decrypt", "-binary", "-inform", "DER")
        own = ("-recip", files.certificate, "-inkey", files.key)
        return openssl(*command, *own, stdin=cms)

    def compressed(self, content: bytes) -> bytes:
        return openssl("cms", "-compress", "-binary", "-outform", "DER", stdin=content)

    def _files(self, person: Issued) -> Files:
        return Files.of(person, self.directory, f"{person.certificate.serial_number:x}")


def _key_options(algorithm: Encryption) -> list[str]:
    digest = algorithm.key_encryption.digest
    if digest is None:
        return []
    if algorithm.key_encryption.is_agreement:
        cofactor = ["ecdh_cofactor_mode:1"] if algorithm.cofactor else []
        return [f"ecdh_kdf_md:{digest.value}", *cofactor]
    assert algorithm.mask is not None
    masks = f"rsa_mgf1_md:{algorithm.mask.value}"
    return ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest.value}", masks]


@dataclass(frozen=True)
class GnuPGParty:
    """gpgsm; *home* has RSA keys and knows everybody's certificate."""

    home: GnuPG

    def signed(self, algorithm: Signature, content: bytes, signer: Issued) -> bytes:
        options = ("--local-user", _address(signer), "--digest-algo", algorithm.digest.value)
        return self.home.run("--sign", *options, stdin=content)[0]

    def verified(self, algorithm: Signature, cms: bytes, signer: Issued) -> bytes:
        content, status = self.home.run("--output", "-", "--verify", stdin=cms)
        assert "GOODSIG" in status, status
        assert "TRUST_FULLY" in status, status
        return content

    def encrypted(self, algorithm: Encryption, content: bytes, recipient: Issued) -> bytes:
        names = {"aes-128-cbc": "AES", "aes-192-cbc": "AES192", "aes-256-cbc": "AES256"}
        names["des-ede3-cbc"] = "3DES"
        label = algorithm.cipher.label
        options = ("--cipher-algo", names.get(label, label), "--recipient", _address(recipient))
        return self.home.run("--encrypt", *options, stdin=content)[0]

    def decrypted(self, algorithm: Encryption, cms: bytes, recipient: Issued) -> bytes:
        return self.home.run("--decrypt", stdin=cms)[0]

    def compressed(self, content: bytes) -> bytes:
        raise AssertionError("gpgsm has no command for it")


@dataclass(frozen=True)
class NSSParty:
    """``cmsutil``, with a database for each person."""

    stack: contextlib.ExitStack
    databases: dict[str, NSS] = field(default_factory=dict)

    def signed(self, algorithm: Signature, content: bytes, signer: Issued) -> bytes:
        digest = algorithm.digest.value.upper()
        return self._of(signer).signed(_address(signer), content, digest=digest)

    def verified(self, algorithm: Signature, cms: bytes, signer: Issued) -> bytes:
        return self._of(signer).verified(cms)

    def encrypted(self, algorithm: Encryption, content: bytes, recipient: Issued) -> bytes:
        return self._of(recipient).encrypted([_address(recipient)], content)

    def decrypted(self, algorithm: Encryption, cms: bytes, recipient: Issued) -> bytes:
        return self._of(recipient).opened(cms)

    def compressed(self, content: bytes) -> bytes:
        raise AssertionError("cmsutil has no command for it")

    def _of(self, person: Issued) -> NSS:
        address = _address(person)
        if address not in self.databases:
            self.databases[address] = self.stack.enter_context(nss(person))
        return self.databases[address]


_ECDH = {  # RFC 5753, 7.1.4: standard, cofactor
    "sha1": ("1.3.133.16.840.63.0.2", "1.3.133.16.840.63.0.3"),
    "sha256": ("1.3.132.1.11.1", "1.3.132.1.14.1"),
    "sha384": ("1.3.132.1.11.2", "1.3.132.1.14.2"),
    "sha512": ("1.3.132.1.11.3", "1.3.132.1.14.3"),
}
_HKDF = {  # RFC 8418, 2.2
    "sha256": "1.2.840.113549.1.9.16.3.19",
    "sha384": "1.2.840.113549.1.9.16.3.20",
    "sha512": "1.2.840.113549.1.9.16.3.21",
}


@dataclass(frozen=True)
class BouncyCastleParty:
    """Bouncy Castle for Java."""

    peer: BouncyCastle

    def signed(self, algorithm: Signature, content: bytes, signer: Issued) -> bytes:
        return self.peer.signed(signature_name(algorithm), content, signer, form=["opaque"])

    def verified(self, algorithm: Signature, cms: bytes, signer: Issued) -> bytes:
        return self.peer.verified(cms, root=signer.chain[-1])

    def encrypted(self, algorithm: Encryption, content: bytes, recipient: Issued) -> bytes:
        is_rc2 = algorithm.cipher.label.startswith("rc2")
        key_bits = 8 * algorithm.cipher.key_octets if is_rc2 else None
        recipients = [(recipient, recipient_method(algorithm))]
        return self.peer.encrypted(algorithm.cipher.oid, content, recipients, key_bits=key_bits)

    def decrypted(self, algorithm: Encryption, cms: bytes, recipient: Issued) -> bytes:
        method = recipient_method(algorithm).partition(" ")[0]
        return self.peer.decrypted(cms, recipient, method=method)

    def compressed(self, content: bytes) -> bytes:
        return self.peer.compressed(content)


def signature_name(algorithm: Signature) -> str:
    """Java's name of a signature algorithm."""
    if algorithm.scheme.is_pure:
        return algorithm.scheme.value.capitalize()
    suffix = {
        SignatureScheme.RSA_PKCS1V15: "RSA",
        SignatureScheme.RSA_PSS: "RSAandMGF1",
        SignatureScheme.ECDSA: "ECDSA",
    }[algorithm.scheme]
    return f"{algorithm.digest.value.upper()}with{suffix}"


def recipient_method(algorithm: Encryption) -> str:
    """How Envelopes.java is to make the RecipientInfo."""
    digest = algorithm.key_encryption.digest
    if algorithm.key_encryption is KeyEncryption.RSA_PKCS1V15 or digest is None:
        return "pkcs1"
    if not algorithm.key_encryption.is_agreement:
        assert algorithm.mask is not None
        return " ".join(
            ["oaep", *(name.value.replace("sha", "SHA-") for name in (digest, algorithm.mask))]
        )
    if algorithm.key_encryption.is_hkdf:
        return f"agree {_HKDF[digest.value]} {algorithm.wrap.oid}"
    scheme = _ECDH[digest.value][algorithm.cofactor]
    word = "agree" if algorithm.key.startswith("x") else "ecdh"
    return f"{word} {scheme} {algorithm.wrap.oid}"


def _address(person: Issued) -> str:
    return person.certificate.mailboxes[0].address
