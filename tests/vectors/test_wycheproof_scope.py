"""Every file of Wycheproof at hand is used, or it is said why not, and how many tests that are."""

from __future__ import annotations

import re

from tests.vectors import (
    test_wycheproof_ciphers,
    test_wycheproof_keys,
    test_wycheproof_signatures,
)
from tests.vectors.wycheproof import Row, available, vectors

NOT_APPLICABLE = {
    r"ecdh_.*_(pem|webcrypto)|x(25519|448)_(pem|jwk)": (7669, "keys that CMS carries otherwise"),
    r"rsa_pkcs1_1(024|536)_sig_gen": (65, "RSA of less than 2,048 bits is never signed with"),
    r"ecd(h|sa)_secp(192r1|224r1|256k1).*": (5216, "curves of no S/MIME profile"),
    r"dsa_.*": (1956, "DSA is no algorithm of S/MIME 4.0 (RFC 8551, 2.2)"),
    r"hkdf_.*": (339, "the input is fixed by ECC-CMS-SharedInfo (RFC 8418, 2.2)"),
    r"aes_(ccm|cmac|eax|gcm_siv|kwp|siv_cmac|xts)|aead_.*|x?chacha20_(counter|poly1305)": (
        3381,
        "no ciphers of S/MIME",
    ),
    r"ml(dsa|kem)_.*": (2863, "post-quantum algorithms are not supported yet"),
}
"""Files, their tests, and the reason."""


def used() -> set[str]:
    """Files that the tests beside this one read."""
    files = {row.file for row in tables()}
    signatures, keys = test_wycheproof_signatures, test_wycheproof_keys
    return files | {*signatures.P1363, *signatures.GENERATED, *keys.PKCS1}


def test_files_that_are_not_used_are_listed_with_their_reason() -> None:
    """A newer package with new files fails here (cases H25)."""
    left = available() - used()
    assert {f for f in left if not any(re.fullmatch(p, f) for p in NOT_APPLICABLE)} == set()
    counts = {
        pattern: sum(1 for f in left if re.fullmatch(pattern, f) for _ in vectors(f))
        for pattern in NOT_APPLICABLE
    }
    assert counts == {pattern: count for pattern, (count, _) in NOT_APPLICABLE.items()}


def tables() -> list[Row]:
    """Every row of the tables."""
    signatures, keys, ciphers = (
        test_wycheproof_signatures,
        test_wycheproof_keys,
        test_wycheproof_ciphers,
    )
    found = (signatures.TABLE, keys.OAEP, keys.AGREEMENT, keys.WRAP, ciphers.CBC, ciphers.AEAD)
    return [row for table in found for row in table]


def test_whoever_refuses_a_valid_vector_says_why() -> None:
    """Rows that say nothing refuse none, and the other way round."""
    assert [row.file for row in tables() if bool(row.unsupported) is not bool(row.why)] == []


def test_verdicts_are_counted() -> None:
    """What the tables come to (cases H25)."""
    assert sum(row.yes for row in tables()) == 10_511
    assert sum(row.unsupported for row in tables()) == 4_175
    assert sum(row.no for row in tables()) == 15_952
    assert sum(row.acceptable[0] for row in tables()) == 1_031
    assert sum(row.acceptable[1] for row in tables()) == 1_404
