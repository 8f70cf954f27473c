"""Signing, reading and checking SignedData and its signed attributes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.attributes import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    SMIME_CAPABILITIES,
    looks_like_signed_attributes,
    read_signed_attributes,
    read_time,
)
from smimegw.cms.capabilities import OURS, Capabilities, Capability
from smimegw.cms.content_info import DATA, SIGNED_DATA
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.cms.signed_data import (
    CheckedSignature,
    certificates_only,
    parse_signed_data,
    sign_detached,
    verify_signer_info,
)
from smimegw.cms.verify import digest_of
from smimegw.errors import CMSError, SignatureError, UnsupportedAlgorithmError
from tests.fakes.pki import NOW
from tests.unit.cms.people import CONTENT, detached, opaque, person, signing_credential

SHA1, SHA256, SHA384 = DigestAlgorithm.SHA1, DigestAlgorithm.SHA256, DigestAlgorithm.SHA384
DIGEST = digest_of(SHA256, (CONTENT,))


COUNTERSIGNATURE = "1.2.840.113549.1.9.6"


def _check(octets: bytes, content: bytes | None = CONTENT) -> CheckedSignature:
    signed_data = parse_signed_data(octets)
    (signer_info,) = signed_data.signer_infos
    return verify_signer_info(signed_data, signer_info, None if content is None else (content,))


def _reason(octets: bytes, content: bytes | None = CONTENT) -> str:
    with pytest.raises(SignatureError) as caught:
        _check(octets, content)
    return caught.value.reason


def _attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.value(asn1.SET, *values))


def _essential(digest: bytes = DIGEST, content_type: str = DATA) -> list[bytes]:
    return [
        _attribute(CONTENT_TYPE, der.oid(content_type)),
        _attribute(MESSAGE_DIGEST, der.octet_string(digest)),
    ]


def _signed(
    attributes: list[bytes] | None,
    *,
    digest: DigestAlgorithm = SHA256,
    algorithm: bytes | None = None,
    content_type: str = DATA,
) -> bytes:
    """A SignedData of alice's with any attributes, really signed."""
    alice = person()
    assert isinstance(alice.key, rsa.RSAPrivateKey)
    signed = CONTENT if attributes is None else der.set_of(attributes)
    signature = alice.key.sign(signed, padding.PKCS1v15(), digest.primitive())
    signer_info = der.sequence(
        der.integer(1),
        issuer_and_serial_number(alice.certificate),
        algorithm_identifiers.write_digest(digest),
        b"" if attributes is None else b"\xa0" + signed[1:],
        algorithm or algorithm_identifiers.write_signature(SignatureScheme.RSA_PKCS1V15, digest),
        der.octet_string(signature),
    )
    content = der.sequence(
        der.integer(1),
        der.set_of(()),
        der.sequence(der.oid(content_type)),
        der.value(0xA0, alice.certificate.der),
        der.set_of((signer_info,)),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.explicit(0, content))


# --- what we write -------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [SHA256, SHA384, DigestAlgorithm.SHA512], ids=lambda d: d.value)
@pytest.mark.parametrize(
    ("key", "scheme", "name"),
    [
        ("rsa", SignatureScheme.RSA_PKCS1V15, "rsa-pkcs1v15"),
        ("rsa", SignatureScheme.RSA_PSS, "rsa-pss"),
        ("p256", SignatureScheme.ECDSA, "ecdsa"),
        ("p384", SignatureScheme.ECDSA, "ecdsa"),
        ("p521", SignatureScheme.ECDSA, "ecdsa"),
    ],
)
def test_signatures_come_back(
    key: str, scheme: SignatureScheme, name: str, digest: DigestAlgorithm
) -> None:
    """Every scheme with every digest, and the label for result fields."""
    issued = person("signer", key)
    checked = _check(detached(issued, digest=digest, scheme=scheme))
    assert checked.certificate == issued.certificate
    assert checked.label == f"{name}-{digest.value}"
    assert checked.signing_time == NOW
    assert checked.capabilities == OURS


def test_signed_attributes_are_those_of_smime() -> None:
    """The required ones, the time, the capabilities and the certificate (RFC 8551, 2.5)."""
    attributes = parse_signed_data(detached(person())).signer_infos[0].signed_attributes
    assert attributes is not None
    found = [item.elements()[0].oid() for item in asn1.read_document(attributes).elements()]
    assert sorted(found) == sorted(
        [CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, SMIME_CAPABILITIES, SIGNING_CERTIFICATE_V2]
    )


