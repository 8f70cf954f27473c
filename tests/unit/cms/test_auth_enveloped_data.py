"""What is special about AuthEnvelopedData: attributes, tag lengths, and no mixing of kinds."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import ContentCipher, key_encryption_for
from smimegw.cms.attributes import CONTENT_TYPE
from smimegw.cms.content_info import AUTH_ENVELOPED_DATA, DATA, ENVELOPED_DATA, SIGNED_DATA
from smimegw.cms.envelope import Recipient, decrypt, parse_enveloped
from smimegw.cms.recipient_info import write_recipient_infos
from smimegw.errors import CMSError, DecryptionError, UnsupportedAlgorithmError
from tests.unit.cms.people import CONTENT, decryption_credential, person, sealed

GCM = ContentCipher.AES_128_GCM
KEY, NONCE = b"k" * 16, b"n" * 12
ATTRIBUTES = der.set_of((der.sequence(der.oid(CONTENT_TYPE), der.set_of((der.oid(SIGNED_DATA),))),))


def _infos(key: bytes = KEY, name: str = "bob") -> bytes:
    certificate = person(name, "p256").certificate
    recipient = Recipient(certificate, key_encryption_for(certificate))
    return write_recipient_infos([recipient], key)


def _message(
    *,
    attributes: bytes | None = None,
    additional: bytes | None = None,
    tag_octets: int = 16,
    announced: int | None = 16,
    content_type: str = DATA,
    key: bytes = KEY,
) -> bytes:
    """AuthEnvelopedData by hand; *additional* is what the tag covers besides the content."""
    encryptor = Cipher(algorithms.AES(key), modes.GCM(NONCE)).encryptor()
    if additional is None:
        additional = attributes or b""
    encryptor.authenticate_additional_data(additional)
    encrypted = encryptor.update(CONTENT) + encryptor.finalize()
    parameters = der.sequence(
        der.octet_string(NONCE), b"" if announced is None else der.integer(announced)
    )
    content = der.sequence(
        der.integer(0),
        _infos(key),
        der.sequence(
            der.oid(content_type),
            algorithm_identifiers.write(GCM.oid, parameters),
            der.value(0x80, encrypted),
        ),
        b"" if attributes is None else b"\xa1" + attributes[1:],
        der.octet_string(encryptor.tag[:tag_octets]),
    )
    return der.sequence(der.oid(AUTH_ENVELOPED_DATA), der.explicit(0, content))


def _opened(octets: bytes) -> bytes:
    return decrypt(parse_enveloped(octets), (decryption_credential(person("bob", "p256")),))


def test_authenticated_attributes_are_covered_by_the_tag() -> None:
    """As SET OF, not as [1] (RFC 5083, 2.2)."""
    assert _opened(_message(attributes=ATTRIBUTES, content_type=SIGNED_DATA)) == CONTENT


@pytest.mark.parametrize("additional", [b"", b"\xa1" + ATTRIBUTES[1:], ATTRIBUTES[:-1]], ids=len)
def test_attributes_that_the_tag_does_not_cover_open_nothing(additional: bytes) -> None:
    """Attributes cannot be added or changed (RFC 5083, 2.2)."""
    octets = _message(attributes=ATTRIBUTES, additional=additional)
    with pytest.raises(DecryptionError):
        _opened(octets)


def test_attributes_must_be_there_for_other_content_types() -> None:
    """Optional for id-data only (RFC 5083, 2.1)."""
    with pytest.raises(CMSError):
        parse_enveloped(_message(content_type=SIGNED_DATA))


@pytest.mark.parametrize("octets", range(12, 17))
def test_tags_of_12_to_16_octets_open(octets: int) -> None:
    """AES-GCM-ICVlen (RFC 5084, 3.2)."""
    assert _opened(_message(tag_octets=octets, announced=octets)) == CONTENT


def test_tag_length_defaults_to_12() -> None:
    """aes-ICVlen DEFAULT 12 (RFC 5084, 3.2)."""
    assert _opened(_message(tag_octets=12, announced=None)) == CONTENT


@pytest.mark.parametrize(
    ("octets", "announced"), [(12, 16), (16, 12), (16, None)], ids=["less", "more", "default"]
)
def test_tag_of_another_length_than_announced_is_malformed(
    octets: int, announced: int | None
) -> None:
    """A shortened tag is easier to guess (RFC 5084, 3.2)."""
    with pytest.raises(CMSError):
        parse_enveloped(_message(tag_octets=octets, announced=announced))


@pytest.mark.parametrize("octets", [0, 4, 8, 11])
def test_short_tag_is_malformed_even_when_announced(octets: int) -> None:
    """12 octets at least (RFC 5084, 3.2)."""
    with pytest.raises(CMSError):
        parse_enveloped(_message(tag_octets=octets, announced=octets))


@pytest.mark.parametrize("key", [b"k" * 24, b"k" * 32])
def test_agreed_content_key_of_another_length_opens_nothing(key: bytes) -> None:
    """The length belongs to the cipher (RFC 3565, 4)."""
    with pytest.raises(DecryptionError):
        _opened(_message(key=key))


@pytest.mark.parametrize(
    ("cipher", "oid"),
    [
        (ContentCipher.AES_256_GCM, ENVELOPED_DATA),
        (ContentCipher.AES_256_CBC, AUTH_ENVELOPED_DATA),
    ],
    ids=["GCM in EnvelopedData", "CBC in AuthEnvelopedData"],
)
def test_cipher_of_the_other_kind_is_refused(cipher: ContentCipher, oid: str) -> None:
    """A tag that is not checked, or integrity that is not there (RFC 5083, 2.1)."""
    octets = sealed([person("bob", "p256")], cipher)
    content = asn1.read_document(octets).elements()[1].elements()[0]
    fields = [element.encoded for element in content.elements()[:3]]
    if oid == AUTH_ENVELOPED_DATA:
        fields.append(der.octet_string(bytes(16)))
    forged = der.sequence(der.oid(oid), der.explicit(0, der.sequence(*fields)))
    with pytest.raises(UnsupportedAlgorithmError):
        parse_enveloped(forged)


@pytest.mark.parametrize("nonce", [0, 7, 65])
def test_nonce_of_absurd_length_is_malformed(nonce: int) -> None:
    """12 octets are usual (RFC 5084, 3.2)."""
    octets = _message()
    header = der.octet_string(NONCE)
    parameters = der.sequence(header, der.integer(16))
    other = der.sequence(der.octet_string(bytes(nonce)), der.integer(16))
    content = asn1.read_document(octets).elements()[1].elements()[0]
    version, infos, inner, tag = content.elements()
    content_type, _, encrypted = inner.elements()
    assert parameters in inner.encoded
    forged = der.sequence(
        *(version.encoded, infos.encoded),
        der.sequence(
            content_type.encoded,
            algorithm_identifiers.write(GCM.oid, other),
            encrypted.encoded,
        ),
        tag.encoded,
    )
    with pytest.raises(CMSError):
        parse_enveloped(der.sequence(der.oid(AUTH_ENVELOPED_DATA), der.explicit(0, forged)))
