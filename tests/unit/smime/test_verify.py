"""When a signature counts, and the word for every way in which it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.addresses import Mailbox
from smimegw.cms import der
from smimegw.cms.content_info import DATA
from smimegw.errors import VerificationError
from smimegw.mime.entity import Entity
from smimegw.mime.headers import parse_header_section
from smimegw.smime.media_types import SignedForm, SignedLayer, layer_of
from smimegw.smime.report import report_unverified
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import VerifiedContent, identity_of, inner_entity, verify
from smimegw.x509.cache import ValidationCache
from smimegw.x509.certificate import Certificate
from smimegw.x509.path import ValidatedCertificate
from tests.fakes.pki import (
    ANY_PURPOSE,
    DAY,
    NOW,
    SERVER_AUTH,
    Issued,
    make_ca,
    raw_rfc822,
    smtp_utf8,
)
from tests.fakes.smime import (
    ALICE,
    BOB,
    EVE,
    EVIDENCE,
    ISSUING,
    ROOT,
    TEXT,
    address,
    assembled,
    clear_signed,
    multipart_signed,
    pkcs7,
    signature_of,
    signer,
    signer_infos_of,
)

SIGNATURE = signature_of(clear_signed())


def judged(entity: Entity, **changes: Any) -> VerifiedContent:
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    arguments: dict[str, Any] = {"originator": address(ALICE), "sender": None, "now": NOW}
    evidence = changes.pop("evidence", EVIDENCE)
    return verify(layer, evidence, **(arguments | changes))


def word(entity: Entity, **changes: Any) -> tuple[str, str]:
    with pytest.raises(VerificationError) as caught:
        judged(entity, **changes)
    return caught.value.result, caught.value.reason


def by(issued: Issued) -> tuple[Entity, Mailbox]:
    return clear_signed(TEXT, issued), address(issued)


# --- pass ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [sign_clear, sign_opaque])
@pytest.mark.parametrize("issued", [ALICE, BOB], ids=["rsa", "p256"])
def test_good_signature_is_proof(sign: Any, issued: Issued) -> None:
    """Valid, trusted and from the originator (R-40, cases I01)."""
    verified = judged(sign(TEXT, signer(issued), now=NOW), originator=address(issued))
    assert isinstance(verified.signer, ValidatedCertificate)
    assert verified.signer.certificate == issued.certificate
    assert verified.mailbox == address(issued)
    assert verified.entity.raw == TEXT.raw
    assert verified.notes == ()


def test_form_is_told() -> None:
    """Clear-signed mail is delivered unchanged, opaque is unwrapped: the caller must know."""
    assert judged(clear_signed()).form is SignedForm.CLEAR
    assert judged(sign_opaque(TEXT, signer(ALICE), now=NOW)).form is SignedForm.OPAQUE


def test_mailbox_is_the_certificate_s_spelling() -> None:
    """The identifier shown is what the CA wrote, not what the sender typed."""
    verified = judged(clear_signed(), originator=Mailbox.parse("ALICE@Ours.Example"))
    assert verified.mailbox.address == "alice@ours.example"


def test_display_name_plays_no_part() -> None:
    """Only the address behind it is compared (RFC 8550, 3)."""
    header = parse_header_section(f"From: Bob Baker <{address(ALICE)}>\r\n".encode())
    originator, sender = identity_of(header)
    assert judged(clear_signed(), originator=originator, sender=sender)


def test_sender_that_is_the_originator() -> None:
    """Sender equal to From is redundant and harmless."""
    assert judged(clear_signed(), sender=Mailbox.parse("Alice@ours.example"))


def test_second_address_of_the_certificate_counts() -> None:
    """Any address of the subjectAltName may be the originator."""
    names = [raw_rfc822("alice@ours.example"), raw_rfc822("sales@ours.example")]
    entity, _ = by(ISSUING.issue(san=names))
    assert (
        judged(entity, originator=Mailbox.parse("sales@ours.example")).mailbox.local_part == "sales"
    )


def test_international_address() -> None:
    """SmtpUTF8Mailbox with an IDN domain (RFC 9598)."""
    issued = ISSUING.issue("用户@例子.example", san=[smtp_utf8("用户@xn--fsqu00a.example")])
    assert judged(clear_signed(TEXT, issued), originator=Mailbox.parse("用户@例子.example"))


def test_intermediate_from_the_message_is_used() -> None:
    """The issuing CA comes with the signature, as is usual."""
    assert ISSUING.certificate not in EVIDENCE.intermediates
    assert len(judged(clear_signed()).signer.path) == 3


def test_many_addresses_in_one_certificate() -> None:
    """117 addresses, as a published sample has (cases I24)."""
    names = [raw_rfc822(f"user{number}@ours.example") for number in range(117)]
    entity, _ = by(ISSUING.issue(san=names))
    assert judged(entity, originator=Mailbox.parse("user116@ours.example"))


@pytest.mark.parametrize("micalg", [b"sha-1", b"md5", b"sha-512", b"", b"unknown,sha-384"])
def test_wrong_micalg_is_noted_and_not_trusted(micalg: bytes) -> None:
    """The digest that counts is the SignerInfo's (RFC 8551, 3.5.3.2; cases H23)."""
    parameters = b'protocol="application/pkcs7-signature"; micalg="' + micalg + b'"'
    verified = judged(multipart_signed(TEXT.raw, SIGNATURE, parameters=parameters))
    assert (verified.label, verified.notes) == ("rsa-pkcs1v15-sha256", ("micalg-mismatch",))


