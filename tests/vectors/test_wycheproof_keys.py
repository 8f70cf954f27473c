"""Wycheproof's encrypted and agreed keys as those of RecipientInfos (RFC 5652, 6.2)."""

from __future__ import annotations

from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import load_der_private_key

from smimegw.cms import algorithm_identifiers, asn1, der, key_agreement, key_encryption_algorithms
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.key_agreement import KeyAgreeRecipientInfo
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.cms.keys import DecryptionCredential, PrivateKey, SoftwareDecryptionKey
from smimegw.cms.originator_key import agree, read_originator_key
from smimegw.cms.recipient_info import KeyTransRecipientInfo
from smimegw.errors import CMSError, DecryptionError, UnsupportedAlgorithmError
from tests.fakes.pki import make_ca
from tests.vectors.structures import digest_identifier
from tests.vectors.wycheproof import Row, Said, Vector, counted, private_key_of, rows, vectors

CURVES = {
    "secp256r1": ec.SECP256R1(),
    "secp384r1": ec.SECP384R1(),
    "secp521r1": ec.SECP521R1(),
    "brainpoolP256r1": ec.BrainpoolP256R1(),
    "brainpoolP384r1": ec.BrainpoolP384R1(),
    "brainpoolP512r1": ec.BrainpoolP512R1(),
}
X_OIDS = {"curve25519": "1.3.101.110", "curve448": "1.3.101.111"}

OAEP = rows("""
rsa_oaep_2048_sha1_mgf1sha1                10   7  19   0   0 label
rsa_oaep_2048_sha224_mgf1sha1               0  13  18   0   0 digest
rsa_oaep_2048_sha224_mgf1sha224             0  17  18   0   0 digest
rsa_oaep_2048_sha256_mgf1sha1              10   3  18   0   0 label
rsa_oaep_2048_sha256_mgf1sha256            10   8  19   0   0 label
rsa_oaep_2048_sha384_mgf1sha1              10   3  18   0   0 label
rsa_oaep_2048_sha384_mgf1sha384            10   6  18   0   0 label
rsa_oaep_2048_sha512_224_mgf1sha1           0  13  19   0   0 digest
rsa_oaep_2048_sha512_224_mgf1sha512_224     0  16  19   0   0 digest
rsa_oaep_2048_sha512_mgf1sha1              10   3  18   0   0 label
rsa_oaep_2048_sha512_mgf1sha512            10   4  19   0   0 label
rsa_oaep_3072_sha256_mgf1sha1              10   3  19   0   0 label
rsa_oaep_3072_sha256_mgf1sha256            10   8  19   0   0 label
rsa_oaep_3072_sha512_256_mgf1sha1           0  13  18   0   0 digest
rsa_oaep_3072_sha512_256_mgf1sha512_256     0  18  19   0   0 digest
rsa_oaep_3072_sha512_mgf1sha1              10   3  18   0   0 label
rsa_oaep_3072_sha512_mgf1sha512            10   5  18   0   0 label
rsa_oaep_4096_sha256_mgf1sha1              10   3  19   0   0 label
rsa_oaep_4096_sha256_mgf1sha256            10   8  19   0   0 label
rsa_oaep_4096_sha512_mgf1sha1              10   3  18   0   0 label
rsa_oaep_4096_sha512_mgf1sha512            10   7  19   0   0 label
rsa_oaep_misc                             252 140   0   0   3 SHA-224
""")
AGREEMENT = rows("""
ecdh_brainpoolP256r1                      517   0  57  15 215
ecdh_brainpoolP384r1                      641   0  65  15 215
ecdh_brainpoolP512r1                      511   0  55  13 215
ecdh_secp256r1                            330   0  52  15 215
ecdh_secp256r1_ecpoint                    330   0  24   1   0
ecdh_secp384r1                            771   0  46  15 215
ecdh_secp384r1_ecpoint                    771   0  18   1   0
ecdh_secp521r1                            632   0  56  13 215
ecdh_secp521r1_ecpoint                    632   0  28   1   0
x25519                                    264   0   0 223  31
x25519_asn                                265   0  19 222  31
x448                                      253   0  12 234  11
x448_asn                                  253   0  31 234  11
""")
WRAP = rows("aes_wrap 36 0 126 0 3")


