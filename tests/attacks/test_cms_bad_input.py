"""Hostile and broken CMS: each ends in one clear error, in bounded work, and opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import ContentCipher, key_encryption_for
from smimegw.cms.asn1 import Element
from smimegw.cms.content_info import DATA, ENVELOPED_DATA, SIGNED_DATA
from smimegw.cms.envelope import Recipient, decrypt, parse_enveloped
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import DecryptionCredential
from smimegw.cms.recipient_info import write_recipient_infos
from smimegw.cms.signed_data import parse_signed_data, verify_signer_info
from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    NoMatchingKeyError,
    SignatureError,
)
from smimegw.limits import DEFAULT_LIMITS, Limits
from tests.fakes.pki import Issued, make_ca
from tests.unit.cms.people import (
    CONTENT,
    CountingKey,
    decryption_credential,
    detached,
    opaque,
    person,
    sealed,
)

CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM


def _parts(octets: bytes) -> list[Element]:
    """The fields of the content of a ContentInfo."""
    explicit = asn1.read_document(octets).elements()[1]
    return explicit.elements()[0].elements()


def _content_info(oid: str, *fields: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.explicit(0, der.sequence(*fields)))


def _with_recipient_infos(octets: bytes, infos: bytes) -> bytes:
    version, _, *rest = _parts(octets)
    fields = [element.encoded for element in rest]
    return _content_info(ENVELOPED_DATA, version.encoded, der.value(asn1.SET, infos), *fields)


def _crowd(count: int) -> Iterator[bytes]:
    """RecipientInfos of others."""
    issuer = person("bob").certificate.issuer_der
    algorithm = algorithm_identifiers.write(algorithm_identifiers.RSA_ENCRYPTION, der.NULL)
    key = der.octet_string(bytes(256))
    for number in range(count):
        name = der.sequence(issuer, der.integer(10_000_000 + number))
        yield der.sequence(der.integer(0), name, algorithm, key)


def _ours(octets: bytes) -> bytes:
    return bytes(_parts(octets)[1].content)


def _opened(octets: bytes, issued: Issued) -> tuple[bytes, int]:
    key = CountingKey(issued)
    content = decrypt(parse_enveloped(octets), (DecryptionCredential(issued.certificate, key),))
    return content, key.uses


# --- many of everything ------------------------------------------------------------------------


def test_ours_behind_10000_recipients_is_a_limit_and_uses_no_key() -> None:
    """The scan stops at 2,000 RecipientInfos (cases H01)."""
    alice = person()
    octets = sealed([alice])
    crowded = _with_recipient_infos(octets, b"".join((*_crowd(10_000), _ours(octets))))
    enveloped = parse_enveloped(crowded)
    assert len(enveloped.recipient_ids) == DEFAULT_LIMITS.recipient_infos
    key = CountingKey(alice)
    with pytest.raises(LimitError) as caught:
        decrypt(enveloped, (DecryptionCredential(alice.certificate, key),))
    assert (caught.value.limit, key.uses) == ("recipient_infos", 0)


def test_ours_within_2000_recipients_is_opened_with_one_key_use() -> None:
    """Being the last of those that are scanned is early enough (cases H01)."""
    octets = sealed([person()])
    crowd = _crowd(DEFAULT_LIMITS.recipient_infos - 1)
    crowded = _with_recipient_infos(octets, b"".join((*crowd, _ours(octets), *_crowd(8000))))
    assert _opened(crowded, person()) == (CONTENT, 1)


def test_100000_recipients_without_ours_is_a_limit() -> None:
    """The rest of the RecipientInfos is not even looked at (cases H01)."""
    octets = sealed([person()])
    enveloped = parse_enveloped(_with_recipient_infos(octets, b"".join(_crowd(100_000))))
    assert len(enveloped.recipient_infos) == DEFAULT_LIMITS.recipient_infos
    with pytest.raises(LimitError):
        decrypt(enveloped, (decryption_credential(person()),))


def test_5000_keys_in_one_key_agreement_count_as_5000_recipients() -> None:
    """RecipientEncryptedKeys are scanned under the same limit (cases H01; RFC 5652, 6.2.2)."""
    bob = person("bob", "p256")
    (info,) = _parts(sealed([bob]))[1].elements()
    version, originator, algorithm, keys = info.elements()
    many = der.value(asn1.SEQUENCE, bytes(keys.content) * 5000)
    forged = der.explicit(1, version.encoded, originator.encoded, algorithm.encoded, many)
    enveloped = parse_enveloped(_with_recipient_infos(sealed([bob]), forged))
    assert len(enveloped.recipient_ids) == DEFAULT_LIMITS.recipient_infos
    assert enveloped.more_recipients


def test_a_key_is_used_once_however_often_its_certificate_is_named() -> None:
    """2,000 wrong keys for one certificate cost one decryption (T-07)."""
    alice = person()
    octets = sealed([alice], oaep=True)
    wrong = bytearray(_ours(octets))
    wrong[-1] ^= 1
    key = CountingKey(alice)
    enveloped = parse_enveloped(_with_recipient_infos(octets, bytes(wrong) * 2000))
    with pytest.raises(DecryptionError):
        decrypt(enveloped, (DecryptionCredential(alice.certificate, key),))
    assert key.uses == 1


def test_no_key_is_used_for_a_message_to_others() -> None:
    """A RecipientInfo must name the certificate before its key is touched (T-07)."""
    key = CountingKey(person())
    enveloped = parse_enveloped(sealed([person("bob"), person("carol", "p256")]))
    with pytest.raises(NoMatchingKeyError):
        decrypt(enveloped, (DecryptionCredential(person().certificate, key),))
    assert key.uses == 0


def _with_certificates(octets: bytes, certificates: bytes) -> bytes:
    version, digests, content, _, signer_infos = _parts(octets)
    fields = (version.encoded, digests.encoded, content.encoded)
    return _content_info(SIGNED_DATA, *fields, der.value(0xA0, certificates), signer_infos.encoded)


def test_only_the_first_64_of_1000_certificates_are_parsed() -> None:
    """The signer's own among them is found (cases H03)."""
    alice, root = person(), make_ca("CMS test CA").certificate
    octets = _with_certificates(detached(alice), alice.certificate.der + root.der * 999)
    signed_data = parse_signed_data(octets)
    assert signed_data.certificates == (alice.certificate, root)
    assert signed_data.certificates_ignored == 998
    assert verify_signer_info(signed_data, signed_data.signer_infos[0], (CONTENT,))


