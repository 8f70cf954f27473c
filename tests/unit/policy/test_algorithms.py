"""Which cipher and which key encryption a copy gets, from what its readers are known to read."""

from __future__ import annotations

import itertools

import pytest

from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.capabilities import NOTHING_KNOWN, OURS, Capabilities
from smimegw.policy.algorithms import Because, choose_cipher, choose_key_encryption
from smimegw.policy.model import Treatment
from tests.fakes.pki import make_ca

AUTO = Treatment()
GCM = ContentCipher.AES_256_GCM
CBC = ContentCipher.AES_256_CBC
SMALL = ContentCipher.AES_128_CBC
CA = make_ca("Algorithms CA")
RSA = CA.issue("rsa@partner.example").certificate
P384 = CA.issue("p384@partner.example", key="p384").certificate
X25519 = CA.issue("x@partner.example", key="x25519", usage="encrypt").certificate
OAEP_256 = Capabilities.of((), (KeyEncryption.RSA_OAEP_SHA256,))


def _choice(*readers: Capabilities, treatment: Treatment = AUTO) -> tuple[ContentCipher, Because]:
    chosen = choose_cipher(treatment, readers)
    return chosen.cipher, chosen.because


def test_gcm_is_for_whom_is_known_to_read_it() -> None:
    """And AES-CBC for everybody else (cases G24)."""
    assert _choice(Capabilities.of([GCM, CBC])) == (GCM, Because.CAPABILITIES)
    assert _choice(NOTHING_KNOWN) == (CBC, Because.DEFAULT)


def test_one_reader_of_whom_nothing_is_known_keeps_gcm_from_all() -> None:
    """One EnvelopedData has one content cipher (RFC 8551, 2.7.1; cases G24)."""
    assert _choice(OURS, NOTHING_KNOWN) == (CBC, Because.DEFAULT)


def test_all_known_readers_get_the_strongest_that_all_read() -> None:
    """Not the first one's preference."""
    first = Capabilities.of([ContentCipher.AES_128_GCM, GCM, CBC])
    second = Capabilities.of([CBC, ContentCipher.AES_128_GCM])
    assert _choice(first, second) == (ContentCipher.AES_128_GCM, Because.CAPABILITIES)


def test_reader_who_is_known_to_read_less_gets_less() -> None:
    """As long as the rule's floor allows it (RFC 8551, 2.7.1.1)."""
    assert _choice(Capabilities.of([SMALL])) == (SMALL, Because.CAPABILITIES)
    assert _choice(Capabilities.of([SMALL]), NOTHING_KNOWN) == (SMALL, Because.DEFAULT)


def test_capabilities_without_a_cipher_that_we_write_say_nothing() -> None:
    """A list of 3DES and OAEP is no word about AES."""
    assert _choice(OAEP_256) == (CBC, Because.DEFAULT)


def test_readers_who_have_nothing_in_common_get_the_default() -> None:
    """Somebody said too little; AES-256-CBC is what all programs read."""
    assert _choice(Capabilities.of([GCM]), NOTHING_KNOWN) == (CBC, Because.DEFAULT)


@pytest.mark.parametrize("known", [NOTHING_KNOWN, Capabilities.of([CBC]), Capabilities.of([SMALL])])
def test_floor_is_written_whatever_is_known(known: Capabilities) -> None:
    """It is a demand of the rule, not a wish."""
    treatment = Treatment(cipher_floor=ContentCipher.AES_128_GCM)
    chosen = _choice(OURS, known, treatment=treatment)
    assert chosen == (ContentCipher.AES_128_GCM, Because.FLOOR)


def test_floor_does_not_keep_from_better() -> None:
    """More than the least is chosen when all read it."""
    treatment = Treatment(cipher_floor=ContentCipher.AES_128_GCM)
    assert _choice(OURS, treatment=treatment) == (GCM, Because.CAPABILITIES)


def test_nothing_below_the_floor_is_ever_written() -> None:
    """Every floor with every set of two readers."""
    kinds = [NOTHING_KNOWN, *(Capabilities.of([cipher]) for cipher in ContentCipher), OURS]
    strength = [cipher for _, cipher in sorted((_rank(c), c) for c in ContentCipher)]
    for floor, first, second in itertools.product(ContentCipher, kinds, kinds):
        chosen, because = _choice(first, second, treatment=Treatment(cipher_floor=floor))
        assert strength.index(chosen) >= strength.index(floor)
        if chosen.authenticated and because is Because.CAPABILITIES:
            assert chosen in first.ciphers
            assert chosen in second.ciphers
        elif chosen.authenticated:
            assert (because, chosen) == (Because.FLOOR, floor)


def _rank(cipher: ContentCipher) -> tuple[bool, int, bool]:
    """Those that notice changes first, then the length of the key, then AES."""
    return cipher.authenticated, cipher.key_octets, cipher is not ContentCipher.CHACHA20_POLY1305


def test_cipher_of_the_rule_is_used_as_it_is() -> None:
    """Agreed with a partner."""
    treatment = Treatment(cipher=ContentCipher.AES_128_GCM)
    assert _choice(NOTHING_KNOWN, treatment=treatment) == (
        ContentCipher.AES_128_GCM,
        Because.RULE,
    )


@pytest.mark.parametrize(
    ("oaep", "known", "expected"),
    [
        (None, NOTHING_KNOWN, KeyEncryption.RSA_PKCS1V15),
        (None, OAEP_256, KeyEncryption.RSA_OAEP_SHA256),
        (
            None,
            Capabilities.of((), (KeyEncryption.RSA_OAEP_SHA512,)),
            KeyEncryption.RSA_OAEP_SHA512,
        ),
        (
            None,
            Capabilities.of((), (KeyEncryption.RSA_OAEP_SHA1,)),
            KeyEncryption.RSA_PKCS1V15,
        ),
        (True, NOTHING_KNOWN, KeyEncryption.RSA_OAEP_SHA256),
        (False, OAEP_256, KeyEncryption.RSA_PKCS1V15),
    ],
)
def test_oaep_is_for_whom_is_known_to_read_it(
    oaep: bool | None, known: Capabilities, expected: KeyEncryption
) -> None:
    """Unless the rule decides; OAEP with SHA-1 is read and never written (RFC 8551, 2.3)."""
    assert choose_key_encryption(Treatment(oaep=oaep), RSA, known) is expected


def test_derivation_goes_by_the_curve_unless_another_one_is_known() -> None:
    """RFC 5753, 8; what a reader does not list beside others it may not read."""
    usual = choose_key_encryption(AUTO, P384, NOTHING_KNOWN)
    assert usual is KeyEncryption.ECDH_SHA384KDF
    assert choose_key_encryption(AUTO, P384, OURS) is usual
    only = Capabilities.of((), (KeyEncryption.ECDH_SHA256KDF,))
    assert choose_key_encryption(AUTO, P384, only) is KeyEncryption.ECDH_SHA256KDF


def test_derivation_with_sha1_is_never_written() -> None:
    """It is read only; who lists nothing else gets the usual one."""
    only = Capabilities.of((), (KeyEncryption.ECDH_SHA1KDF,))
    assert choose_key_encryption(AUTO, P384, only) is KeyEncryption.ECDH_SHA384KDF


def test_montgomery_keys_are_agreed_with_hkdf() -> None:
    """RFC 8418, 2.2: never X9.63, whatever is listed."""
    only = Capabilities.of((), (KeyEncryption.ECDH_SHA256KDF,))
    assert choose_key_encryption(AUTO, X25519, only) is KeyEncryption.ECDH_HKDF_SHA256
