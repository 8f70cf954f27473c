"""Which certificates are fit for e-mail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.lint import encryption_flaw, key_flaw, signing_flaw
from tests.fakes.pki import ANY_PURPOSE, FUTURE, NOW, PAST, SERVER_AUTH, make_ca

CA = make_ca("Lint CA")
SECOND = timedelta(seconds=1)


def flaws(**how: Any) -> tuple[str, str]:
    certificate = CA.issue(**how).certificate
    return encryption_flaw(certificate, NOW), signing_flaw(certificate, NOW)


@pytest.mark.parametrize("key", ["rsa", "rsa3072", "p256", "p384", "p521"])
def test_ordinary_certificates_have_no_flaw(key: str) -> None:
    """RFC 8550, 4: sign and encrypt with one certificate."""
    assert flaws(key=key) == ("", "")


@pytest.mark.parametrize("key", ["rsa", "p256"])
def test_key_usage_decides_between_signing_and_encrypting(key: str) -> None:
    """RFC 8550, 4.4.2: keyEncipherment or keyAgreement there, digitalSignature here."""
    assert flaws(key=key, usage="sign") == ("key-usage", "")
    assert flaws(key=key, usage="encrypt") == ("", "key-usage")
    assert flaws(key=key, usage=None) == ("", "")


def test_extended_key_usage_must_allow_mail_if_there() -> None:
    """RFC 8550, 4.4.4: emailProtection, anyExtendedKeyUsage, or no extension (cases I19)."""
    assert flaws(eku=[SERVER_AUTH]) == ("extended-key-usage", "extended-key-usage")
    assert flaws(eku=[ANY_PURPOSE]) == ("", "")
    assert flaws(eku=None) == ("", "")


def test_validity_includes_both_ends() -> None:
    """RFC 5280, 4.1.2.5."""
    certificate = CA.issue(not_before=PAST, not_after=FUTURE).certificate
    assert encryption_flaw(certificate, PAST - SECOND) == "not-yet-valid"
    assert encryption_flaw(certificate, PAST) == ""
    assert encryption_flaw(certificate, FUTURE) == ""
    assert encryption_flaw(certificate, FUTURE + SECOND) == "expired"
    assert signing_flaw(certificate, FUTURE + SECOND) == "expired"


@pytest.mark.parametrize("key", ["rsa1024", "p224", "secp256k1"])
def test_weak_keys_are_refused(key: str) -> None:
    """RSA below 2048 bits, small curves and curves that CMS has no profile for."""
    assert flaws(key=key) == ("weak-key", "weak-key")


def test_small_rsa_exponents_are_refused() -> None:
    """65537 is the smallest that is accepted."""
    key = rsa.generate_private_key(public_exponent=3, key_size=2048)
    assert flaws(key=key) == ("weak-key", "weak-key")


@pytest.mark.parametrize("key", ["brainpool256", "brainpool384", "brainpool512"])
def test_brainpool_keys_sign_and_encrypt(key: str) -> None:
    """As strong as those of NIST (RFC 5639)."""
    assert flaws(key=key) == ("", "")


@pytest.mark.parametrize("key", ["ed25519", "ed448"])
def test_edwards_keys_only_sign(key: str) -> None:
    """RFC 8419; nothing can be encrypted to them."""
    assert flaws(key=key) == ("key-usage", "")


@pytest.mark.parametrize("key", ["x25519", "x448"])
def test_montgomery_keys_only_agree(key: str) -> None:
    """RFC 8418; nothing they sign exists, whatever the certificate says (RFC 8410, 5)."""
    assert flaws(key=key) == ("", "key-usage")


def test_authorities_are_no_end_entities() -> None:
    """A CA's key is not for mail, whatever its KeyUsage says."""
    authority = make_ca("Lint Both", parent=CA, usage=None).certificate
    assert encryption_flaw(authority, NOW) == "key-usage"
    assert signing_flaw(authority, NOW) == "key-usage"


def test_key_limits_come_from_the_limits() -> None:
    """8192 bits and not more, since a longer key makes every check slow."""
    assert key_flaw(CA.issue(key="rsa").certificate) == ""
    small = replace(DEFAULT_LIMITS, rsa_bits_max=2047)
    assert key_flaw(CA.issue(key="rsa").certificate, limits=small) == "weak-key"