@pytest.mark.parametrize("micalg", [b"sha256", b"SHA-256", b"sha-1,sha-256"])
def test_other_spellings_of_micalg_are_no_oddity(micalg: bytes) -> None:
    """Old programs leave the hyphen out; several digests may be listed."""
    parameters = b'protocol="application/pkcs7-signature"; micalg="' + micalg + b'"'
    assert judged(multipart_signed(TEXT.raw, SIGNATURE, parameters=parameters)).notes == ()


def test_purposes_that_allow_mail() -> None:
    """anyExtendedKeyUsage, or no extension at all (RFC 8550, 4.4.4)."""
    for eku in ([ANY_PURPOSE], None):
        entity, who = by(ISSUING.issue("alice@ours.example", eku=eku))
        assert judged(entity, originator=who)


# --- content and signature -----------------------------------------------------------------------


def _replaced(old: bytes, new: bytes) -> Entity:
    entity = clear_signed()
    assert old in entity.body
    return replace(entity, body=entity.body.whole().replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"100 EUR", b"900 EUR"),
        (b"EUR.\r\n", b"EUR. \r\n"),
        (b"EUR.\r\n", b"EUR.\r\n\r\n"),
        (b"charset=utf-8", b"charset=UTF-8"),
    ],
    ids=["text", "trailing-space", "extra-line", "header"],
)
def test_changed_content(old: bytes, new: bytes) -> None:
    """One octet is enough, also white space that a relay changed (R-41, cases I03)."""
    assert word(_replaced(old, new)) == ("fail", "digest")


def test_signature_of_other_content() -> None:
    """A real signature cut out of another mail."""
    other = Entity.parse(b"Content-Type: text/plain\r\n\r\nYes.\r\n")
    assert word(multipart_signed(other.raw, SIGNATURE)) == ("fail", "digest")


def test_changed_signature_value() -> None:
    """The mathematics fail."""
    octets = bytearray(SIGNATURE)
    octets[-1] ^= 1
    assert word(multipart_signed(TEXT.raw, bytes(octets))) == ("fail", "signature")


def test_embedded_other_content() -> None:
    """A detached signature that carries what it really signed (cases H21)."""
    other = Entity.parse(b"Content-Type: text/plain\r\n\r\nYes.\r\n")
    signature = signature_of(clear_signed(other))
    octets = assembled(signature, encapsulated=other.raw)
    assert word(multipart_signed(TEXT.raw, octets)) == ("fail", "mismatch")


def test_embedded_same_content() -> None:
    """The detached form has no embedded content, not even the same."""
    octets = assembled(SIGNATURE, encapsulated=TEXT.raw)
    assert word(multipart_signed(TEXT.raw, octets)) == ("policy", "mismatch")


def test_opaque_without_content() -> None:
    """A detached signature alone in pkcs7-mime signs nothing that could be shown."""
    assert word(pkcs7(SIGNATURE)) == ("permerror", "no-content")


# --- signers -------------------------------------------------------------------------------------


def test_certificates_only() -> None:
    """No signer is no signature (cases I13)."""
    octets = assembled(SIGNATURE, signer_infos=[])
    assert word(multipart_signed(TEXT.raw, octets)) == ("none", "no-signer")
    assert word(pkcs7(assembled(SIGNATURE, signer_infos=[], encapsulated=TEXT.raw))) == (
        "none",
        "no-signer",
    )


