"""What signing and encrypting write, and the proof that encrypting gives."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.cms.capabilities import OURS
from smimegw.errors import MIMEError, SignatureError, UnsupportedAlgorithmError
from smimegw.mime.content_type import parse_disposition
from smimegw.mime.entity import Entity
from smimegw.smime.encrypt import Protected, already_protected, encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import verify
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.multiparts import split_multipart
from tests.fakes.pki import NOW, Issued, make_ca
from tests.fakes.smime import (
    ALICE,
    BOB,
    EVIDENCE,
    ISSUING,
    ROOT,
    TEXT,
    address,
    clear_signed,
    encrypted,
    recipient,
    signer,
    whole,
)

UNTIDY = Entity.parse(
    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    "From here on 中文 \r\nmixed\nline ends\r\n".encode()
    + b"x" * 2000
)


def _layer(entity: Entity) -> SignedLayer:
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    return layer


def _filename(entity: Entity) -> str | None:
    field = entity.header.sole("content-disposition")
    assert field is not None
    return dict(parse_disposition(field.body)[1]).get("filename")


# --- signing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "digest", [DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512]
)
def test_clear_form_is_what_every_client_knows(digest: DigestAlgorithm) -> None:
    """multipart/signed with protocol, the digest's micalg and smime.p7s (RFC 8551, 3.5.3)."""
    signed = sign_clear(TEXT, signer(ALICE), now=NOW, digest=digest)
    content_type = signed.content_type
    assert content_type.media_type == "multipart/signed"
    assert content_type.parameter("protocol") == "application/pkcs7-signature"
    assert content_type.parameter("micalg") == digest.micalg
    signature = Entity.parse(split_multipart(signed)[1])
    assert signature.content_type.media_type == "application/pkcs7-signature"
    assert signature.content_type.parameter("name") == "smime.p7s"
    assert _filename(signature) == "smime.p7s"
    assert signature.transfer_encoding == "base64"


def test_opaque_form() -> None:
    """application/pkcs7-mime; smime-type=signed-data; smime.p7m (RFC 8551, 3.5.2)."""
    signed = sign_opaque(TEXT, signer(ALICE), now=NOW)
    assert signed.content_type.media_type == "application/pkcs7-mime"
    assert signed.content_type.parameter("smime-type") == "signed-data"
    assert _filename(signed) == "smime.p7m"


@pytest.mark.parametrize("sign", [sign_clear, sign_opaque])
def test_what_relays_would_change_is_encoded_first(sign: object) -> None:
    """8-bit, long lines, line ends, trailing spaces, "From " (RFC 8551, 3.1; cases G16)."""
    signed = sign(UNTIDY, signer(ALICE), now=NOW)  # type: ignore[operator]
    content = _layer(signed).content.whole()
    assert content.isascii()
    assert b" \r\n" not in content
    assert not re.search(rb"^From |(?<!\r)\n|\r(?!\n)", content, re.MULTILINE)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    text = Entity.parse(content).decoded_body().whole().decode()
    assert text.startswith("From here on 中文 \r\nmixed\r\nline ends\r\nx")


@pytest.mark.parametrize("sign", [sign_clear, sign_opaque])
@pytest.mark.parametrize(
    ("issued", "scheme", "label"),
    [
        (ALICE, None, "rsa-pkcs1v15-sha256"),
        (ALICE, SignatureScheme.RSA_PSS, "rsa-pss-sha256"),
        (BOB, None, "ecdsa-sha256"),
    ],
)
def test_what_is_signed_verifies(
    sign: object, issued: object, scheme: SignatureScheme | None, label: str
) -> None:
    """Every scheme in both forms; time and capabilities are under the signature."""
    signed = sign(TEXT, signer(issued), now=NOW, scheme=scheme)  # type: ignore[operator,arg-type]
    verified = verify(
        _layer(signed),
        EVIDENCE,
        originator=address(issued),
        sender=None,
        now=NOW,  # type: ignore[arg-type]
    )
    assert (verified.label, verified.signing_time) == (label, NOW)
    assert verified.capabilities == OURS
    assert verified.entity.raw == TEXT.raw