def test_a_signer_behind_1000_certificates_is_not_found() -> None:
    """Beyond the limit nothing is looked at (cases H03)."""
    alice, root = person(), make_ca("CMS test CA").certificate
    signed_data = parse_signed_data(
        _with_certificates(detached(alice), root.der * 999 + alice.certificate.der)
    )
    with pytest.raises(SignatureError) as caught:
        verify_signer_info(signed_data, signed_data.signer_infos[0], (CONTENT,))
    assert caught.value.reason == "no-certificate"


def test_100000_signers_are_a_limit() -> None:
    """SignerInfos are counted before they are read (T-09)."""
    version, digests, content, certificates, signer_infos = _parts(detached(person()))
    many = der.value(asn1.SET, bytes(signer_infos.content) * 100_000)
    fields = (version.encoded, digests.encoded, content.encoded, certificates.encoded, many)
    with pytest.raises(LimitError) as caught:
        parse_signed_data(_content_info(SIGNED_DATA, *fields))
    assert caught.value.limit == "signer_infos"


# --- depth, size, shape ------------------------------------------------------------------------


def _nested(depth: int, *, indefinite: bool) -> bytes:
    """SignedData whose content is an OCTET STRING inside *depth* others."""
    octets = der.octet_string(b"x")
    if indefinite:
        octets = b"\x24\x80" * depth + octets + b"\0\0" * depth
    else:
        for _ in range(depth):
            octets = der.value(0x24, octets)
    content = der.sequence(der.oid(DATA), der.explicit(0, octets))
    empty = der.set_of(())
    return _content_info(SIGNED_DATA, der.integer(1), empty, content, empty)