@pytest.mark.parametrize("order", [(ALICE, EVE), (EVE, ALICE), (ALICE, ALICE)])
def test_two_signers(order: tuple[Issued, Issued]) -> None:
    """Whose signature would be shown? (R-42)"""
    octets = assembled(*(signature_of(clear_signed(TEXT, issued)) for issued in order))
    assert word(multipart_signed(TEXT.raw, octets)) == ("policy", "signers")


def test_each_of_several_signers_is_reported() -> None:
    """Never passed, but told: one holds, one signed other content, one is unknown (R-42)."""
    other = signature_of(clear_signed(Entity.parse(b"\r\nother\r\n"), EVE))
    stranger = make_ca("Stranger CA").issue("carol@third.example")
    unknown = signature_of(clear_signed(TEXT, stranger))
    octets = assembled(
        *(SIGNATURE, other, unknown),
        certificates=[ALICE.certificate, EVE.certificate],
        signer_infos=[info for one in (SIGNATURE, other, unknown) for info in signer_infos_of(one)],
    )
    layer = layer_of(multipart_signed(TEXT.raw, octets))
    assert isinstance(layer, SignedLayer)
    with pytest.raises(VerificationError) as caught:
        verify(layer, EVIDENCE, originator=address(ALICE), sender=None, now=NOW)
    assert caught.value.labels == {"signers": "intact,digest,no-certificate"}
    assert report_unverified(0, caught.value).signers == "intact,digest,no-certificate"


def test_content_of_another_type_is_no_mail() -> None:
    """What the signer once signed for another end is not his mail (RFC 8551, 2.4.1)."""
    octets = assembled(SIGNATURE, encapsulated=TEXT.raw).replace(
        der.oid(DATA) + der.explicit(0, der.octet_string(TEXT.raw)),
        der.oid("1.2.840.113549.1.7.5") + der.explicit(0, der.octet_string(TEXT.raw)),
    )
    assert word(pkcs7(octets)) == ("policy", "content-type")


def test_signer_s_certificate_is_missing() -> None:
    """Without it nothing can be said."""
    octets = assembled(SIGNATURE, certificates=[ISSUING.certificate])
    assert word(multipart_signed(TEXT.raw, octets)) == ("policy", "no-certificate")


# --- identity ------------------------------------------------------------------------------------


def test_signed_by_somebody_else() -> None:
    """A good signature by eve under alice's name (R-42)."""
    assert word(clear_signed(TEXT, EVE)) == ("fail", "from-mismatch")


def test_no_usable_from() -> None:
    """The caller found no single mailbox."""
    assert word(clear_signed(), originator=None) == ("fail", "from")


def test_sender_is_somebody_else() -> None:
    """Sender must be absent or equal."""
    assert word(clear_signed(), sender=address(EVE)) == ("fail", "sender-mismatch")


def test_strict_local_part() -> None:
    """Per domain, the case of the local part counts."""
    upper = Mailbox.parse("Alice@ours.example")
    assert judged(clear_signed(), originator=upper)
    assert word(clear_signed(), originator=upper, strict_local_part=True) == (
        "fail",
        "from-mismatch",
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"From: Alice <alice@ours.example>\r\n", ("alice@ours.example", None)),
        (
            b"From: alice@ours.example\r\nSender: bob@partner.example\r\n",
            ("alice@ours.example", "bob@partner.example"),
        ),
    ],
)
def test_identity(fields: bytes, expected: tuple[str, str | None]) -> None:
    """One From, at most one Sender."""
    originator, sender = identity_of(parse_header_section(fields))
    assert (originator.address, sender.address if sender else None) == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (b"Subject: x\r\n", "from"),
        (b"From: alice@ours.example\r\nFrom: eve@evil.example\r\n", "from"),
        (b"From : alice@ours.example\r\n", "from"),
        (b"From: alice@ours.example\r\nSender: a@b.example, c@d.example\r\n", "sender-mismatch"),
        (b"From: alice@ours.example\r\nSender:\r\n", "sender-mismatch"),
        (
            b"From: alice@ours.example\r\nSender: a@b.example\r\nSender: a@b.example\r\n",
            "sender-mismatch",
        ),
    ],
)
def test_identity_that_is_none(fields: bytes, reason: str) -> None:
    """A malformed Sender is not an absent one."""
    with pytest.raises(VerificationError) as caught:
        identity_of(parse_header_section(fields))
    assert (caught.value.result, caught.value.reason) == ("fail", reason)


# --- certificates --------------------------------------------------------------------------------


