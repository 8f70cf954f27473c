"""Message structures of the RFCs' examples, built here: RFC 4134, 4 and 5; RFC 2634; RFC 9216.

The examples themselves are old (SHA-1, 1,024 bits) or use fixed dates; their shapes are what a
reader must know, so the shapes are made anew with keys of today.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.cms import asn1, der
from smimegw.cms.content_info import DATA
from smimegw.errors import VerificationError
from smimegw.mime.entity import Entity
from smimegw.mime.lines import with_crlf
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import VerifiedContent, inner_entity, verify
from smimegw.x509.evidence import Evidence
from tests.fakes.pki import NOW, make_ca
from tests.fakes.smime import (
    ALICE,
    BOB,
    EVIDENCE,
    TEXT,
    address,
    assembled,
    clear_signed,
    encrypted,
    multipart_signed,
    pkcs7,
    reader,
    recipient,
    signer,
    signer_infos_of,
    whole,
)
from tests.interop.openssl import Files, openssl


def signed_layer(entity: Entity) -> SignedLayer:
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    return layer


def encrypted_layer(entity: Entity) -> EncryptedLayer:
    layer = layer_of(entity)
    assert isinstance(layer, EncryptedLayer)
    return layer


def judged(entity: Entity) -> VerifiedContent:
    return verify(signed_layer(entity), EVIDENCE, originator=address(ALICE), sender=None, now=NOW)


@pytest.fixture
def alice(tmp_path: Path) -> Files:
    """Alice's PEM files."""
    return Files.of(ALICE, tmp_path, "alice")


def _signed(alice: Files, *options: str | Path) -> bytes:
    return openssl(
        "cms", "-sign", "-binary", "-outform", "DER", "-signer", alice.certificate,
        "-inkey", alice.key, "-certfile", alice.chain, *options, stdin=TEXT.raw,
    )  # fmt: skip


# --- RFC 4134, 4: SignedData ---------------------------------------------------------------------


def test_basic_signed_content_without_attributes(alice: Files) -> None:
    """RFC 4134, 4.1: encapsulated, no signed attributes."""
    assert judged(pkcs7(_signed(alice, "-nodetach", "-noattr"))).entity.raw == TEXT.raw


def test_detached_signed_content(alice: Files) -> None:
    """RFC 4134, 4.3: no content inside."""
    assert judged(multipart_signed(TEXT.raw, _signed(alice))).entity.raw == TEXT.raw


def test_signer_named_by_key_identifier(alice: Files) -> None:
    """RFC 4134, 4.7: SignerInfo version 3."""
    assert judged(pkcs7(_signed(alice, "-nodetach", "-keyid"))).entity.raw == TEXT.raw


def test_two_signers(alice: Files, tmp_path: Path) -> None:
    """RFC 4134, 4.5: read, and not shown as either's (R-42)."""
    bob = Files.of(BOB, tmp_path, "bob")
    octets = _signed(alice, "-nodetach", "-signer", bob.certificate, "-inkey", bob.key)
    assert len(signed_layer(pkcs7(octets)).signed_data.signer_infos) == 2
    with pytest.raises(VerificationError, match="policy signers"):
        judged(pkcs7(octets))


def test_unsigned_attributes_do_not_disturb(alice: Files) -> None:
    """RFC 4134, 4.4: a countersignature or anything else outside the signature."""
    octets = _signed(alice)
    attribute = der.sequence(der.oid("1.2.3.4"), der.set_of([der.octet_string(b"added")]))
    info = signer_infos_of(octets)[0]
    header = 4 if info[1] == 0x82 else 3
    changed = der.sequence(info[header:], der.value(0xA1, attribute))
    octets = assembled(octets, signer_infos=[changed])
    assert judged(multipart_signed(TEXT.raw, octets)).entity.raw == TEXT.raw


def test_multipart_signed_message(alice: Files) -> None:
    """RFC 4134, 4.8."""
    octets = openssl(
        "cms", "-sign", "-signer", alice.certificate, "-inkey", alice.key,
        "-certfile", alice.chain, stdin=TEXT.raw,
    )  # fmt: skip
    assert judged(Entity.parse(with_crlf(octets))).entity.raw == TEXT.raw


def test_certificates_only_message(alice: Files, tmp_path: Path) -> None:
    """RFC 4134, 4.11, made by openssl: no signer, so no result (cases I13)."""
    octets = openssl(
        "crl2pkcs7", "-nocrl", "-certfile", alice.chain, "-certfile", alice.certificate,
        "-outform", "DER",
    )  # fmt: skip
    layer = signed_layer(pkcs7(octets, b"application/pkcs7-mime; smime-type=certs-only"))
    assert ALICE.certificate in layer.signed_data.certificates
    with pytest.raises(VerificationError, match="none no-signer"):
        judged(pkcs7(octets))