@pytest.mark.parametrize("indefinite", [False, True], ids=["definite", "indefinite"])
@pytest.mark.parametrize("depth", [33, 5000])
def test_deep_nesting_is_a_limit(depth: int, indefinite: bool) -> None:
    """Neither the interpreter's stack nor quadratic work is spent (cases H07)."""
    with pytest.raises(LimitError) as caught:
        parse_signed_data(_nested(depth, indefinite=indefinite))
    assert caught.value.limit == "asn1_depth"


@pytest.mark.parametrize("indefinite", [False, True], ids=["definite", "indefinite"])
def test_nesting_within_the_limit_is_read(indefinite: bool) -> None:
    """Depth alone is no fault (cases H07)."""
    assert parse_signed_data(_nested(20, indefinite=indefinite)).encapsulated == b"x"


@pytest.mark.parametrize(
    "outer",
    [
        der.value(asn1.OBJECT_IDENTIFIER, b"\x2a" + b"\x81" * 1_000_000 + b"\x01"),
        der.value(asn1.OBJECT_IDENTIFIER, b""),
        der.value(asn1.OBJECT_IDENTIFIER, b"\x2a\x86"),
        der.value(asn1.OBJECT_IDENTIFIER, b"\x2a\x80\x01"),
    ],
    ids=["1 MB arc", "empty", "truncated", "padded"],
)
def test_bad_object_identifier_is_malformed(outer: bytes) -> None:
    """Big numbers are never computed (cases H10)."""
    with pytest.raises(CMSError):
        parse_enveloped(der.sequence(outer, der.explicit(0, der.sequence())))


@pytest.mark.parametrize(
    "version",
    [b"\x7f" * 1_000_000, b"", b"\x00\x01", b"\xff\xff"],
    ids=["1 MB", "empty", "padded", "padded negative"],
)
def test_bad_integer_is_malformed(version: bytes) -> None:
    """Big numbers are never computed (cases H10)."""
    fields = [element.encoded for element in _parts(sealed([person()]))[1:]]
    with pytest.raises(CMSError):
        parse_enveloped(_content_info(ENVELOPED_DATA, der.value(asn1.INTEGER, version), *fields))


@pytest.mark.parametrize("field", [0, 1, 2], ids=["encryptedKey", "iv", "content"])
@pytest.mark.parametrize("length", [b"\x84\xff\xff\xff\xff", b"\x88" + b"\xff" * 8, b"\x89" * 10])
def test_lengths_beyond_the_end_are_malformed(field: int, length: bytes) -> None:
    """No allocation follows a length that a stranger wrote (X.690, 8.1.3)."""
    octets = sealed([person()])
    positions = [octets.index(b"\x04\x82\x01\x00"), octets.index(b"\x04\x10"), -66]
    start = positions[field]
    with pytest.raises(CMSError):
        parse_enveloped(octets[: start + 1] + length + octets[start + 2 :])


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(lambda: sealed([person()]), id="enveloped"),
        pytest.param(lambda: sealed([person("bob", "p256")], GCM), id="auth-enveloped"),
    ],
)
def test_every_truncation_of_an_envelope_is_malformed(octets: object) -> None:
    """At every octet, so at every structural boundary (RFC 5652, 6.1)."""
    assert callable(octets)
    whole = octets()
    for length in range(len(whole)):
        with pytest.raises(CMSError):
            parse_enveloped(whole[:length])


def test_every_truncation_of_a_signature_is_malformed() -> None:
    """At every octet, so at every structural boundary (RFC 5652, 5.1)."""
    whole = opaque(person("bob", "p256"))
    for length in range(len(whole)):
        with pytest.raises(CMSError):
            parse_signed_data(whole[:length])


def test_every_truncation_of_an_indefinite_signature_is_malformed() -> None:
    """A missing end-of-contents is one, too (X.690, 8.1.5)."""
    whole = _indefinite(opaque(person("bob", "p256")))
    assert parse_signed_data(whole).encapsulated == CONTENT
    for length in range(len(whole)):
        with pytest.raises(CMSError):
            parse_signed_data(whole[:length])