def test_unknown_authority() -> None:
    """R-43, cases I17."""
    entity, who = by(make_ca("Unknown CA").issue("alice@ours.example"))
    assert word(entity, originator=who) == ("policy", "untrusted-ca")


def test_self_signed_certificate() -> None:
    """Cases I17."""
    own = make_ca("alice", ca=False, usage=None, extensions=[_alternative("alice@ours.example")])
    entity = clear_signed(TEXT, own)
    assert word(entity) == ("policy", "untrusted-ca")


def _alternative(name: str) -> Any:
    return x509.SubjectAlternativeName([x509.RFC822Name(name)]), False


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"eku": [SERVER_AUTH]}, "extended-key-usage"),
        ({"usage": "encrypt"}, "key-usage"),
        ({"not_after": NOW - DAY}, "expired"),
        ({"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}, "not-yet-valid"),
    ],
)
def test_unsuitable_certificate(options: dict[str, Any], reason: str) -> None:
    """Wrong purpose or time (R-42, R-44, cases I19)."""
    entity, who = by(ISSUING.issue("alice@ours.example", **options))
    assert word(entity, originator=who) == ("policy", reason)


def test_revoked_signer() -> None:
    """R-45, cases I22."""
    evidence = replace(EVIDENCE, crls=(ROOT.crl(), ISSUING.crl(revoked=[ALICE])))
    assert word(clear_signed(), evidence=evidence) == ("fail", "revoked")


def test_revocation_unknown() -> None:
    """Never shown as good (R-46, cases I22)."""
    evidence = replace(EVIDENCE, crls=(ROOT.crl(),))
    assert word(clear_signed(), evidence=evidence) == ("temperror", "revocation-unknown")
    relaxed = replace(evidence, require_revocation=False)
    assert judged(clear_signed(), evidence=relaxed)


def test_too_many_addresses() -> None:
    """257 names make the certificate unreadable, so its signer is unknown (cases I24)."""
    names = [x509.RFC822Name(f"user{number}@ours.example") for number in range(257)]
    parsed = (
        x509.CertificateBuilder()
        .subject_name(ISSUING.name)
        .issuer_name(ISSUING.name)
        .public_key(ALICE.key.public_key())
        .serial_number(257)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName(names), False)
        .sign(ISSUING.key, hashes.SHA256())
    )
    certificate = Certificate(parsed.public_bytes(Encoding.DER), parsed, ())
    entity = sign_clear(TEXT, replace(signer(ALICE), certificate=certificate), now=NOW)
    assert word(entity, originator=Mailbox.parse("user1@ours.example")) == (
        "policy",
        "no-certificate",
    )


def test_signing_time_in_the_future() -> None:
    """More than a day ahead of our clock; a day's tolerance for wrong time zones (R-42)."""
    late = sign_clear(TEXT, signer(ALICE), now=NOW + timedelta(days=1, seconds=1))
    assert word(late) == ("policy", "signing-time")
    assert judged(sign_clear(TEXT, signer(ALICE), now=NOW + timedelta(days=1)))


def test_failure_says_who_signed_as_far_as_known() -> None:
    """Reports name certificate and algorithm even when the result is not pass."""
    with pytest.raises(VerificationError) as caught:
        judged(clear_signed(TEXT, EVE))
    labels = caught.value.labels
    assert labels["signer"] == "eve@evil.example"
    assert labels["fingerprint"] == EVE.certificate.fingerprint
    assert labels["algorithm"] == "ecdsa-sha256"


def test_proof_cannot_be_made_by_hand() -> None:
    """Only `verify` makes a VerifiedContent."""
    good = judged(clear_signed())
    with pytest.raises((TypeError, ValueError)):
        replace(good, mailbox=address(EVE))
    with pytest.raises(TypeError):
        VerifiedContent(
            signer=good.signer,
            mailbox=address(EVE),
            entity=TEXT,
            signing_time=None,
            label="",
            form=SignedForm.CLEAR,
            proof=object(),
        )


def test_inner_entity_needs_no_verification() -> None:
    """The content of a failed layer can still be looked at."""
    layer = layer_of(_replaced(b"100 EUR", b"900 EUR"))
    assert isinstance(layer, SignedLayer)
    assert b"900 EUR" in inner_entity(layer).body


def test_judgement_of_the_signer_is_remembered() -> None:
    """An empty memory is used, too; the next mail of the same signer costs no path."""
    memory = ValidationCache()
    entity = clear_signed()
    first = judged(entity, judgements=memory)
    assert len(memory) == 1
    assert judged(entity, judgements=memory).signer is first.signer
