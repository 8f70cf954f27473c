"""Fuzz targets in CMS and ASN.1."""

from __future__ import annotations

from collections.abc import Sequence

from smimegw.adapters.keys.pkcs12_cost import check_encrypted_private_key, check_pkcs12
from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm
from smimegw.cms.attributes import read_signed_attributes, write_signed_attributes
from smimegw.cms.capabilities import OURS, read_capabilities
from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.cms.content_info import DATA, content_type_of
from smimegw.cms.envelope import decrypt, parse_enveloped
from smimegw.cms.identifiers import canonical_name
from smimegw.cms.signed_data import parse_signed_data, verify_signer_info
from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    NoMatchingKeyError,
    SignatureError,
    UsageError,
)
from smimegw.limits import Limits
from tests.fakes.pki import NOW
from tests.fuzz.target import Target
from tests.unit.cms.people import (
    CONTENT,
    compressed,
    decryption_credential,
    detached,
    opaque,
    person,
    sealed,
)

MALFORMED = (CMSError, LimitError)
_SMALL = Limits(message_octets=1024 * 1024)
TAGS = (
    b"\x30\x80",
    b"\x24\x80",
    b"\xa0\x80",
    b"\0\0",
    b"\x30\x00",
    b"\x02\x01\x00",
    b"\x04\x00",
    b"\x05\x00",
    b"\x31\x84\x00\x00\x00\x00",
    b"\x1f\x81",
)


def read_tree(octets: bytes) -> None:
    """Walk over every element; views stay within what was given."""
    waiting = [asn1.read_document(octets)]
    while waiting:
        element = waiting.pop()
        if element.tag & asn1.CONSTRUCTED:
            waiting += element.elements()
            continue
        assert bytes(element.content) in element.encoded
        for read in (element.integer, element.oid, element.bits, element.octets):
            try:
                read()
            except CMSError:
                continue


def read_signed(octets: bytes) -> None:
    """Whatever verifies is the content that was signed."""
    content_type_of(octets)
    signed_data = parse_signed_data(octets)
    outside = None if signed_data.encapsulated is not None else (CONTENT,)
    for signer_info in signed_data.signer_infos:
        verify_signer_info(signed_data, signer_info, outside)
        assert outside or signed_data.encapsulated == CONTENT


def read_enveloped(octets: bytes) -> None:
    """Whatever opens under an authenticating cipher is the content that was encrypted."""
    enveloped = parse_enveloped(octets)
    content = decrypt(enveloped, _CREDENTIALS, allow_legacy=True)
    assert content == CONTENT or not enveloped.authenticated


def read_compressed(octets: bytes) -> None:
    """No more comes out than the limits allow."""
    found = parse_compressed_data(octets, _SMALL)
    assert len(inflate(found, _SMALL)) <= 100 * len(octets)


def read_capability_list(octets: bytes) -> None:
    """What was read is written and read alike."""
    capabilities = read_capabilities(asn1.read_document(octets))
    _ = capabilities.ciphers, capabilities.oaep, capabilities.agreements
    assert read_capabilities(asn1.read_document(capabilities.write())) == capabilities


def read_key_file(octets: bytes) -> None:
    """The cost of a key file, in both formats."""
    for check in (check_pkcs12, check_encrypted_private_key):
        try:
            check(octets, Limits())
        except UsageError:
            continue


def _attributes() -> Sequence[bytes]:
    return [
        write_signed_attributes(
            content_type=DATA,
            message_digest=bytes(32),
            signing_time=NOW,
            certificate=person().certificate,
            capabilities=OURS,
            encryption_certificate=person().certificate,
        )
    ]


def _signed() -> Sequence[bytes]:
    return [
        detached(person()),
        detached(person("bob", "p256"), digest=DigestAlgorithm.SHA512),
        opaque(person("bob", "p256")),
        detached(person("carol", "ed25519"), digest=DigestAlgorithm.SHA512),
    ]


def _enveloped() -> Sequence[bytes]:
    bob, dave = person("bob", "p256"), person("dave", "x25519")
    return [
        sealed([person(), bob], ContentCipher.AES_128_CBC),
        sealed([person()], ContentCipher.AES_256_GCM, oaep=True),
        sealed([bob], ContentCipher.AES_256_GCM),
        sealed([dave], ContentCipher.CHACHA20_POLY1305),
    ]


def _key_files() -> Sequence[bytes]:
    # The cost of an encrypted PEM key is read as well, from its own armour.
    return [person("bob", "p256").pkcs12("secret"), person("bob", "p256").key_pem]


_CREDENTIALS = tuple(
    decryption_credential(person(name, key))
    for name, key in (("alice", "rsa"), ("bob", "p256"), ("dave", "x25519"))
)

TARGETS = (
    Target("tlv", read_tree, MALFORMED, lambda: [*_signed()[:1], *_TREES], TAGS),
    Target("signed-data", read_signed, (*MALFORMED, SignatureError), _signed, TAGS),
    Target(
        "enveloped-data",
        read_enveloped,
        (*MALFORMED, NoMatchingKeyError, DecryptionError),
        _enveloped,
        TAGS,
    ),
    Target("compressed-data", read_compressed, MALFORMED, lambda: [compressed(CONTENT)], TAGS),
    Target("capabilities", read_capability_list, MALFORMED, lambda: [OURS.write()], TAGS),
    Target(
        "signed-attributes",
        read_signed_attributes,
        (*MALFORMED, SignatureError),
        _attributes,
        TAGS,
    ),
    Target(
        "name",
        canonical_name,
        MALFORMED,
        lambda: [person().certificate.subject_der, person().certificate.issuer_der],
        TAGS,
    ),
    Target("key-file", read_key_file, (), _key_files, TAGS),
)

_TREES = (
    b"\x30\x80" * 20 + b"\0\0" * 20,
    b"\x24\x80" + der.octet_string(b"abc") * 3 + b"\0\0",
    der.sequence(der.integer(-1), der.oid("1.2.840.113549.1.7.2"), der.bit_string(b"\xff")),
)
