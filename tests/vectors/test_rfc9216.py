"""The certificates and keys that RFC 9216 publishes, and messages made with them (cases H27)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa, x25519

from smimegw.adapters.keys.containers import read_key_material
from smimegw.errors import CertificateError, NoMatchingKeyError, UsageError, VerificationError
from smimegw.mime.entity import Entity
from smimegw.mime.lines import with_crlf
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import verify
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from smimegw.x509.status import RevocationStatus
from tests.fakes.pki import NOW
from tests.fakes.smime import TEXT, whole
from tests.interop.openssl import openssl
from tests.vectors.rfc9216 import (
    AUTHORITY_OF,
    FILES,
    PEOPLE,
    address,
    authority,
    cross_certificate,
    everything,
    evidence,
    material,
    pkcs12,
    reader,
    recipient,
    signer,
)


def judged(name: str, purpose: str, known: Evidence) -> ValidatedCertificate:
    return validate(
        material(name, purpose).certificate,
        known,
        purpose=Purpose.SIGNATURE if purpose == "sign" else Purpose.ENCRYPTION,
        mailbox=address(name),
        now=NOW,
    )


@pytest.mark.parametrize("purpose", ["sign", "encrypt"])
@pytest.mark.parametrize("name", PEOPLE)
def test_end_entities_are_valid_for_what_they_are_made_for(name: str, purpose: str) -> None:
    """Directly under their own authority (RFC 9216, 2.5, figure 1)."""
    own = authority(AUTHORITY_OF[name])
    found = judged(name, purpose, evidence(AUTHORITY_OF[name]))
    assert found.path == (material(name, purpose).certificate, own.certificate)
    assert found.revocation is RevocationStatus.GOOD


@pytest.mark.parametrize("name", PEOPLE)
def test_signing_certificates_are_not_encrypted_to(name: str) -> None:
    """Each has a key usage of its own (RFC 9216, 2.1)."""
    for purpose, wrong in (("sign", Purpose.ENCRYPTION), ("encrypt", Purpose.SIGNATURE)):
        with pytest.raises(CertificateError, match="key-usage"):
            validate(
                material(name, purpose).certificate,
                everything(),
                purpose=wrong,
                mailbox=address(name),
                now=NOW,
            )


@pytest.mark.parametrize("name", PEOPLE)
def test_path_leads_over_the_cross_certificate(name: str) -> None:
    """From the other authority, which alone is trusted (RFC 9216, 2.5, figure 2)."""
    own = AUTHORITY_OF[name]
    other = "25519" if own == "rsa" else "rsa"
    known = replace(
        evidence(other),
        intermediates=(cross_certificate(own), cross_certificate(other)),
        crls=(authority(own).crl(), authority(other).crl()),
    )
    path = judged(name, "sign", known).path
    assert path[1:] == (cross_certificate(own), authority(other).certificate)


@pytest.mark.parametrize("name", PEOPLE)
def test_path_without_the_cross_certificate_is_not_found(name: str) -> None:
    """A certificate without its intermediate, "transvalid" (RFC 9216, 2.5)."""
    with pytest.raises(CertificateError, match="untrusted-ca"):
        judged(name, "sign", evidence("25519" if AUTHORITY_OF[name] == "rsa" else "rsa"))


@pytest.mark.parametrize("name", PEOPLE)
def test_keys_are_of_the_kind_that_is_described(name: str) -> None:
    """RSA keys carry how their primes were made, which is passed over (RFC 8479)."""
    kinds = {
        "rsa": (rsa.RSAPrivateKey, rsa.RSAPrivateKey),
        "25519": (ed25519.Ed25519PrivateKey, x25519.X25519PrivateKey),
    }[AUTHORITY_OF[name]]
    assert isinstance(material(name, "sign").private_key, kinds[0])
    assert isinstance(material(name, "encrypt").private_key, kinds[1])


@pytest.mark.parametrize("make", [sign_clear, sign_opaque])
@pytest.mark.parametrize("name", PEOPLE)
def test_signed_message_verifies(name: str, make: Callable[..., Entity]) -> None:
    """SHA-512 with RSA, and Ed25519 (cases H27)."""
    layer = layer_of(make(TEXT, signer(name), now=NOW))
    assert isinstance(layer, SignedLayer)
    found = verify(layer, everything(), originator=address(name), sender=None, now=NOW)
    assert found.entity.raw == TEXT.raw
    with pytest.raises(VerificationError, match="from-mismatch"):
        verify(layer, everything(), originator=address("eve"), sender=None, now=NOW)


def test_message_for_all_four_is_opened_by_each() -> None:
    """Key transport and X25519 beside each other (RFC 8418; cases H27)."""
    layer = layer_of(whole(encrypt(TEXT, [recipient(name) for name in PEOPLE])))
    assert isinstance(layer, EncryptedLayer)
    for name in PEOPLE:
        assert decrypt(layer, [reader(name)]).entity.raw == TEXT.raw


def test_message_for_bob_is_closed_to_the_others() -> None:
    """Issuer and serial number tell them apart (RFC 5652, 6.2.1)."""
    layer = layer_of(whole(encrypt(TEXT, [recipient("bob")])))
    assert isinstance(layer, EncryptedLayer)
    with pytest.raises(NoMatchingKeyError):
        decrypt(layer, [reader(name) for name in PEOPLE if name != "bob"])


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_openssl_signs_and_encrypts_with_the_same_files(name: str) -> None:
    """Another program reads the same files (cases H27)."""
    signed = openssl(
        "cms", "-sign", "-signer", FILES / f"{name}.sign.crt",
        "-inkey", FILES / f"{name}.sign.key", stdin=TEXT.raw,
    )  # fmt: skip
    sealed = openssl("cms", "-encrypt", "-aes256", FILES / f"{name}.encrypt.crt", stdin=signed)
    outer = layer_of(Entity.parse(with_crlf(sealed)))
    assert isinstance(outer, EncryptedLayer)
    inner = layer_of(decrypt(outer, [reader(name)]).entity)
    assert isinstance(inner, SignedLayer)
    found = verify(inner, everything(), originator=address(name), sender=None, now=NOW)
    assert found.entity.body == TEXT.body


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_openssl_verifies_what_is_signed_here(name: str, tmp_path: Path) -> None:
    """The same files the other way round; OpenSSL 3.0 has no Ed25519 here (cases H27)."""
    message = tmp_path / "message.eml"
    message.write_bytes(sign_clear(TEXT, signer(name), now=NOW).raw)
    roots = FILES / f"ca.{AUTHORITY_OF[name]}.crt"
    assert openssl("cms", "-verify", "-in", message, "-CAfile", roots) == TEXT.raw


@pytest.mark.parametrize("name", PEOPLE)
def test_file_with_two_keys_is_not_read_halfway(name: str) -> None:
    """The second key would be lost, and with it the mail it opens (RFC 9216, 4.5)."""
    with pytest.raises(UsageError, match="2 private keys"):
        read_key_material(pkcs12(name), name.encode())
    with pytest.raises(UsageError, match="2 private keys"):
        read_key_material((FILES / f"{name}.p12").read_bytes(), name.encode())


def test_armoured_file_is_read(tmp_path: Path) -> None:
    """As RFC 9216, 4.5 prints them."""
    octets = base64.encodebytes(exported("alice", "sign", tmp_path))
    armoured = b"-----BEGIN PKCS12-----\n" + octets + b"-----END PKCS12-----\n"
    found = read_key_material(armoured, b"secret")
    assert found.certificate == material("alice", "sign").certificate
    for damaged in (armoured * 2, armoured.replace(octets, b"MII\n"), armoured[:-9]):
        with pytest.raises(UsageError, match="damaged"):
            read_key_material(damaged, b"secret")


@pytest.mark.parametrize(("name", "purpose"), [("alice", "sign"), ("bob", "encrypt")])
def test_key_alone_in_a_file_is_read(name: str, purpose: str, tmp_path: Path) -> None:
    """What the refusal of two keys asks for."""
    octets = exported(name, purpose, tmp_path)
    assert read_key_material(octets, b"secret").certificate == material(name, purpose).certificate


def test_kind_of_key_that_pkcs12_cannot_give_is_named(tmp_path: Path) -> None:
    """The library reads X25519 keys from PEM only; the password is right and strong."""
    with pytest.raises(UsageError, match=r"kind of private key.*PEM"):
        read_key_material(exported("dana", "encrypt", tmp_path), b"secret")


def exported(name: str, purpose: str, directory: Path) -> bytes:
    """A PKCS #12 file with one of someone's keys."""
    file = directory / "one.p12"
    openssl(
        "pkcs12", "-export", "-in", FILES / f"{name}.{purpose}.crt",
        "-inkey", FILES / f"{name}.{purpose}.key", "-passout", "pass:secret", "-out", file,
    )  # fmt: skip
    return file.read_bytes()
