"""Which entities are S/MIME layers, and which only look like it."""

from __future__ import annotations

import base64

import pytest

from smimegw.cms import der
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.signed_data import certificates_only
from smimegw.errors import CMSError, MIMEError
from smimegw.mime.entity import Entity
from smimegw.smime.decompress import decompress
from smimegw.smime.media_types import (
    CompressedLayer,
    EncryptedLayer,
    SignedForm,
    SignedLayer,
    layer_of,
)
from smimegw.smime.sign import sign_opaque
from tests.fakes.pki import NOW
from tests.fakes.smime import (
    ALICE,
    BOB,
    TEXT,
    assembled,
    clear_signed,
    encrypted,
    multipart_signed,
    pkcs7,
    signature_of,
    signer,
)
from tests.unit.cms.people import compressed

OPAQUE = sign_opaque(TEXT, signer(ALICE), now=NOW).decoded_body().whole()
ENVELOPED = encrypted().decoded_body().whole()
SIGNATURE = signature_of(clear_signed())


def _layer(entity: Entity) -> SignedLayer:
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    return layer


def test_clear_signed_content_is_exactly_the_first_part() -> None:
    """The signed octets are not touched, the line end before the delimiter is not theirs."""
    layer = _layer(clear_signed(TEXT))
    assert (layer.form, layer.content, layer.micalg) == (SignedForm.CLEAR, TEXT.raw, ("sha-256",))


def test_opaque_signed() -> None:
    """The content comes out of the SignedData."""
    layer = _layer(pkcs7(OPAQUE, b"application/pkcs7-mime; smime-type=signed-data"))
    assert (layer.form, layer.content) == (SignedForm.OPAQUE, TEXT.raw)


@pytest.mark.parametrize("cipher", [ContentCipher.AES_128_CBC, ContentCipher.AES_256_GCM])
def test_encrypted_names_its_recipients(cipher: ContentCipher) -> None:
    """EnvelopedData and AuthEnvelopedData, RSA and ECDH recipients."""
    layer = layer_of(encrypted(TEXT, [ALICE, BOB], cipher))
    assert isinstance(layer, EncryptedLayer)
    assert layer.enveloped.cipher is cipher
    for issued in (ALICE, BOB):
        assert any(identifier.matches(issued.certificate) for identifier in layer.recipient_ids)


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/pkcs7-mime",
        b"application/x-pkcs7-mime; name=smime.p7m",
        b"APPLICATION/PKCS7-MIME; SMIME-TYPE=ENVELOPED-DATA",
        b"application/pkcs7-mime; smime-type=signed-data",
        b'application/octet-stream; name="smime.p7m"',
        b"application/octet-stream; name=SMIME.P7M",
        b"Application/Octet-Stream;\r\n name=a.p7s",
    ],
)
def test_allow_list(content_type: bytes) -> None:
    """Old and sloppy media types; the CMS content type decides (RFC 8551, 3.9; cases I28)."""
    assert isinstance(layer_of(pkcs7(ENVELOPED, content_type)), EncryptedLayer)
    assert isinstance(layer_of(pkcs7(OPAQUE, content_type)), SignedLayer)


def test_file_name_in_the_disposition_counts() -> None:
    """application/octet-stream with only a Content-Disposition (RFC 8551, 3.9; cases I28)."""
    entity = Entity.parse(
        b"Content-Type: application/octet-stream\r\n"
        b"Content-Disposition: attachment; filename=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(ENVELOPED)
    )
    assert isinstance(layer_of(entity), EncryptedLayer)


@pytest.mark.parametrize(
    "entity",
    [
        TEXT,
        Entity.parse(b""),
        Entity.parse(b"no header at all"),
        pkcs7(ENVELOPED, b"application/octet-stream; name=letter.doc"),
        pkcs7(ENVELOPED, b"application/pdf; name=smime.p7m"),
        pkcs7(ENVELOPED, b"text/plain; name=smime.p7m"),
        multipart_signed(
            TEXT.raw,
            b"-----BEGIN PGP SIGNATURE-----",
            parameters=b'protocol="application/pgp-signature"; micalg=pgp-sha256',
            signature_type=b"application/pgp-signature",
        ),
    ],
    ids=["text", "empty", "no-header", "octet-stream", "pdf", "text-named-p7m", "openpgp"],
)
def test_no_layer(entity: Entity) -> None:
    """What is none is left alone (cases I28)."""
    assert layer_of(entity) is None