def test_signed_attributes_are_in_der_order() -> None:
    """They are hashed in DER (RFC 5652, 5.4; X.690, 11.6)."""
    attributes = parse_signed_data(detached(person())).signer_infos[0].signed_attributes
    assert attributes is not None
    encodings = [item.encoded for item in asn1.read_document(attributes).elements()]
    assert encodings == sorted(encodings)


def test_signing_certificate_v2_names_our_certificate() -> None:
    """RFC 5035, 3."""
    alice = person()
    octets = parse_signed_data(detached(alice)).signer_infos[0].signed_attributes
    assert octets is not None
    attributes = read_signed_attributes(octets)
    assert attributes.names(alice.certificate)
    assert not attributes.names(person("bob").certificate)


def test_encryption_key_preference_is_written_and_read() -> None:
    """SMIMEEncryptionKeyPreference by issuer and serial number (RFC 8551, 2.5.3)."""
    bob = person("bob").certificate
    checked = _check(detached(person(), encryption_certificate=bob))
    assert checked.encryption_key is not None
    assert checked.encryption_key.matches(bob)


def test_certificate_and_chain_go_along() -> None:
    """Without them nobody finds the signer (RFC 8551, 2.3)."""
    alice = person()
    certificates = parse_signed_data(detached(alice)).certificates
    assert set(certificates) == {alice.certificate, *alice.chain}


def test_opaque_signature_holds_its_content() -> None:
    """RFC 8551, 3.5.2."""
    octets = opaque(person())
    assert parse_signed_data(octets).encapsulated == CONTENT
    assert _check(octets, None).certificate == person().certificate


def test_key_of_another_certificate_is_noticed_before_anybody_reads() -> None:
    """A mix-up in the keystore never leaves the house."""
    alice = person()
    credential = SigningCredential(alice.certificate, (), SoftwareSigningKey(person("bob").key))
    with pytest.raises(SignatureError) as caught:
        sign_detached(
            DIGEST,
            digest_algorithm=SHA256,
            credential=credential,
            scheme=SignatureScheme.RSA_PKCS1V15,
            signing_time=NOW,
            capabilities=None,
        )
    assert caught.value.reason == "signature"


@pytest.mark.parametrize(("digest", "algorithm"), [(bytes(20), SHA1), (bytes(20), SHA256)])
def test_weak_or_short_digest_is_not_signed(digest: bytes, algorithm: DigestAlgorithm) -> None:
    """SHA-1 is for reading only."""
    with pytest.raises(UnsupportedAlgorithmError):
        sign_detached(
            digest,
            digest_algorithm=algorithm,
            credential=signing_credential(person()),
            scheme=SignatureScheme.RSA_PKCS1V15,
            signing_time=NOW,
            capabilities=None,
        )


def test_certificates_only_come_back() -> None:
    """Without signers (RFC 8551, 3.8)."""
    alice = person()
    crl = b"\x30\x00"
    signed_data = parse_signed_data(certificates_only((alice.certificate, *alice.chain), (crl,)))
    assert set(signed_data.certificates) == {alice.certificate, *alice.chain}
    assert (signed_data.crls, signed_data.signer_infos) == ((crl,), ())


# --- what others wrote ---------------------------------------------------------------------------


def test_changed_content_is_a_digest_mismatch() -> None:
    """RFC 5652, 5.6."""
    assert _reason(detached(person()), CONTENT + b" ") == "digest"


def test_changed_signature_does_not_verify() -> None:
    """RFC 5652, 5.6."""
    octets = bytearray(detached(person()))
    octets[-1] ^= 1
    assert _reason(bytes(octets)) == "signature"


def test_content_may_come_in_pieces() -> None:
    """It is digested as it comes."""
    signed_data = parse_signed_data(detached(person()))
    pieces = (CONTENT[:3], b"", CONTENT[3:])
    assert verify_signer_info(signed_data, signed_data.signer_infos[0], pieces)


def test_detached_signature_without_content_cannot_be_checked() -> None:
    """There is nothing that it could cover."""
    with pytest.raises(CMSError):
        _check(detached(person()), None)


def test_signature_without_attributes_verifies() -> None:
    """Over the content itself; it has no time and no capabilities (RFC 5652, 5.4)."""
    checked = _check(_signed(None))
    assert not checked.has_signed_attributes
    assert checked.signing_time is None