def _indefinite(octets: bytes, chunk: int = 7) -> bytes:
    """The same SignedData with indefinite lengths and a chunked content."""
    version, digests, content, certificates, signer_infos = _parts(octets)
    value = content.elements()[1].elements()[0].octets()
    chunks = [der.octet_string(value[at : at + chunk]) for at in range(0, len(value), chunk)]
    end = b"\0\0"
    inner = b"\xa0\x80\x24\x80" + b"".join(chunks) + end + end
    return b"".join(
        (
            *(b"\x30\x80", der.oid(SIGNED_DATA), b"\xa0\x80\x30\x80"),
            *(version.encoded, digests.encoded, b"\x30\x80", der.oid(DATA), inner, end),
            *(certificates.encoded, b"\x31\x80", bytes(signer_infos.content), end, end, end, end),
        )
    )


@pytest.mark.parametrize("extra", [b"\0", b"\0\0", b"\n", b"\x30\x00"], ids=repr)
def test_octets_after_the_end_are_malformed(extra: bytes) -> None:
    """Two readers must not see two messages (RFC 5652, 3)."""
    with pytest.raises(CMSError):
        parse_signed_data(detached(person()) + extra)
    with pytest.raises(CMSError):
        parse_enveloped(sealed([person()]) + extra)


def test_octets_after_the_last_field_are_malformed() -> None:
    """Nor inside of what CMS defines (RFC 5652, 5.1)."""
    fields = [element.encoded for element in _parts(detached(person()))]
    with pytest.raises(CMSError):
        parse_signed_data(_content_info(SIGNED_DATA, *fields, der.octet_string(b"more")))


# --- 50 MB in chunks -----------------------------------------------------------------------------