# --- RSA, PKCS #1 v1.5 ---------------------------------------------------------------------------


@cache
def somebody() -> DecryptionCredential:
    """A certificate on P-256; key transport never looks at it."""
    issued = make_ca("Vectors").issue("somebody@vectors.example", key="p256")
    return DecryptionCredential(issued.certificate, SoftwareDecryptionKey(issued.key))


def transported(vector: Vector, key_octets: int) -> bytes:
    """The content key that a KeyTransRecipientInfo with the vector's octets gives."""
    identifier = algorithm_identifiers.write(algorithm_identifiers.RSA_ENCRYPTION, der.NULL)
    info = KeyTransRecipientInfo(
        identifier=CertificateIdentifier(key_identifier=b"any"),
        algorithm=asn1.read_document(identifier),
        encrypted_key=vector.octets("ct"),
    )
    key = SoftwareDecryptionKey(private_key_of(vector))
    credential = DecryptionCredential(somebody().certificate, key)
    return info.content_key(credential, key_octets, rng=lambda octets: b"\xaa" * octets)


PKCS1 = {"rsa_pkcs1_2048": (42, 25), "rsa_pkcs1_3072": (41, 26), "rsa_pkcs1_4096": (41, 26)}


@pytest.mark.parametrize("file", PKCS1)
def test_bad_padding_of_pkcs1_is_not_told_from_another_key(file: str) -> None:
    """Good ones are read; bad ones give a key of the right length, and no error (T-07, H25)."""
    read = [vector for vector in vectors(file) if vector.result == "valid"]
    for vector in read:
        message = vector.octets("msg")
        assert transported(vector, len(message)) == message, vector
    refused = [vector for vector in vectors(file) if vector.result == "invalid"]
    for vector in refused:
        for key_octets in (16, 24, 32):
            assert transported(vector, key_octets) == b"\xaa" * key_octets, vector
    assert (len(read), len(refused)) == PKCS1[file]


@pytest.mark.parametrize("file", PKCS1)
def test_bad_padding_of_pkcs1_is_rejected_implicitly(file: str) -> None:
    """A number below the modulus decrypts to something, whatever its padding (T-07)."""
    for vector in vectors(file):
        key, encrypted = private_key_of(vector), vector.octets("ct")
        assert isinstance(key, rsa.RSAPrivateKey)
        is_number = len(encrypted) == key.key_size // 8
        modulus = key.public_key().public_numbers().n
        if vector.result == "invalid" and is_number and int.from_bytes(encrypted, "big") < modulus:
            octets = SoftwareDecryptionKey(key).decrypt(encrypted, KeyTransport())
            assert octets != vector.octets("msg"), vector


# --- RSA, OAEP -----------------------------------------------------------------------------------


def oaep_verdict(vector: Vector) -> Said:
    """Whether the vector's octets are decrypted to its message."""
    group = vector.group
    mask = algorithm_identifiers.write(
        algorithm_identifiers.MGF1, digest_identifier(group["mgfSha"])
    )
    label = b""
    if vector.test["label"]:
        source = algorithm_identifiers.write(
            key_encryption_algorithms.P_SPECIFIED, der.octet_string(vector.octets("label"))
        )
        label = der.explicit(2, source)
    parameters = der.sequence(
        der.explicit(0, digest_identifier(group["sha"])), der.explicit(1, mask), label
    )
    identifier = algorithm_identifiers.write(key_encryption_algorithms.RSAES_OAEP, parameters)
    try:
        transport = key_encryption_algorithms.read_key_transport(asn1.read_document(identifier))
    except UnsupportedAlgorithmError:
        return Said.UNSUPPORTED
    try:
        octets = SoftwareDecryptionKey(private_key_of(vector)).decrypt(
            vector.octets("ct"), transport
        )
    except DecryptionError:
        return Said.NO
    return Said.YES if octets == vector.octets("msg") else Said.NO


@pytest.mark.parametrize("row", OAEP, ids=str)
def test_oaep_gets_the_verdict_of_wycheproof(row: Row) -> None:
    """Every pair of hashes that we know, and no label (RFC 4055, 4.1; cases H25)."""
    assert counted(row.file, oaep_verdict, row.why) == row


# --- ECDH ----------------------------------------------------------------------------------------