def test_attributes_must_be_there_for_other_content_types() -> None:
    """signedAttrs are optional for id-data only (RFC 5652, 5.3)."""
    assert _reason(_signed(None, content_type="1.2.840.113549.1.9.16.1.4")) == "attributes"


def test_minimal_attributes_verify() -> None:
    """contentType and messageDigest are enough (RFC 5652, 5.3)."""
    assert _check(_signed(_essential())).signing_time is None


@pytest.mark.parametrize("missing", [0, 1], ids=["contentType", "messageDigest"])
def test_missing_attribute_is_refused(missing: int) -> None:
    """Both must be there (RFC 5652, 5.3)."""
    assert _reason(_signed([_essential()[1 - missing]])) == "attributes"


@pytest.mark.parametrize("doubled", [0, 1], ids=["contentType", "messageDigest"])
def test_doubled_attribute_is_refused(doubled: int) -> None:
    """An attribute must not be there twice (RFC 5652, 11)."""
    assert _reason(_signed([*_essential(), _essential()[doubled]])) == "attributes"


def test_attribute_with_two_values_is_refused() -> None:
    """Exactly one AttributeValue (RFC 5652, 11.2)."""
    digest = der.octet_string(DIGEST)
    two = _attribute(MESSAGE_DIGEST, digest, digest)
    assert _reason(_signed([_essential()[0], two])) == "attributes"


def test_attribute_without_value_is_refused() -> None:
    """Exactly one AttributeValue (RFC 5652, 11.1)."""
    assert _reason(_signed([_attribute(CONTENT_TYPE), _essential()[1]])) == "attributes"


def test_content_type_must_be_that_of_the_content() -> None:
    """RFC 5652, 11.1."""
    assert _reason(_signed(_essential(content_type=SIGNED_DATA))) == "attributes"


def test_signing_certificate_of_somebody_else_is_refused() -> None:
    """The first certificate named must be the signer's (RFC 5035, 5.4)."""
    digest = digest_of(SHA256, (person("bob").certificate.der,))
    named = der.sequence(der.sequence(der.sequence(der.octet_string(digest))))
    octets = _signed([*_essential(), _attribute(SIGNING_CERTIFICATE_V2, named)])
    assert _reason(octets) == "attributes"


def test_signing_certificate_with_another_hash_is_compared_with_it() -> None:
    """hashAlgorithm is not always the default (RFC 5035, 4)."""
    digest = digest_of(SHA384, (person().certificate.der,))
    named = der.sequence(algorithm_identifiers.write_digest(SHA384), der.octet_string(digest))
    value = der.sequence(der.sequence(named))
    assert _check(_signed([*_essential(), _attribute(SIGNING_CERTIFICATE_V2, value)]))


def test_contradictory_digest_algorithms_are_refused() -> None:
    """digestAlgorithm SHA-256, signature sha512WithRSAEncryption (RFC 5754, 3)."""
    algorithm = algorithm_identifiers.write("1.2.840.113549.1.1.13", der.NULL)
    assert _reason(_signed(_essential(), algorithm=algorithm)) == "algorithm"


def test_kind_of_signature_must_fit_the_certificate() -> None:
    """ECDSA in the SignerInfo, RSA in the certificate."""
    algorithm = algorithm_identifiers.write("1.2.840.10045.4.3.2")
    assert _reason(_signed(_essential(), algorithm=algorithm)) == "algorithm"


def test_unknown_signature_algorithm_is_unsupported_when_it_is_checked() -> None:
    """Reading the others of the message goes on (RFC 3370, 3.1: DSA is none of ours)."""
    octets = _signed(_essential(), algorithm=algorithm_identifiers.write("1.2.840.10040.4.3"))
    assert parse_signed_data(octets).signer_infos[0].signature_algorithm is None
    with pytest.raises(UnsupportedAlgorithmError, match=r"1\.2\.840\.10040\.4\.3"):
        _check(octets)


def test_sha1_signature_is_read_and_called_weak() -> None:
    """Whether it counts is not for CMS to say."""
    octets = _signed(_essential(digest_of(SHA1, (CONTENT,))), digest=SHA1)
    checked = _check(octets)
    assert checked.digest_algorithm.is_weak
    assert checked.label == "rsa-pkcs1v15-sha1"


