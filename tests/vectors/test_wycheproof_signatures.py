"""Wycheproof's signatures as those of a SignedData: `parse_signed_data`, `verify_signer_info`."""

from __future__ import annotations

import pytest

from smimegw.cms import algorithm_identifiers, der
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.keys import SoftwareSigningKey
from smimegw.cms.signed_data import parse_signed_data, verify_signer_info
from smimegw.errors import SignatureError, UnsupportedAlgorithmError
from smimegw.x509 import lint
from tests.vectors.structures import (
    DIGEST_OIDS,
    certificate_with,
    pss_identifier,
    signed_data_with,
)
from tests.vectors.wycheproof import Row, Said, Vector, counted, private_key_of, rows, vectors

ECDSA_WITH = {
    "SHA-1": "1.2.840.10045.4.1",
    "SHA-224": "1.2.840.10045.4.3.1",
    "SHA-256": "1.2.840.10045.4.3.2",
    "SHA-384": "1.2.840.10045.4.3.3",
    "SHA-512": "1.2.840.10045.4.3.4",
    "SHA3-224": "2.16.840.1.101.3.4.3.9",
    "SHA3-256": "2.16.840.1.101.3.4.3.10",
    "SHA3-384": "2.16.840.1.101.3.4.3.11",
    "SHA3-512": "2.16.840.1.101.3.4.3.12",
}
EDWARDS = {"edwards25519": ("1.3.101.112", "SHA-512"), "edwards448": ("1.3.101.113", "SHAKE256")}

TABLE = rows("""
ecdsa_brainpoolP256r1_sha256              176   0 309   0   0
ecdsa_brainpoolP384r1_sha384              207   0 309   0   0
ecdsa_brainpoolP512r1_sha512              252   0 307   0   0
ecdsa_secp192r1_sha256                      0 143 311   0   0 curve
ecdsa_secp224r1_sha224                      0 144 308   0   0 curve
ecdsa_secp224r1_sha256                      0 172 309   0   0 curve
ecdsa_secp224r1_sha3_224                    0 168 302   0   0 curve
ecdsa_secp224r1_sha3_256                    0 176 303   0   0 curve
ecdsa_secp224r1_sha3_512                    0 241 303   0   0 curve
ecdsa_secp224r1_sha512                      0 241 309   0   0 curve
ecdsa_secp256k1_sha256                      0 168 308   0   0 curve
ecdsa_secp256k1_sha3_256                    0 172 302   0   0 curve
ecdsa_secp256k1_sha3_512                    0 237 303   0   0 curve
ecdsa_secp256k1_sha512                      0 237 309   0   0 curve
ecdsa_secp256r1_sha256                    174   0 310   0   0
ecdsa_secp256r1_sha3_256                    0 178 304   0   0 digest
ecdsa_secp256r1_sha3_512                    0 243 305   0   0 digest
ecdsa_secp256r1_sha512                    243   0 311   0   0
ecdsa_secp384r1_sha256                    162   0 310   0   0
ecdsa_secp384r1_sha384                    194   0 310   0   0
ecdsa_secp384r1_sha3_384                    0 200 304   0   0 digest
ecdsa_secp384r1_sha3_512                    0 231 305   0   0 digest
ecdsa_secp384r1_sha512                    231   0 311   0   0
ecdsa_secp521r1_sha3_512                    0 232 302   0   0 digest
ecdsa_secp521r1_sha512                    232   0 310   0   0
ed25519                                   117   0  64  29   0
ed448                                      17   0  70   0   0
rsa_pss_2048_sha1_mgf1_20                  42   0  46   0   0
rsa_pss_2048_sha1_mgf1_20_params           42   0  46   0   0
rsa_pss_2048_sha256_mgf1_0                 61   0  42   0   0
rsa_pss_2048_sha256_mgf1_0_params          61   0  42   0   0
rsa_pss_2048_sha256_mgf1_32                63   0  45   0   0
rsa_pss_2048_sha256_mgf1_32_params         63   0  45   0   0
rsa_pss_2048_sha256_mgf1sha1_20             0  63  45   0   0 two hashes
rsa_pss_2048_sha384_mgf1_48                95   0  46   0   0
rsa_pss_2048_sha512_224_mgf1_28             0  53  47   0   0 digest
rsa_pss_2048_sha512_256_mgf1_32             0  69  46   0   0 digest
rsa_pss_2048_sha512_mgf1sha256_32_params    0 132  46   0   0 two hashes
rsa_pss_3072_sha256_mgf1_32                63   0  45   0   0
rsa_pss_3072_sha256_mgf1_32_params         63   0  45   0   0
rsa_pss_4096_sha256_mgf1_32                63   0  45   0   0
rsa_pss_4096_sha384_mgf1_48                95   0  46   0   0
rsa_pss_4096_sha512_mgf1_32               132   0  45   0   0
rsa_pss_4096_sha512_mgf1_32_params        132   0  45   0   0
rsa_pss_4096_sha512_mgf1_64               132   0  47   0   0
rsa_pss_4096_sha512_mgf1_64_params        132   0  47   0   0
rsa_pss_misc                               24 126   0   0   0 two hashes, SHA-224
rsa_pss_misc_params                        24 126   0   0   0 two hashes, SHA-224
rsa_signature_2048_sha224                   0   7 250   0   1 digest
rsa_signature_2048_sha256                   7   2 249   0   1 exponent
rsa_signature_2048_sha384                   7   0 250   0   1
rsa_signature_2048_sha3_224                 0   7 250   0   1 digest
rsa_signature_2048_sha3_256                 0   7 249   0   1 digest
rsa_signature_2048_sha3_384                 0   7 250   0   1 digest
rsa_signature_2048_sha3_512                 0   7 250   0   1 digest
rsa_signature_2048_sha512                   7   1 250   0   1 exponent
rsa_signature_2048_sha512_224               0   7 250   0   1 digest
rsa_signature_2048_sha512_256               0   7 249   0   1 digest
rsa_signature_3072_sha256                   7   1 250   0   1 exponent
rsa_signature_3072_sha384                   7   0 251   0   1
rsa_signature_3072_sha3_256                 0   7 250   0   1 digest
rsa_signature_3072_sha3_384                 0   7 251   0   1 digest
rsa_signature_3072_sha3_512                 0   7 251   0   1 digest
rsa_signature_3072_sha512                   7   1 251   0   1 exponent
rsa_signature_3072_sha512_256               0   7 250   0   1 digest
rsa_signature_4096_sha256                   7   0 250   0   1
rsa_signature_4096_sha384                   7   0 251   0   1
rsa_signature_4096_sha512                   7   0 251   0   1
rsa_signature_4096_sha512_256               0   7 250   0   1 digest
rsa_signature_8192_sha256                   7   0 250   0   1
rsa_signature_8192_sha384                   7   0 251   0   1
rsa_signature_8192_sha512                   7   0 251   0   1
""")