@cache
def own_key(curve: str, private: str) -> PrivateKey:
    """The recipient's key, which Wycheproof gives as a number, raw or as PKCS #8."""
    if named := CURVES.get(curve):
        return ec.derive_private_key(int(private, 16), named)
    octets = bytes.fromhex(private)
    if octets[:1] == b"\x30" and len(octets) not in (32, 56):
        key = load_der_private_key(octets, None)
        assert isinstance(key, PrivateKey)
        return key
    if curve == "curve25519":
        return x25519.X25519PrivateKey.from_private_bytes(octets)
    return x448.X448PrivateKey.from_private_bytes(octets)


def originator(vector: Vector) -> asn1.Element:
    """The vector's public key as OriginatorPublicKey, which is a SubjectPublicKeyInfo.

    Raises:
        CMSError: It is not even DER or BER.
    """
    octets = vector.octets("public")
    match vector.group["type"]:
        case "XdhComp":
            oid = algorithm_identifiers.write(X_OIDS[vector.group["curve"]])
            return asn1.read_document(der.value(0xA1, oid, der.bit_string(octets)))
        case "EcdhEcpointTest":
            oid = algorithm_identifiers.write("1.2.840.10045.2.1")
            return asn1.read_document(der.value(0xA1, oid, der.bit_string(octets)))
        case _:
            implicit = b"\xa1" if octets[:1] == b"\x30" else octets[:1]
            return asn1.read_document(implicit + octets[1:])


def agreement_verdict(vector: Vector) -> Said:
    """Whether the vector's secret is agreed with its public key."""
    try:
        key = own_key(vector.group["curve"], vector.test["private"])
        peer = read_originator_key(originator(vector), key.public_key())
        secret = SoftwareDecryptionKey(key).exchange(peer)
    except (CMSError, DecryptionError, ValueError):
        return Said.NO
    return Said.YES if secret == vector.octets("shared") else Said.NO


@pytest.mark.parametrize("row", AGREEMENT, ids=str)
def test_agreement_gets_the_verdict_of_wycheproof(row: Row) -> None:
    """Points off the curve, other curves, parameters, secrets of zeros (cases H25)."""
    assert counted(row.file, agreement_verdict, row.why) == row


@pytest.mark.parametrize(
    ("file", "zeros"), [("x25519", 31), ("x25519_asn", 31), ("x448", 11), ("x448_asn", 11)]
)
def test_secret_of_zeros_is_refused(file: str, zeros: int) -> None:
    """A point of low order gives everybody the same key (RFC 7748, 6.1; RFC 8418, 2)."""
    found = [v for v in vectors(file) if "ZeroSharedSecret" in v.test["flags"]]
    assert [agreement_verdict(v) for v in found] == [Said.NO] * zeros


# --- AES key wrap --------------------------------------------------------------------------------


def wrap_verdict(vector: Vector) -> Said:
    """Whether a KeyAgreeRecipientInfo gives the vector's key; its key is what was derived."""
    certificate = somebody().certificate
    key, _ = agree(certificate.public_key)
    bits = vector.group["keySize"]
    wrap = {128: "5", 192: "25", 256: "45"}[bits]
    identifier = algorithm_identifiers.write(
        "1.3.132.1.11.1", algorithm_identifiers.write("2.16.840.1.101.3.4.1." + wrap)
    )
    info = KeyAgreeRecipientInfo(
        identifier=CertificateIdentifier(key_identifier=b"any"),
        originator=asn1.read_document(key),
        user_keying_material=None,
        algorithm=asn1.read_document(identifier),
        encrypted_key=vector.octets("ct"),
    )
    message = vector.octets("msg")
    with pytest.MonkeyPatch.context() as patch:
        derived = vector.octets("key")
        patch.setattr(key_agreement, "_key_encryption_key", lambda *_: derived)
        try:
            content_key = info.content_key(somebody(), len(message))
        except DecryptionError:
            return Said.NO
    return Said.YES if content_key == message else Said.NO


@pytest.mark.parametrize("row", WRAP, ids=str)
def test_key_wrap_gets_the_verdict_of_wycheproof(row: Row) -> None:
    """Other initial values, lengths and changed octets (RFC 3394, 2.2.2; cases H25)."""
    assert counted(row.file, wrap_verdict, row.why) == row