def test_unparsable_certificates_are_counted_and_ignored() -> None:
    """A broken one beside the signer's changes nothing (RFC 5652, 10.2.3)."""
    document = asn1.read_document(_signed(_essential()))
    fields = [item.encoded for item in document.elements()[1].elements()[0].elements()]
    junk = der.sequence(der.integer(1)) + der.explicit(2, der.NULL)
    fields[3] = der.value(0xA0, junk, person().certificate.der)
    octets = der.sequence(der.oid(SIGNED_DATA), der.explicit(0, der.sequence(*fields)))
    signed_data = parse_signed_data(octets)
    assert signed_data.certificates == (person().certificate,)
    assert signed_data.certificates_ignored == 2


def _with(octets: bytes, **changes: bytes) -> bytes:
    """A SignedData with pieces added: *certificates*, *crls*, *unsigned*, *content*."""
    version, digests, content, bag, infos = (
        asn1.read_document(octets).elements()[1].elements()[0].elements()
    )
    (info,) = infos.elements()
    fields = (
        version.encoded,
        digests.encoded,
        changes.get("content", content.encoded),
        der.value(0xA0, changes.get("certificates", b""), bytes(bag.content)),
        der.value(0xA1, changes["crls"]) if "crls" in changes else b"",
        der.set_of((der.sequence(bytes(info.content), changes.get("unsigned", b"")),)),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.explicit(0, der.sequence(*fields)))


@pytest.mark.parametrize(
    "value",
    [
        der.sequence(der.integer(1), der.octet_string(b"x")),
        der.NULL,
        der.octet_string(b"no SignerInfo"),
    ],
    ids=["signer", "null", "octets"],
)
@pytest.mark.parametrize("oid", [COUNTERSIGNATURE, "1.2.840.113549.1.9.16.2.14", "1.2.3"])
def test_unsigned_attributes_change_nothing(oid: str, value: bytes) -> None:
    """Anybody may add a countersignature or a time stamp; neither is looked at (RFC 5652, 11.4)."""
    unsigned = der.value(0xA1, _attribute(oid, value))
    checked = _check(_with(_signed(_essential()), unsigned=unsigned))
    assert checked.certificate == person().certificate
    assert checked.signing_time is None


def test_other_certificates_in_the_bag_are_passed_over() -> None:
    """Extended ([0]), attribute ([1], [2]) and other ([3]) certificates (RFC 5652, 10.2.2)."""
    others = b"".join(der.value(0xA0 | tag, der.sequence(der.NULL)) for tag in range(4))
    signed_data = parse_signed_data(_with(_signed(_essential()), certificates=others))
    assert signed_data.certificates == (person().certificate,)
    assert signed_data.certificates_ignored == 4
    assert _check(_with(_signed(_essential()), certificates=others))


def test_revocation_information_in_the_bag_is_tolerated() -> None:
    """CRLs are kept unread, other formats ([1], such as OCSP) passed over (RFC 5652, 10.2.1)."""
    crl = der.sequence(der.integer(1))
    other = der.value(0xA1, der.oid("1.3.6.1.5.5.7.16.2"), der.sequence(der.NULL))
    octets = _with(_signed(_essential()), crls=other + crl + other)
    assert parse_signed_data(octets).crls == (crl,)
    assert _check(octets)


def test_empty_bags_are_bags() -> None:
    """Some programs write the fields without anything in them (RFC 5652, 5.1)."""
    octets = _with(_signed(_essential()), crls=b"")
    assert parse_signed_data(octets).crls == ()
    assert _check(octets)


OTHER_TYPE = "1.3.6.1.4.1.311.2.1.4"


@pytest.mark.parametrize(
    "inner",
    [der.sequence(der.integer(1)), der.value(0x0C, b"text"), der.value(asn1.SET)],
    ids=["SEQUENCE", "UTF8String", "empty SET"],
)
def test_content_without_octet_string_is_read(inner: bytes) -> None:
    """PKCS #7 1.5 has any type; signed is its value, no tag and no length (RFC 5652, 5.2.1)."""
    value = bytes(asn1.read_document(inner).content)
    attributes = _essential(digest_of(SHA256, (value,)), OTHER_TYPE)
    content = der.sequence(der.oid(OTHER_TYPE), der.explicit(0, inner))
    octets = _with(_signed(attributes, content_type=OTHER_TYPE), content=content)
    assert parse_signed_data(octets).encapsulated == value
    assert _check(octets, None)