def test_encryption_certificate_is_announced() -> None:
    """Who has two certificates says which to answer to (RFC 8551, 2.5.3)."""
    other = ISSUING.issue("alice@ours.example", usage="encrypt")
    signed = sign_clear(TEXT, signer(ALICE), now=NOW, encryption_certificate=other.certificate)
    verified = verify(_layer(signed), EVIDENCE, originator=address(ALICE), sender=None, now=NOW)
    assert verified.encryption_key is not None
    assert verified.encryption_key.matches(other.certificate)


def test_root_is_not_sent() -> None:
    """The issuing CA goes along, the root does not."""
    certificates = _layer(clear_signed()).signed_data.certificates
    assert set(certificates) == {ALICE.certificate, ISSUING.certificate}
    assert ROOT.certificate not in certificates


def test_key_of_another_certificate_makes_no_signature() -> None:
    """A keystore that mixes keys up is found out before mail leaves (RFC 5652, 5.5)."""
    mixed = signer(ALICE)
    other = ISSUING.issue("alice@ours.example", slot="another key")
    wrong = type(mixed)(mixed.certificate, mixed.chain, signer(other).key)
    with pytest.raises(SignatureError):
        sign_clear(TEXT, wrong, now=NOW)


def test_boundary_comes_from_the_random_source() -> None:
    """Chance is an argument."""
    signed = sign_clear(TEXT, signer(ALICE), now=NOW, rng=lambda count: b"\x01" * count)
    assert signed.content_type.boundary.endswith(b"01" * 16)


@pytest.mark.parametrize("label", [b"7bit", b"8bit"], ids=["as it is", "labelled anew"])
def test_a_boundary_that_occurs_in_the_content_is_refused(label: bytes) -> None:
    """The one thing that would cut a signed entity apart (RFC 2046, 5.1.1)."""
    mark = b"--=_smimegw_" + b"00" * 16
    entity = Entity.parse(b"Content-Transfer-Encoding: " + label + b"\r\n\r\n" + mark + b"\r\n")
    with pytest.raises(MIMEError, match="boundary"):
        sign_clear(entity, signer(ALICE), now=NOW, rng=bytes)


# --- encrypting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", list(ContentCipher))
def test_encrypted_form(cipher: ContentCipher) -> None:
    """pkcs7-mime with the smime-type as RFC 8551, 3.2.2 spells it, and smime.p7m."""
    entity = whole(encrypt(TEXT, [recipient(ALICE)], cipher=cipher))
    expected = "authEnveloped-data" if cipher.authenticated else "enveloped-data"
    assert entity.content_type.media_type == "application/pkcs7-mime"
    assert entity.content_type.parameter("smime-type") == expected
    assert entity.content_type.parameter("name") == "smime.p7m"
    assert _filename(entity) == "smime.p7m"
    assert entity.transfer_encoding == "base64"
    assert max(map(len, entity.body.whole().split(b"\r\n"))) <= 76


def test_protected_says_for_whom_and_how() -> None:
    """The proof carries what records need."""
    protected = encrypt(TEXT, [recipient(ALICE), recipient(BOB)], oaep=True)
    assert protected.recipients == (address(ALICE), address(BOB))
    assert protected.cipher_label == "aes-256-cbc"
    assert protected.key_labels == ("rsa-oaep-sha256", "ecdh-sha256kdf")


def test_two_certificates_of_one_mailbox() -> None:
    """During a roll-over both keys can open it, the mailbox is there once (R-09, cases F24)."""
    newer = ISSUING.issue("alice@ours.example", slot="newer key")
    protected = encrypt(TEXT, [recipient(ALICE), recipient(newer)])
    assert protected.recipients == (address(ALICE),)
    assert len(protected.key_labels) == 2


def test_pieces_can_be_read_again() -> None:
    """A retry sends the same octets."""
    protected = encrypt(TEXT, [recipient(ALICE)])
    assert b"".join(protected.pieces()) == b"".join(protected.pieces())


def test_plaintext_is_nowhere_in_the_result() -> None:
    """Neither in the octets nor in the repr."""
    protected = encrypt(TEXT, [recipient(ALICE)])
    assert b"100 EUR" not in whole(protected).decoded_body()
    assert "100 EUR" not in repr(protected)