@pytest.mark.parametrize(
    "content", [clear_signed().raw, encrypted().raw], ids=["signed", "encrypted"]
)
@pytest.mark.parametrize(
    "frame",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%s\r\n--b--\r\n",
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\n\r\nhello\r\n--b\r\n%s\r\n--b--\r\n"
        ),
        b"Content-Type: message/rfc822\r\n\r\n%s",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n%s\r\n--b--\r\n",
    ],
    ids=["alone", "after-text", "forwarded", "alternative"],
)
def test_nested_layer_is_none(content: bytes, frame: bytes) -> None:
    """Only the root counts: neither shown as signed nor opened (cases I09, J01)."""
    assert layer_of(Entity.parse(frame % content)) is None


def test_certificates_only() -> None:
    """A certs-only message is a layer without signers and content (RFC 8551, 3.8; cases I13)."""
    layer = _layer(pkcs7(certificates_only([ALICE.certificate])))
    assert (layer.signed_data.signer_infos, layer.content) == ((), b"")


def test_compressed_data_is_a_layer_of_its_own() -> None:
    """By its CMS type; neither signed nor encrypted (RFC 8551, 3.6)."""
    layer = layer_of(pkcs7(compressed(TEXT.raw)))
    assert isinstance(layer, CompressedLayer)
    assert decompress(layer).raw == TEXT.raw


def test_another_cms_type_is_no_layer() -> None:
    """DigestedData: a content type that we do not open is passed on."""
    octets = der.sequence(der.oid("1.2.840.113549.1.7.5"), der.explicit(0, der.sequence()))
    assert layer_of(pkcs7(octets)) is None


def test_protocol_may_be_missing_when_the_part_says_it() -> None:
    """Some gateways forget the parameter; the second part's type is unambiguous."""
    entity = multipart_signed(TEXT.raw, SIGNATURE, parameters=b"micalg=sha-256")
    assert _layer(entity).content == TEXT.raw


@pytest.mark.parametrize(
    "protocol", [b"application/x-pkcs7-signature", b"Application/PKCS7-Signature"]
)
def test_spellings_of_the_protocol(protocol: bytes) -> None:
    """The old name and any case (RFC 8551, 3.5.3)."""
    entity = multipart_signed(TEXT.raw, SIGNATURE, parameters=b'protocol="' + protocol + b'"')
    assert _layer(entity).content == TEXT.raw


@pytest.mark.parametrize(
    "protocol",
    [b"application/pkcs7-mime", b"application/x-pkcs7-mime", b"pkcs7-signature", b"x/y", b'""'],
)
def test_wrong_protocol_does_not_hide_a_signature(protocol: bytes) -> None:
    """The second part says what it is, whatever is announced (RFC 1847, 2.1; cases I28)."""
    entity = multipart_signed(TEXT.raw, SIGNATURE, parameters=b"protocol=" + protocol)
    assert _layer(entity).content == TEXT.raw
    entity = multipart_signed(
        TEXT.raw, b"x", parameters=b"protocol=" + protocol, signature_type=b"text/plain"
    )
    assert layer_of(entity) is None


@pytest.mark.parametrize(
    "kind",
    [
        b"application/x-pkcs7-signature",
        b"application/octet-stream; name=smime.p7s",
        b"application/octet-stream\r\nContent-Disposition: attachment; filename=SMIME.P7S",
    ],
)
def test_spellings_of_the_signature_part(kind: bytes) -> None:
    """The old name, and the file name only (RFC 8551, 3.9; cases I28)."""
    entity = multipart_signed(TEXT.raw, SIGNATURE, signature_type=kind)
    assert _layer(entity).content == TEXT.raw


def test_text_around_the_parts_is_not_signed() -> None:
    """Preamble and epilogue belong to nobody (RFC 2046, 5.1.1; cases I09)."""
    raw = multipart_signed(TEXT.raw, SIGNATURE).raw
    head, separator, body = raw.partition(b"\r\n\r\n")
    raw = head + separator + b"Pay 900 EUR.\r\n" + body + b"Pay 900 EUR.\r\n"
    assert _layer(Entity.parse(raw)).content == TEXT.raw