def test_data_without_octet_string_is_malformed() -> None:
    """id-data is an OCTET STRING in every version (RFC 5652, 4)."""
    content = der.sequence(der.oid(DATA), der.explicit(0, der.sequence()))
    with pytest.raises(CMSError):
        parse_signed_data(_with(_signed(_essential()), content=content))


def test_signer_is_found_among_extra_certificates() -> None:
    """Certificates need not travel along (RFC 5652, 5.1)."""
    document = asn1.read_document(_signed(_essential()))
    fields = [item.encoded for item in document.elements()[1].elements()[0].elements()]
    del fields[3]
    octets = der.sequence(der.oid(SIGNED_DATA), der.explicit(0, der.sequence(*fields)))
    assert _reason(octets) == "no-certificate"
    signed_data = parse_signed_data(octets)
    extra = (person("bob").certificate, person().certificate)
    checked = verify_signer_info(signed_data, signed_data.signer_infos[0], (CONTENT,), extra)
    assert checked.certificate == person().certificate


@pytest.mark.parametrize(
    ("tag", "text", "moment"),
    [
        (asn1.UTC_TIME, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (asn1.UTC_TIME, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (asn1.GENERALIZED_TIME, b"20500101000000Z", datetime(2050, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read(tag: int, text: bytes, moment: datetime) -> None:
    """Two digits mean 1950 to 2049 (RFC 5652, 11.3)."""
    assert read_time(asn1.read_document(der.value(tag, text))) == moment


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (asn1.UTC_TIME, b"2611231200Z"),
        (asn1.UTC_TIME, b"261123120000"),
        (asn1.UTC_TIME, b"261123120000+0100"),
        (asn1.UTC_TIME, b"261332120000Z"),
        (asn1.UTC_TIME, b"20261123120000Z"),
        (asn1.GENERALIZED_TIME, b"261123120000Z"),
        (asn1.GENERALIZED_TIME, b"20261123120000.5Z"),
        (asn1.OCTET_STRING, b"261123120000Z"),
    ],
)
def test_other_times_are_malformed(tag: int, text: bytes) -> None:
    """Seconds and Z, nothing else (RFC 5652, 11.3)."""
    with pytest.raises(CMSError):
        read_time(asn1.read_document(der.value(tag, text)))


def test_mail_never_looks_like_signed_attributes() -> None:
    """The check that guards signatures without attributes does not hit real content."""
    attributes = parse_signed_data(detached(person())).signer_infos[0].signed_attributes
    assert attributes is not None
    assert looks_like_signed_attributes(attributes[:64])
    for content in (CONTENT, b"", b"1", b"10\x06", b"1\x820000", b"100000: x\r\n\r\n"):
        assert not looks_like_signed_attributes(content)


def test_capabilities_come_back_in_order() -> None:
    """The preferred one first (RFC 8551, 2.5.2)."""
    capabilities = Capabilities((Capability("2.16.840.1.101.3.4.1.2"), *OURS.algorithms))
    assert _check(detached(person(), capabilities=capabilities)).capabilities == capabilities


def test_ours_announce_what_we_read() -> None:
    """AES-256-GCM first, and OAEP with SHA-256."""
    assert [cipher.label for cipher in OURS.ciphers] == [
        *("aes-256-gcm", "aes-128-gcm", "chacha20-poly1305", "aes-192-gcm"),
        *("aes-256-cbc", "aes-192-cbc", "aes-128-cbc"),
    ]
    assert OURS.reads_oaep
    assert not Capabilities().reads_oaep


def test_sloppy_capabilities_do_not_spoil_the_signature() -> None:
    """They are a hint for later mail."""
    sloppy = _attribute(SMIME_CAPABILITIES, der.sequence(der.integer(1)))
    assert _check(_signed([*_essential(), sloppy])).capabilities is None


def test_certificate_key_hash_is_not_a_signature() -> None:
    """A signature over nothing of ours is none, even with the right key."""
    alice = person()
    assert isinstance(alice.key, rsa.RSAPrivateKey)
    foreign = alice.key.sign(b"something else", padding.PKCS1v15(), hashes.SHA256())
    octets = _signed(_essential())
    own = parse_signed_data(octets).signer_infos[0].signature
    assert _reason(octets.replace(own, foreign)) == "signature"