def algorithms_of(vector: Vector) -> tuple[str, bytes]:
    """The digest's name and the SignatureAlgorithmIdentifier of a vector."""
    group = vector.group
    match group["type"]:
        case "EddsaVerify":
            oid, digest = EDWARDS[group["publicKey"]["curve"]]
            return digest, algorithm_identifiers.write(oid)
        case "EcdsaVerify" | "EcdsaP1363Verify":
            return group["sha"], algorithm_identifiers.write(ECDSA_WITH[group["sha"]])
        case "RsassaPkcs1Verify":
            identifier = algorithm_identifiers.write(algorithm_identifiers.RSA_ENCRYPTION, der.NULL)
            return group["sha"], identifier
        case _:
            digest, mask = group["sha"], group["mgfSha"]
            return digest, pss_identifier(digest, mask, group["sLen"])


def verdict(vector: Vector) -> Said:
    """Whether the signature of a vector counts in a SignedData."""
    digest, algorithm = algorithms_of(vector)
    certificate = certificate_with(bytes.fromhex(vector.group["publicKeyDer"]))
    content = vector.octets("msg")
    octets = signed_data_with(certificate, content, vector.octets("sig"), digest, algorithm)
    signed_data = parse_signed_data(octets)
    try:
        verify_signer_info(signed_data, signed_data.signer_infos[0])
    except SignatureError as exc:
        return Said.UNSUPPORTED if exc.reason == "algorithm" else Said.NO
    except UnsupportedAlgorithmError:
        return Said.UNSUPPORTED
    return Said.YES


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_signatures_get_the_verdict_of_wycheproof(row: Row) -> None:
    """No invalid one is taken, no valid one refused but for its algorithm (cases H25)."""
    assert counted(row.file, verdict, row.why) == row


P1363 = {
    "ecdsa_secp256r1_sha256_p1363": 262,
    "ecdsa_secp256r1_sha512_p1363": 332,
    "ecdsa_secp384r1_sha384_p1363": 280,
    "ecdsa_secp384r1_sha512_p1363": 318,
    "ecdsa_secp521r1_sha512_p1363": 318,
}


@pytest.mark.parametrize("file", P1363)
def test_numbers_side_by_side_are_no_signature(file: str) -> None:
    """CMS has a SEQUENCE of r and s; the form of IEEE P1363 never counts (RFC 5753, 2.1.1)."""
    said = [verdict(vector) for vector in vectors(file)]
    assert said == [Said.NO] * P1363[file]


GENERATED = {
    "rsa_pkcs1_2048_sig_gen": 35,
    "rsa_pkcs1_3072_sig_gen": 26,
    "rsa_pkcs1_4096_sig_gen": 24,
}


@pytest.mark.parametrize("file", GENERATED)
def test_rsa_signatures_are_made_as_published(file: str) -> None:
    """PKCS#1 v1.5 signatures are always the same octets (RFC 8017, 8.2; cases H25)."""
    made = []
    for vector in vectors(file):
        try:
            digest = DigestAlgorithm.from_oid(DIGEST_OIDS[vector.group["sha"]])
        except UnsupportedAlgorithmError:
            continue
        key = private_key_of(vector)
        signature = SoftwareSigningKey(key).sign(
            vector.octets("msg"), SignatureScheme.RSA_PKCS1V15, digest
        )
        made.append(signature == vector.octets("sig"))
    assert made == [True] * GENERATED[file]


def test_keys_of_small_order_are_refused_with_their_certificate() -> None:
    """Their signatures hold; anybody could have made them (RFC 8032, 5.1.7; cases H25)."""
    keys = {
        vector.group["publicKeyDer"]
        for vector in vectors("ed25519")
        if "SmallOrderPublicKey" in vector.test["flags"]
    }
    flaws = [lint.key_flaw(certificate_with(bytes.fromhex(key))) for key in sorted(keys)]
    assert flaws == ["weak-key"] * 8
