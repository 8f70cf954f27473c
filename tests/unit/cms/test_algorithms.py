"""Algorithms, their identifiers and parameters."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from smimegw.cms import algorithm_identifiers, asn1, der, key_encryption_algorithms
from smimegw.cms.algorithm_identifiers import MGF1, RSASSA_PSS
from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    KeyEncryption,
    SignatureScheme,
    key_encryption_for,
    public_key_of,
    signature_scheme_for,
)
from smimegw.cms.key_encryption_algorithms import RSAES_OAEP
from smimegw.errors import CMSError, UnsupportedAlgorithmError
from smimegw.limits import Limits
from tests.fakes.pki import make_ca
from tests.unit.cms.people import person

SHA1, SHA256, SHA384 = DigestAlgorithm.SHA1, DigestAlgorithm.SHA256, DigestAlgorithm.SHA384


def _digest(digest: DigestAlgorithm) -> bytes:
    return algorithm_identifiers.write(digest.oid, der.NULL)


def _parameters(hash_: bytes, mgf_hash: bytes, *more: bytes) -> bytes:
    mask = algorithm_identifiers.write(MGF1, mgf_hash)
    return der.sequence(der.explicit(0, hash_), der.explicit(1, mask), *more)


def _pss(*parameters: bytes) -> algorithm_identifiers.SignatureAlgorithm:
    octets = algorithm_identifiers.write(RSASSA_PSS, *parameters)
    return algorithm_identifiers.read_signature(asn1.read_document(octets))


@pytest.mark.parametrize(
    "digest",
    [SHA256, SHA384, DigestAlgorithm.SHA512],
    ids=lambda item: item.value,
)
@pytest.mark.parametrize("scheme", SignatureScheme, ids=lambda item: item.value)
def test_signature_algorithms_come_back(scheme: SignatureScheme, digest: DigestAlgorithm) -> None:
    """rsaEncryption and EdDSA leave the digest to the SignerInfo (RFC 5754, 3.2; RFC 8419, 2)."""
    octets = algorithm_identifiers.write_signature(scheme, digest)
    found = algorithm_identifiers.read_signature(asn1.read_document(octets))
    assert found.scheme is scheme
    silent = scheme is SignatureScheme.RSA_PKCS1V15 or scheme.is_pure
    assert found.digest is (None if silent else digest)


def test_pss_salt_is_as_long_as_the_digest() -> None:
    """Other lengths are not read everywhere (RFC 4056, 3)."""
    octets = algorithm_identifiers.write_signature(SignatureScheme.RSA_PSS, SHA384)
    found = algorithm_identifiers.read_signature(asn1.read_document(octets))
    assert found.salt_octets == 48


def test_pss_defaults_are_sha1() -> None:
    """Empty parameters mean SHA-1, MGF1 with SHA-1 and 20 octets of salt (RFC 4055, 3.1)."""
    found = _pss(der.sequence())
    assert (found.digest, found.salt_octets) == (SHA1, 20)


def test_pss_with_two_hashes_is_refused() -> None:
    """Hash and mask hash must be the same (RFC 4056, 2.2)."""
    with pytest.raises(UnsupportedAlgorithmError):
        _pss(_parameters(_digest(SHA256), _digest(SHA1)))


def test_pss_with_another_trailer_is_refused() -> None:
    """trailerField must be 1 (RFC 4055, 3.1)."""
    with pytest.raises(UnsupportedAlgorithmError):
        _pss(_parameters(_digest(SHA256), _digest(SHA256), der.explicit(3, der.integer(2))))


@pytest.mark.parametrize("salt", [-1, 5000])
def test_pss_with_absurd_salt_is_refused(salt: int) -> None:
    """A salt never has less than nothing or more than the modulus (RFC 8017, 9.1)."""
    with pytest.raises(UnsupportedAlgorithmError):
        _pss(_parameters(_digest(SHA256), _digest(SHA256), der.explicit(2, der.integer(salt))))


def test_pss_without_parameters_is_malformed() -> None:
    """They must be there in a signature (RFC 4055, 3.1)."""
    with pytest.raises(CMSError):
        _pss()


@pytest.mark.parametrize("digest", [SHA1, SHA256])
@pytest.mark.parametrize("mgf_digest", [SHA1, SHA256, SHA384])
def test_oaep_reads_every_combination(digest: DigestAlgorithm, mgf_digest: DigestAlgorithm) -> None:
    """Java keeps SHA-1 for the mask (RFC 4055, 4.1)."""
    parameters = _parameters(_digest(digest), _digest(mgf_digest))
    octets = algorithm_identifiers.write(RSAES_OAEP, parameters)
    oaep = key_encryption_algorithms.read_key_transport(asn1.read_document(octets)).oaep
    assert oaep is not None
    assert (oaep.digest, oaep.mgf_digest) == (digest, mgf_digest)


def _label(label: bytes, oid: str = key_encryption_algorithms.P_SPECIFIED) -> bytes:
    source = algorithm_identifiers.write(oid, der.octet_string(label))
    parameters = _parameters(_digest(SHA256), _digest(SHA256), der.explicit(2, source))
    return algorithm_identifiers.write(RSAES_OAEP, parameters)


def test_oaep_with_the_empty_label_is_read() -> None:
    """The default, spelled out (RFC 4055, 4.1)."""
    transport = key_encryption_algorithms.read_key_transport(asn1.read_document(_label(b"")))
    assert transport.key_encryption is KeyEncryption.RSA_OAEP_SHA256


@pytest.mark.parametrize(
    "octets", [_label(b"label"), _label(b"", "1.2.3")], ids=["label", "source"]
)
def test_oaep_with_a_label_is_refused(octets: bytes) -> None:
    """Nobody uses labels in mail (RFC 4055, 4.1)."""
    with pytest.raises(UnsupportedAlgorithmError):
        key_encryption_algorithms.read_key_transport(asn1.read_document(octets))


@pytest.mark.parametrize("place", ["hash", "mask"])
def test_oaep_with_shake256_is_refused(place: str) -> None:
    """SHAKE256 is there for Ed448 alone (RFC 8419)."""
    shake = algorithm_identifiers.write_digest(DigestAlgorithm.SHAKE256)
    plain = _digest(SHA256)
    parameters = _parameters(*((shake, plain) if place == "hash" else (plain, shake)))
    octets = algorithm_identifiers.write(RSAES_OAEP, parameters)
    with pytest.raises(UnsupportedAlgorithmError):
        key_encryption_algorithms.read_key_transport(asn1.read_document(octets))


@pytest.mark.parametrize("parameters", [(), (der.sequence(),)], ids=["absent", "empty"])
def test_oaep_defaults_are_sha1(parameters: tuple[bytes, ...]) -> None:
    """RSAES-OAEP-params ::= SEQUENCE with DEFAULTs (RFC 4055, 4.1)."""
    octets = algorithm_identifiers.write(RSAES_OAEP, *parameters)
    transport = key_encryption_algorithms.read_key_transport(asn1.read_document(octets))
    assert transport.key_encryption is KeyEncryption.RSA_OAEP_SHA1


@pytest.mark.parametrize(
    "oid", ["1.2.840.113549.3.7", "1.2.840.113549.3.2", "2.16.840.1.101.3.4.1.7"]
)
def test_old_and_unknown_ciphers_are_refused(oid: str) -> None:
    """3DES, RC2 and AES-CCM are never written."""
    with pytest.raises(UnsupportedAlgorithmError):
        ContentCipher.from_oid(oid)


def test_ciphers_are_those_of_nist() -> None:
    """Arcs of aes in csor (RFC 3565, 4.1; RFC 5084, 3.2)."""
    arcs = {
        cipher.label: int(cipher.oid.rpartition(".")[2])
        for cipher in ContentCipher
        if cipher.oid.startswith("2.16.840.1.101.3.4.1.")
    }
    assert arcs == {
        "aes-128-cbc": 2,
        "aes-192-cbc": 22,
        "aes-256-cbc": 42,
        "aes-128-gcm": 6,
        "aes-192-gcm": 26,
        "aes-256-gcm": 46,
    }
    assert [cipher for cipher in ContentCipher if cipher.authenticated] == [
        ContentCipher.AES_128_GCM,
        ContentCipher.AES_192_GCM,
        ContentCipher.AES_256_GCM,
        ContentCipher.CHACHA20_POLY1305,
    ]


def test_micalg_is_spelled_with_a_hyphen() -> None:
    """RFC 8551, 3.5.3.2; SHAKE256 without one (RFC 8692)."""
    assert [digest.micalg for digest in DigestAlgorithm] == [
        "sha-1",
        "sha-256",
        "sha-384",
        "sha-512",
        "shake256",
    ]


def test_only_sha1_is_weak() -> None:
    """It is read so that old mail can be judged, and judged weak."""
    assert [digest for digest in DigestAlgorithm if digest.is_weak] == [SHA1]


@pytest.mark.parametrize(
    ("key", "scheme", "key_encryption"),
    [
        ("rsa", SignatureScheme.RSA_PKCS1V15, KeyEncryption.RSA_PKCS1V15),
        ("p256", SignatureScheme.ECDSA, KeyEncryption.ECDH_SHA256KDF),
        ("p384", SignatureScheme.ECDSA, KeyEncryption.ECDH_SHA384KDF),
        ("p521", SignatureScheme.ECDSA, KeyEncryption.ECDH_SHA512KDF),
        ("brainpool256", SignatureScheme.ECDSA, KeyEncryption.ECDH_SHA256KDF),
        ("brainpool384", SignatureScheme.ECDSA, KeyEncryption.ECDH_SHA384KDF),
        ("brainpool512", SignatureScheme.ECDSA, KeyEncryption.ECDH_SHA512KDF),
    ],
)
def test_default_algorithms_suit_the_key(
    key: str, scheme: SignatureScheme, key_encryption: KeyEncryption
) -> None:
    """What every reader knows, as strong as the curve (RFC 5753, 8)."""
    certificate = person("defaults", key).certificate
    assert signature_scheme_for(certificate) is scheme
    assert key_encryption_for(certificate) is key_encryption


def test_oaep_is_chosen_for_those_who_read_it() -> None:
    """With SHA-256 (RFC 8551, 2.3)."""
    assert key_encryption_for(person().certificate, True) is KeyEncryption.RSA_OAEP_SHA256


@pytest.mark.parametrize("key", ["rsa1024", "p192", "p224", "secp256k1"])
def test_other_keys_are_refused(key: str) -> None:
    """RSA of 2048 bits and more, and curves that have a profile (cases H14)."""
    with pytest.raises(UnsupportedAlgorithmError):
        public_key_of(make_ca().issue("x@ours.example", key=key, usage="sign").certificate)


def test_longest_rsa_key_is_a_limit() -> None:
    """Giant keys only cost time (limits.rsa_bits_max)."""
    with pytest.raises(UnsupportedAlgorithmError):
        public_key_of(person().certificate, Limits(rsa_bits_max=2047))


def test_rsa_key_with_a_small_exponent_is_refused() -> None:
    """65537 at least (FIPS 186-5, 5.1)."""
    key = rsa.generate_private_key(public_exponent=3, key_size=2048)
    with pytest.raises(UnsupportedAlgorithmError):
        public_key_of(make_ca().issue(key=key).certificate)