def test_multipart_inside_keeps_its_octets() -> None:
    """Boundaries of parts inside are content, preamble and epilogue there as well."""
    inner = (
        b'Content-Type: multipart/mixed; boundary="in"\r\n\r\nbefore\r\n--in\r\n\r\na\r\n'
        b"--in\r\n\r\nb\r\n--in--\r\nbehind\r\n"
    )
    assert _layer(multipart_signed(inner, SIGNATURE)).content == inner


# --- transfer encodings --------------------------------------------------------------------------

_TEXT64 = base64.b64encode(ENVELOPED)
_LINES = base64.encodebytes(ENVELOPED).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"base64", _TEXT64),
        (b"base64", _TEXT64 + b"\r\n"),
        (b"base64", base64.encodebytes(ENVELOPED)),
        (b"BASE64", _LINES.replace(b"\r\n", b"\r\n\r\n")),
        (b"base64 ", b"\r\n\r\n" + _LINES + b"\r\n \r\n"),
        (b"base64", b"\r\n".join(_TEXT64[at : at + 97] for at in range(0, len(_TEXT64), 97))),
        (b"base64", _LINES.replace(b"\r\n", b" \r\n\t")),
        (b"quoted-printable", b"".join(b"=%02X" % octet for octet in ENVELOPED) + b"=\r\n"),
        (b"quoted-printable", b"".join(b"=%02X=\r\n" % octet for octet in ENVELOPED) + b"\r\n"),
        (b"binary", ENVELOPED),
        (b"binary", ENVELOPED + b"\r\n"),
        (b"8bit", ENVELOPED),
    ],
    ids=[
        *("one line", "one line and end", "unix", "blank lines", "blank around", "97", "spaces"),
        *("quoted-printable", "one per line", "binary", "binary and line end", "8bit"),
    ],
)
def test_transfer_encodings(encoding: bytes, body: bytes) -> None:
    """Lines of any length or none, and encodings that others choose (RFC 2045, 6; cases I28)."""
    head = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: " + encoding
    layer = layer_of(Entity.parse(head + b"\r\n\r\n" + body))
    assert isinstance(layer, EncryptedLayer)


def test_binary_cms_that_ends_like_a_line_stays_whole() -> None:
    """CR LF may be the last octets of a signature (RFC 8551, 3.1.3)."""
    info = der.sequence(der.oid("1.2.840.113549.1.7.5"), der.explicit(0, der.octet_string(b"\r\n")))
    assert layer_of(pkcs7(info)) is None  # DigestedData; cut off it would be malformed


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("footer", [b"\r\n", b"\r\n___\r\n", b"\r\n\r\n-- \r\nlist\r\n"])
def test_footer_behind_base64_is_no_cms(padding: int, footer: bytes) -> None:
    """A mailing list adds its text to any body; CMS says where it ends (RFC 2045, 6.8)."""
    octets = next(
        octets
        for length in range(3)
        if (octets := certificates_and(b"x" * length)) and -len(octets) % 3 == padding
    )
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n") + footer
    head = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert _layer(Entity.parse(head + body)).content.startswith(TEXT.raw)


def certificates_and(more: bytes) -> bytes:
    """SignedData of a chosen length."""
    return assembled(SIGNATURE, encapsulated=TEXT.raw + more)


@pytest.mark.parametrize("cut", [b"!", b"-", b"\r\n\r\n!"])
def test_junk_in_the_middle_of_base64_is_refused(cut: bytes) -> None:
    """Readers that leave it out and readers that stop there see two messages (cases J05)."""
    half = len(_LINES) // 2
    head = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    with pytest.raises((MIMEError, CMSError)):
        layer_of(Entity.parse(head + _LINES[:half] + cut + _LINES[half:]))


@pytest.mark.parametrize(
    "entity",
    [
        b"Content-Type: application/ms-tnef; name=winmail.dat\r\n",
        b"Content-Type: application/octet-stream; name=winmail.dat\r\n",
        b"Content-Type: application/vnd.ms-tnef; name=smime.p7m\r\n",
    ],
)
@pytest.mark.parametrize("octets", [ENVELOPED, OPAQUE, b"\x78\x9f\x3e\x22" + ENVELOPED])
def test_winmail_dat_is_left_alone(entity: bytes, octets: bytes) -> None:
    """Whatever Outlook put into it (cases J07)."""
    body = b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(octets)
    assert layer_of(Entity.parse(entity + body)) is None