def test_certificates_and_revocation_lists(alice: Files, tmp_path: Path) -> None:
    """RFC 4134, 4.2: CRLs along with the certificates."""
    crl = tmp_path / "crl"
    crl.write_bytes(EVIDENCE.crls[0])
    octets = openssl(
        "crl2pkcs7", "-inform", "DER", "-in", crl, "-certfile", alice.certificate, "-outform", "DER"
    )
    assert signed_layer(pkcs7(octets)).signed_data.crls == (EVIDENCE.crls[0],)


def test_content_info_that_holds_data_is_no_layer() -> None:
    """RFC 4134, 3.1: id-data alone."""
    octets = der.sequence(der.oid(DATA), der.explicit(0, der.octet_string(TEXT.raw)))
    assert layer_of(pkcs7(octets)) is None


# --- RFC 4134, 5: EnvelopedData ------------------------------------------------------------------


def test_basic_encrypted_content() -> None:
    """RFC 4134, 5.1."""
    assert decrypt(encrypted_layer(encrypted()), [reader(ALICE)]).entity.raw == TEXT.raw


def test_encrypted_content_with_unprotected_attributes() -> None:
    """RFC 4134, 5.2: EnvelopedData version 2 with attributes that nobody vouches for."""
    outer = asn1.read_document(encrypted().decoded_body()).children()
    kind = outer.read().encoded
    fields = outer.read().children().read().children()
    members = []
    while not fields.at_end:
        members.append(fields.read().encoded)
    attribute = der.sequence(der.oid("1.2.3.4"), der.set_of([der.octet_string(b"hint")]))
    enveloped = der.sequence(der.integer(2), *members[1:], der.value(0xA1, attribute))
    octets = der.sequence(kind, der.explicit(0, enveloped))
    assert decrypt(encrypted_layer(pkcs7(octets)), [reader(ALICE)]).entity.raw == TEXT.raw


# --- RFC 2634, 1.1: triple wrapping --------------------------------------------------------------


@pytest.mark.parametrize("sign", [sign_clear, sign_opaque])
def test_signed_encrypted_signed(sign: object) -> None:
    """Three layers, each opened with what the one before gave."""
    inner = sign(TEXT, signer(ALICE), now=NOW)  # type: ignore[operator]
    sealed = whole(encrypt(inner, [recipient(BOB)]))
    outer = sign(sealed, signer(ALICE), now=NOW)  # type: ignore[operator]
    middle = judged(outer).entity
    assert middle.raw == sealed.raw
    opened = decrypt(encrypted_layer(middle), [reader(BOB)])
    assert judged(opened.entity).entity.raw == TEXT.raw


def test_encrypted_in_signed_shows_through_a_broken_signature() -> None:
    """A failed outer layer does not keep the inner one from being looked at."""
    outer = clear_signed(encrypted())
    changed = outer.body.whole().replace(b"smime.p7m", b"smime.P7M")
    layer = signed_layer(Entity(outer.header, changed))
    with pytest.raises(VerificationError, match="fail digest"):
        verify(layer, EVIDENCE, originator=address(ALICE), sender=None, now=NOW)
    assert decrypt(encrypted_layer(inner_entity(layer)), [reader(ALICE)]).entity.raw == TEXT.raw


# --- RFC 9216: sample people ---------------------------------------------------------------------


def test_people_with_separate_keys_under_an_rsa_authority() -> None:
    """RFC 9216, 4 and 5: one RSA CA; Alice and Bob each with a signing and an encryption key."""
    ca = make_ca("Sample LAMPS RSA CA", key="rsa")
    evidence = Evidence(trust_anchors=(ca.certificate,), crls=(ca.crl(),))
    alice = ca.issue("alice@smime.example", usage="sign")
    alice_reads = ca.issue("alice@smime.example", usage="encrypt")
    bob_reads = ca.issue("bob@smime.example", usage="encrypt")
    signed = sign_clear(
        TEXT, signer(alice), now=NOW, encryption_certificate=alice_reads.certificate
    )
    sealed = whole(
        encrypt(signed, [recipient(bob_reads, evidence), recipient(alice_reads, evidence)])
    )
    for person in (bob_reads, alice_reads):
        opened = decrypt(encrypted_layer(sealed), [reader(person)])
        verified = verify(
            signed_layer(opened.entity),
            evidence,
            originator=address(alice),
            sender=None,
            now=NOW,
        )
        assert verified.entity.raw == TEXT.raw
        assert verified.encryption_key is not None
        assert verified.encryption_key.matches(alice_reads.certificate)