def test_only_validated_certificates_are_encrypted_to() -> None:
    """A certificate that merely parses is a TypeError (cases G03)."""
    with pytest.raises(TypeError):
        encrypt(TEXT, [ALICE.certificate])  # type: ignore[list-item]


def test_certificate_validated_for_signatures_is_refused() -> None:
    """Proof of one purpose is none of another."""
    evidence = Evidence(
        trust_anchors=(ROOT.certificate,), intermediates=ALICE.chain, crls=EVIDENCE.crls
    )
    proof = validate(
        ALICE.certificate, evidence, purpose=Purpose.SIGNATURE, mailbox=address(ALICE), now=NOW
    )
    with pytest.raises(ValueError, match="another purpose"):
        encrypt(TEXT, [proof])


def test_certificate_validated_for_nobody_is_refused() -> None:
    """Without a mailbox nobody knows who could read it."""
    evidence = Evidence(
        trust_anchors=(ROOT.certificate,), intermediates=ALICE.chain, crls=EVIDENCE.crls
    )
    proof = validate(ALICE.certificate, evidence, purpose=Purpose.ENCRYPTION, mailbox=None, now=NOW)
    with pytest.raises(ValueError, match="no mailbox"):
        encrypt(TEXT, [proof])


def test_nobody_to_encrypt_to() -> None:
    """An empty list is not "encrypted"."""
    with pytest.raises(ValueError, match="nobody"):
        encrypt(TEXT, [])


def test_protected_cannot_be_made_by_hand() -> None:
    """Only `encrypt` makes the proof (cases G03)."""
    with pytest.raises(TypeError):
        Protected(object(), (b"x",), (address(ALICE),), ContentCipher.AES_256_CBC, ())
    with pytest.raises(TypeError):
        Protected()  # type: ignore[call-arg]


def test_key_that_cannot_sign_that_way() -> None:
    """An EC key has no PSS."""
    with pytest.raises(UnsupportedAlgorithmError):
        sign_clear(TEXT, signer(BOB), now=NOW + timedelta(0), scheme=SignatureScheme.RSA_PSS)


def test_recipient_of_an_unknown_authority_never_gets_here() -> None:
    """Without a path there is no ValidatedCertificate, so nothing can be encrypted."""
    from smimegw.errors import CertificateError

    stranger = make_ca("Nobody's CA").issue("alice@ours.example")
    with pytest.raises(CertificateError):
        recipient(stranger)


# --- what the client encrypted itself ----------------------------------------------------------


def _own(*to: Issued) -> EncryptedLayer:
    layer = layer_of(encrypted(TEXT, to))
    assert isinstance(layer, EncryptedLayer)
    return layer


def test_client_s_own_encryption_is_passed_on_unchanged() -> None:
    """Not encrypted twice; the CMS octets stay the client's (R-26)."""
    layer = _own(ALICE, BOB)
    protected = already_protected(layer, [recipient(BOB)])
    assert protected is not None
    assert protected.recipients == (address(BOB),)
    assert whole(protected).decoded_body() == layer.entity.decoded_body()


def test_client_s_encryption_for_somebody_else_does_not_count() -> None:
    """Every recipient of the copy must be named (R-26)."""
    assert already_protected(_own(ALICE), [recipient(BOB)]) is None
    assert already_protected(_own(ALICE), [recipient(ALICE), recipient(BOB)]) is None
    assert already_protected(_own(ALICE), []) is None


def test_one_of_several_certificates_of_a_mailbox_is_enough() -> None:
    """During a roll-over the client knows perhaps only the older one."""
    newer = ISSUING.issue("alice@ours.example", slot="newer key")
    assert already_protected(_own(ALICE), [recipient(ALICE), recipient(newer)]) is not None


def test_client_s_encryption_needs_validated_certificates() -> None:
    """No proof of encryption without proof of whose certificate it is (cases G03)."""
    with pytest.raises(TypeError):
        already_protected(_own(ALICE), [ALICE.certificate])  # type: ignore[list-item]