def test_armoured_cms_is_no_layer() -> None:
    """``-----BEGIN CMS-----`` is text: nobody sends mail in it (cases J07)."""
    armoured = b"-----BEGIN CMS-----\r\n" + _LINES + b"-----END CMS-----\r\n"
    assert layer_of(Entity.parse(b"Content-Type: text/plain\r\n\r\n" + armoured)) is None
    with pytest.raises(CMSError):
        layer_of(pkcs7(armoured))


# --- ambiguous or broken -------------------------------------------------------------------------


def _changed(old: bytes, new: bytes) -> Entity:
    raw = multipart_signed(TEXT.raw, SIGNATURE).raw
    assert old in raw
    return Entity.parse(raw.replace(old, new))


@pytest.mark.parametrize(
    "entity",
    [
        _changed(b"--frontier--", b"--frontier\r\n\r\nmore\r\n--frontier--"),
        _changed(b"\r\n--frontier--\r\n", b""),
        multipart_signed(TEXT.raw, SIGNATURE, signature_type=b"text/html"),
        _changed(
            b"Content-Type: multipart", b"Content-Type: text/plain\r\nContent-Type: multipart"
        ),
        _changed(b"Content-Type: multipart", b"Content-Type : multipart"),
        _changed(b'boundary="frontier"', b'boundary="frontier"; boundary="other"'),
        _changed(b'boundary="frontier"', b'boundary="front\0ier"'),
        _changed(b"--frontier\r\nContent-Type: text", b"--frontierx\r\nContent-Type: text"),
        _changed(b'boundary="frontier"', b"x=y"),
    ],
    ids=[
        "third-part",
        "not-closed",
        "second-part-is-html",
        "two-content-types",
        "space-before-colon",
        "two-boundaries",
        "nul-in-boundary",
        "boundary-prefix",
        "no-boundary",
    ],
)
def test_ambiguous_mime_is_refused(entity: Entity) -> None:
    """Two readers could see two messages (R-51, cases I26)."""
    with pytest.raises(MIMEError):
        layer_of(entity)


@pytest.mark.parametrize("octets", [b"", b"\x30\x80", OPAQUE[:-1], OPAQUE + b"\0", b"hello"])
def test_broken_cms_is_refused(octets: bytes) -> None:
    """Truncated, trailing octets, or something else."""
    with pytest.raises(CMSError):
        layer_of(pkcs7(octets))


def test_broken_base64_is_refused() -> None:
    """A transfer encoding that cannot be undone."""
    entity = Entity.parse(
        b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n"
    )
    with pytest.raises(MIMEError):
        layer_of(entity)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/html; charset=utf-8; charset=utf-8",
        b"Content-Type: text",
        b"Content-Type: multipart/mixed;\r\n boundary*0*=us-ascii''a;\r\n boundary*1*=b",
        b"Content-Type: text/plain\r\nContent-Type: text/html",
        b"Content-Type: application/octet-stream\r\nContent-Disposition: ;;",
    ],
    ids=["twice", "no subtype", "RFC 2231 boundary", "two fields", "disposition"],
)
def test_malformed_fields_that_do_not_speak_of_smime_are_no_smime(fields: bytes) -> None:
    """Careless programs' mail is unsigned mail, not a signature that failed (RFC 8601, 2.7.1)."""
    assert layer_of(Entity.parse(fields + b"\r\n\r\ntext\r\n")) is None


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: multipart/signed; micalg=sha-256; micalg=sha-1; boundary=a",
        b"Content-Type: text/plain\r\nContent-Type: application/pkcs7-mime",
        b"Content-Type: application/octet-stream; name=a.P7M; name=b.txt",
        b'Content-Type: application/octet-stream\r\nContent-Disposition: ; filename="smime.p7m"',
    ],
    ids=["twice", "two fields", "name", "disposition"],
)
def test_malformed_fields_that_speak_of_smime_are_an_error(fields: bytes) -> None:
    """Another reader may see a signature or an encryption there (I26)."""
    with pytest.raises(MIMEError):
        layer_of(Entity.parse(fields + b"\r\n\r\ntext\r\n"))
