"""A small cast and good S/MIME messages, for tests that then break one thing.

layer = layer_of(clear_signed(TEXT, ALICE))
verify(layer, EVIDENCE, originator=address(ALICE), sender=None, now=NOW)
"""

from __future__ import annotations

from collections.abc import Iterable

from smimegw.addresses import Mailbox
from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.content_info import DATA, SIGNED_DATA
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.content import Content
from smimegw.mime.entity import Entity
from smimegw.smime.encrypt import Protected, encrypt
from smimegw.smime.sign import sign_clear
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from tests.fakes.multiparts import split_multipart
from tests.fakes.pki import NOW, Issued, make_ca

ROOT = make_ca("S/MIME Root")
ISSUING = make_ca("S/MIME Issuing", parent=ROOT)
ALICE = ISSUING.issue("alice@ours.example")
BOB = ISSUING.issue("bob@partner.example", key="p256")
EVE = ISSUING.issue("eve@evil.example", key="p256")
"""A good certificate of a good CA, in bad hands."""

EVIDENCE = Evidence(trust_anchors=(ROOT.certificate,), crls=(ROOT.crl(), ISSUING.crl()))

TEXT = Entity.parse(b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe price is 100 EUR.\r\n")


def address(issued: Issued) -> Mailbox:
    """The mailbox of a certificate."""
    return issued.certificate.mailboxes[0]


def signer(issued: Issued) -> SigningCredential:
    """Someone's signing credential."""
    return SigningCredential(issued.certificate, issued.chain, SoftwareSigningKey(issued.key))


def reader(issued: Issued) -> DecryptionCredential:
    """Someone's decryption credential."""
    return DecryptionCredential(issued.certificate, SoftwareDecryptionKey(issued.key))


def recipient(issued: Issued, evidence: Evidence = EVIDENCE) -> ValidatedCertificate:
    """Someone's certificate, validated for encryption."""
    return validate(
        issued.certificate,
        Evidence(
            trust_anchors=evidence.trust_anchors,
            intermediates=issued.chain,
            crls=evidence.crls,
        ),
        purpose=Purpose.ENCRYPTION,
        mailbox=address(issued),
        now=NOW,
    )


def clear_signed(entity: Entity = TEXT, by: Issued = ALICE) -> Entity:
    """A good multipart/signed entity."""
    return sign_clear(entity, signer(by), now=NOW)


def encrypted(
    entity: Entity = TEXT,
    to: Iterable[Issued] = (ALICE,),
    cipher: ContentCipher = ContentCipher.AES_256_CBC,
) -> Entity:
    """A good enveloped entity."""
    return whole(encrypt(entity, [recipient(issued) for issued in to], cipher=cipher))


def whole(protected: Protected) -> Entity:
    """A Protected value as the entity that a reader gets."""
    return Entity(protected.header, b"".join(protected.pieces()))


def signature_of(signed: Entity) -> bytes:
    """The detached SignedData of a multipart/signed entity."""
    return Entity.parse(split_multipart(signed)[1]).decoded_body().whole()


def pkcs7(octets: bytes, content_type: bytes = b"application/pkcs7-mime") -> Entity:
    """CMS octets under any Content-Type, sent as binary."""
    header = b"Content-Type: " + content_type + b"\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    return Entity.parse(header + b"".join(Content.of(octets)))


def multipart_signed(
    content: bytes,
    signature: bytes,
    *,
    parameters: bytes = b'protocol="application/pkcs7-signature"; micalg=sha-256',
    signature_type: bytes = b"application/pkcs7-signature",
) -> Entity:
    """A multipart/signed entity of any two parts."""
    content, signature = b"".join(Content.of(content)), b"".join(Content.of(signature))
    return Entity.parse(
        b"Content-Type: multipart/signed; " + parameters + b'; boundary="frontier"\r\n\r\n'
        b"--frontier\r\n" + content + b"\r\n--frontier\r\n"
        b"Content-Type: " + signature_type + b"\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        + signature + b"\r\n--frontier--\r\n"
    )  # fmt: skip


def assembled(
    *signed: bytes,
    encapsulated: bytes | None = None,
    certificates: Iterable[Certificate] | None = None,
    signer_infos: Iterable[bytes] | None = None,
    revocation: Iterable[bytes] = (),
) -> bytes:
    """SignedData put together from others, as an attacker would.

    Args:
        signed: ContentInfos whose SignerInfos and certificates are taken.
        encapsulated: Content to carry; None for a detached signature.
        certificates: These instead of all.
        signer_infos: These (DER) instead of all.
        revocation: RevocationInfoChoices (DER).
    """
    digests: list[bytes] = []
    infos: list[bytes] = []
    found: list[bytes] = []
    for octets in signed:
        outer = asn1.read_document(octets).children()
        outer.read()
        fields = outer.read().children().read().children()
        fields.read()
        digests += _members(fields.read())
        fields.read()
        found += _members(fields.read(0xA0))
        infos += _members(fields.read())
    if certificates is not None:
        found = [certificate.der for certificate in certificates]
    if signer_infos is not None:
        infos = list(signer_infos)
    content = b""
    if encapsulated is not None:
        content = der.explicit(0, der.octet_string(encapsulated))
    signed_data = der.sequence(
        der.integer(1),
        der.set_of(set(digests)),
        der.sequence(der.oid(DATA), content),
        der.value(0xA0, *found),
        *([der.value(0xA1, *choices)] if (choices := list(revocation)) else []),
        der.value(asn1.SET, *infos),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.explicit(0, signed_data))


def signer_infos_of(octets: bytes) -> list[bytes]:
    """The SignerInfos of a ContentInfo, DER."""
    outer = asn1.read_document(octets).children()
    outer.read()
    fields = outer.read().children().read().children()
    for _ in range(4):
        fields.read()
    return _members(fields.read())


def _members(element: asn1.Element) -> list[bytes]:
    reader, found = element.children(), []
    while not reader.at_end:
        found.append(reader.read().encoded)
    return found