def _chunked(content_octets: int, chunk: int) -> bytes:
    pieces = der.octet_string(bytes(chunk)) * (content_octets // chunk)
    encapsulated = b"\x30\x80" + der.oid(DATA) + b"\xa0\x80\x24\x80" + pieces + b"\0\0" * 3
    inner = b"\x30\x80" + der.integer(1) + b"\x31\x00" + encapsulated + b"\x31\x00" + b"\0\0"
    return b"\x30\x80" + der.oid(SIGNED_DATA) + b"\xa0\x80" + inner + b"\0\0" * 2


def _elements_looked_at(octets: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    looked_at = 0
    original = asn1._Document.header

    def counted(self: asn1._Document, position: int, end: int) -> tuple[int, int, int]:
        nonlocal looked_at
        looked_at += 1
        return original(self, position, end)

    with monkeypatch.context() as patch:
        patch.setattr(asn1._Document, "header", counted)
        parse_signed_data(octets)
    return looked_at


def test_chunked_content_costs_two_looks_at_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested indefinite lengths are not scanned again at each level (linear time)."""
    few = _elements_looked_at(_chunked(1_000_000, 1000), monkeypatch)
    many = _elements_looked_at(_chunked(4_000_000, 1000), monkeypatch)
    assert many - few == 2 * 3000


def test_50_megabytes_in_chunks_are_read() -> None:
    """As `openssl cms -stream` writes a big message, 4 KB at a time."""
    content = parse_signed_data(_chunked(50 * 1024 * 1024, 4096)).encapsulated
    assert content is not None
    assert len(content) == 50 * 1024 * 1024


def test_chunks_are_views_of_what_was_received() -> None:
    """The ciphertext is copied once, when it is decrypted."""
    octets = sealed([person()], content=bytes(100_000))
    view = parse_enveloped(octets).encrypted_content.view()
    assert view is not None
    assert view.obj is octets


def test_millions_of_empty_chunks_are_a_limit() -> None:
    """Chunks that carry nothing only cost time (T-09)."""
    encapsulated = b"\x30\x80" + der.oid(DATA) + b"\xa0\x80\x24\x80" + b"\x04\x00" * 1_000_001
    octets = b"\x30\x80" + der.oid(SIGNED_DATA) + b"\xa0\x80\x30\x80\x02\x01\x01\x31\x00"
    with pytest.raises(LimitError) as caught:
        parse_signed_data(octets + encapsulated)
    assert caught.value.limit == "asn1_elements"


# --- decryption gives no hint --------------------------------------------------------------------


def _failure(octets: bytes, issued: Issued) -> tuple[object, ...]:
    with pytest.raises(DecryptionError) as caught:
        _opened(octets, issued)
    error = caught.value
    return type(error), str(error), error.__cause__, error.__context__


UNIFORM = (DecryptionError, "decryption failed", None, None)


@pytest.mark.parametrize("back", range(1, 17))
def test_every_broken_cbc_padding_looks_alike(back: int) -> None:
    """One octet of the block before the last is changed, which changes the padding (cases H19)."""
    octets = bytearray(sealed([person("bob", "p256")], content=b"x" * 32))  # a whole block of 0x10
    octets[-16 - back] ^= 0x80
    assert _failure(bytes(octets), person("bob", "p256")) == UNIFORM


def _with_encrypted_key(octets: bytes, encrypted_key: bytes) -> bytes:
    (info,) = _parts(octets)[1].elements()
    *before, _ = (element.encoded for element in info.elements())
    return _with_recipient_infos(octets, der.sequence(*before, der.octet_string(encrypted_key)))


def _raw_rsa(issued: Issued, block: bytes) -> bytes:
    numbers = issued.key.public_key().public_numbers()  # type: ignore[union-attr]
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(256, "big")


@pytest.mark.parametrize(
    "block",
    [
        b"\x00\x02" + b"\xaa" * 221 + b"\x00" + b"k" * 31,
        b"\x00\x02" + b"\xaa" * 237 + b"\x00" + b"k" * 16,
        b"\x00\x02" + b"\xaa" * 254,
        b"\x00\x01" + b"\xff" * 221 + b"\x00" + b"k" * 32,
        b"\x01\x02" + b"\xaa" * 221 + b"\x00" + b"k" * 32,
        b"\x00\x02" + b"\xaa" * 3 + b"\x00" + b"k" * 250,
        b"\x00" * 256,
    ],
    ids=["31", "16", "no separator", "type 1", "first octet", "early separator", "zeros"],
)
@pytest.mark.parametrize("cipher", [CBC, ContentCipher.AES_128_CBC], ids=lambda item: item.label)
def test_every_bad_pkcs1_block_looks_alike(block: bytes, cipher: ContentCipher) -> None:
    """Structure and length of the block decide nothing that is seen outside (cases H17)."""
    alice = person()
    # without content, because one of 256 wrong keys makes good padding by chance
    octets = _with_encrypted_key(_without_content(sealed([alice], cipher)), _raw_rsa(alice, block))
    assert _failure(octets, alice) == UNIFORM


def _without_content(octets: bytes) -> bytes:
    *before, inner = _parts(octets)
    content_type, algorithm, _ = (element.encoded for element in inner.elements())
    emptied = der.sequence(content_type, algorithm, der.value(0x80))
    return _content_info(ENVELOPED_DATA, *(element.encoded for element in before), emptied)


def _flip(octets: bytes, position: int) -> bytes:
    changed = bytearray(octets)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda cipher: cipher.label)
def test_every_damage_to_an_agreed_key_looks_alike(cipher: ContentCipher) -> None:
    """The wrapped key's own check says nothing outside (RFC 3394, 2.2.3)."""
    bob = person("bob", "p256")
    octets = sealed([bob], cipher)
    wrapped = parse_enveloped(octets).recipient_infos[0].encrypted_key
    assert _failure(_flip(octets, octets.index(wrapped)), bob) == UNIFORM


@pytest.mark.parametrize("back", [1, 16, 19, 60], ids=["tag", "tag start", "content", "more"])
def test_every_change_to_authenticated_content_looks_alike(back: int) -> None:
    """Nothing comes out of AuthEnvelopedData with a wrong tag (RFC 5083, 2.2)."""
    octets = sealed([person()], GCM, oaep=True)
    assert _failure(_flip(octets, len(octets) - back), person()) == UNIFORM


@pytest.mark.parametrize("octets", [15, 17, 0], ids=str)
def test_ciphertext_of_broken_blocks_looks_alike(octets: int) -> None:
    """Not a multiple of the block (RFC 5652, 6.3)."""
    bob = person("bob", "p256")
    *before, inner = _parts(sealed([bob]))
    content_type, algorithm, _ = (element.encoded for element in inner.elements())
    broken = der.sequence(content_type, algorithm, der.value(0x80, bytes(octets)))
    whole = _content_info(ENVELOPED_DATA, *(element.encoded for element in before), broken)
    assert _failure(whole, bob) == UNIFORM


@pytest.mark.parametrize("nonce", [0, 8, 15, 17])
def test_initialisation_vector_of_wrong_length_is_malformed(nonce: int) -> None:
    """Seen without any key, so it may be said (RFC 3565, 4.1)."""
    *before, inner = _parts(sealed([person()]))
    content_type, _, content = (element.encoded for element in inner.elements())
    algorithm = algorithm_identifiers.write(CBC.oid, der.octet_string(bytes(nonce)))
    forged = der.sequence(content_type, algorithm, content)
    with pytest.raises(CMSError):
        parse_enveloped(
            _content_info(ENVELOPED_DATA, *(element.encoded for element in before), forged)
        )


# --- elliptic curves -----------------------------------------------------------------------------


def _with_originator(parameters: bytes, point: bytes | None = None) -> bytes:
    """A message to bob whose originator key has other *parameters* or another *point*."""
    octets = sealed([person("bob", "p256")])
    (info,) = _parts(octets)[1].elements()
    version, originator, algorithm, keys = info.elements()
    own_point = originator.elements()[0].elements()[1].bits()
    key = der.value(
        0xA1,
        algorithm_identifiers.write("1.2.840.10045.2.1", parameters),
        der.bit_string(own_point if point is None else point),
    )
    fields = (version.encoded, der.explicit(0, key), algorithm.encoded, keys.encoded)
    return _with_recipient_infos(octets, der.explicit(1, *fields))


@pytest.mark.parametrize(
    "parameters", [b"", der.NULL, der.oid("1.2.840.10045.3.1.7")], ids=["absent", "NULL", "named"]
)
def test_originator_key_on_the_named_curve_is_used(parameters: bytes) -> None:
    """The three forms that are allowed (RFC 5753, 3.1.1)."""
    assert _opened(_with_originator(parameters), person("bob", "p256")) == (CONTENT, 1)


@pytest.mark.parametrize(
    "parameters",
    [
        der.sequence(der.integer(1), der.sequence(), der.sequence()),
        der.oid("1.2.840.10045.3.1.1"),
        der.oid("1.3.132.0.34"),
    ],
    ids=["explicit", "P-192", "P-384"],
)
def test_originator_key_on_another_curve_uses_no_key(parameters: bytes) -> None:
    """Explicit parameters and other curves never reach the private key (cases H14)."""
    bob = person("bob", "p256")
    key = CountingKey(bob)
    enveloped = parse_enveloped(_with_originator(parameters))
    with pytest.raises(DecryptionError):
        decrypt(enveloped, (DecryptionCredential(bob.certificate, key),))
    assert key.uses == 0


@pytest.mark.parametrize(
    "point",
    [b"\x04" + b"\x01" * 64, b"\x00", b"", b"\x04" + bytes(64), b"\x04" + b"\x01" * 63],
    ids=["off the curve", "infinity", "empty", "zero", "short"],
)
def test_point_that_is_not_on_the_curve_uses_no_key(point: bytes) -> None:
    """Invalid-curve attacks never reach the private key (cases H14)."""
    bob = person("bob", "p256")
    key = CountingKey(bob)
    enveloped = parse_enveloped(_with_originator(b"", point))
    with pytest.raises(DecryptionError):
        decrypt(enveloped, (DecryptionCredential(bob.certificate, key),))
    assert key.uses == 0


def test_recipient_on_another_curve_is_refused() -> None:
    """We encrypt to the curves of NIST and Brainpool, X25519 and X448 (cases H14)."""
    certificate = make_ca().issue(key="secp256k1").certificate
    with pytest.raises(CMSError):
        key_encryption_for(certificate)


# --- signatures that claim more than they cover --------------------------------------------------


def test_detached_signature_with_other_content_inside_fails() -> None:
    """One reader would check what the other does not show (cases H21)."""
    alice = person()
    version, digests, _, certificates, signer_infos = _parts(detached(alice))
    inside = der.sequence(der.oid(DATA), der.explicit(0, der.octet_string(b"other content")))
    forged = _content_info(
        SIGNED_DATA,
        *(version.encoded, digests.encoded, inside, certificates.encoded, signer_infos.encoded),
    )
    signed_data = parse_signed_data(forged)
    for content in ((CONTENT,), (b"other content",), None):
        with pytest.raises(SignatureError) as caught:
            verify_signer_info(signed_data, signed_data.signer_infos[0], content)
        assert caught.value.reason == "digest"


def test_signed_attributes_do_not_pass_as_content() -> None:
    """A signature over attributes is not one over content of the same octets (RFC 5652, 5.3)."""
    alice = person()
    octets = detached(alice)
    attributes = parse_signed_data(octets).signer_infos[0].signed_attributes
    assert attributes is not None
    version, digests, content, certificates, signer_infos = _parts(octets)
    fields = [element.encoded for element in signer_infos.elements()[0].elements()]
    bare = der.sequence(*(field for field in fields if field[0] != 0xA0))
    forged = _content_info(
        SIGNED_DATA,
        *(version.encoded, digests.encoded, content.encoded, certificates.encoded),
        der.set_of((bare,)),
    )
    signed_data = parse_signed_data(forged)
    assert signed_data.signer_infos[0].signed_attributes is None
    with pytest.raises(SignatureError) as caught:
        verify_signer_info(signed_data, signed_data.signer_infos[0], (attributes,))
    assert caught.value.reason == "attributes"


def test_certificate_with_the_signers_name_and_number_does_not_replace_it() -> None:
    """Issuer and serial number name a certificate only within honest CAs (RFC 5035, 5)."""
    alice = person()
    impostor = make_ca("CMS test CA", key="rsa", slot="impostor").issue(
        "mallory@evil.example", serial_number=alice.certificate.serial_number
    )
    assert issuer_and_serial_number(impostor.certificate) == issuer_and_serial_number(
        alice.certificate
    )
    octets = _with_certificates(detached(alice), impostor.certificate.der)
    signed_data = parse_signed_data(octets)
    with pytest.raises(SignatureError) as caught:
        verify_signer_info(signed_data, signed_data.signer_infos[0], (CONTENT,))
    assert caught.value.reason == "attributes"
    both = _with_certificates(detached(alice), impostor.certificate.der + alice.certificate.der)
    signed_data = parse_signed_data(both)
    checked = verify_signer_info(signed_data, signed_data.signer_infos[0], (CONTENT,))
    assert checked.certificate == alice.certificate


def test_short_rsa_signature_key_is_refused() -> None:
    """RSA below 2048 bits proves nothing any more (limits.rsa_bits_min)."""
    with pytest.raises(CMSError):
        detached(make_ca().issue(key="rsa1024"))


def test_limits_are_those_that_are_handed_in() -> None:
    """No module has numbers of its own for what limits.py knows."""
    octets = sealed([person(), person("bob")])
    enveloped = parse_enveloped(octets, Limits(recipient_infos=1))
    assert len(enveloped.recipient_infos) == 1
    assert enveloped.more_recipients


def test_recipients_are_wrapped_once_per_certificate() -> None:
    """A doubled recipient does not show twice (RFC 5652, 6.2)."""
    alice = person().certificate
    recipient = Recipient(alice, key_encryption_for(alice))
    infos = write_recipient_infos([recipient, recipient], bytes(32))
    assert len(asn1.read_document(infos).elements()) == 1
