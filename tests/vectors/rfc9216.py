"""The people and authorities of RFC 9216, read from the files in rfc9216/."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smimegw.adapters.keys.containers import KeyMaterial, read_certificates, read_key_material
from smimegw.addresses import Mailbox
from smimegw.cms.keys import (
    DecryptionCredential,
    PrivateKey,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from tests.fakes.pki import CA, NOW

FILES = Path(__file__).parent / "rfc9216"
AUTHORITY_OF = {"alice": "rsa", "bob": "rsa", "carlos": "25519", "dana": "25519"}
PEOPLE = tuple(AUTHORITY_OF)


@cache
def material(name: str, purpose: str) -> KeyMaterial:
    """Someone's key for ``sign`` or ``encrypt``."""
    certificate = (FILES / f"{name}.{purpose}.crt").read_bytes()
    key = (FILES / f"{name}.{purpose}.key").read_bytes()
    return read_key_material(key, certificates=certificate)


def pkcs12(name: str) -> bytes:
    """The file that holds both keys of someone; the password is the name."""
    armour = (FILES / f"{name}.p12").read_text().splitlines()
    return base64.b64decode("".join(armour[1:-1]))


def cross_certificate(name: str) -> Certificate:
    """An authority's certificate by the other authority."""
    return read_certificates((FILES / f"ca.{name}.cross.crt").read_bytes())[0]


@cache
def authority(name: str) -> CA:
    """``rsa`` or ``25519``, able to make lists."""
    (certificate,) = read_certificates((FILES / f"ca.{name}.crt").read_bytes())
    key = load_pem_private_key((FILES / f"ca.{name}.key").read_bytes(), None)
    assert isinstance(key, PrivateKey)
    return CA(certificate=certificate, key=key, name=certificate.parsed.subject)


@cache
def evidence(*anchors: str) -> Evidence:
    """Trust in these authorities, with their lists, which name nobody."""
    found = [authority(name) for name in anchors]
    return Evidence(
        trust_anchors=tuple(ca.certificate for ca in found), crls=tuple(ca.crl() for ca in found)
    )


def everything() -> Evidence:
    """Trust in both authorities."""
    return evidence("rsa", "25519")


def address(name: str) -> Mailbox:
    """Someone's address."""
    return Mailbox.parse(f"{name}@smime.example")


def signer(name: str) -> SigningCredential:
    """Someone's signing credential."""
    own = material(name, "sign")
    chain = (authority(AUTHORITY_OF[name]).certificate,)
    return SigningCredential(own.certificate, chain, SoftwareSigningKey(own.private_key))


def reader(name: str) -> DecryptionCredential:
    """Someone's decryption credential."""
    own = material(name, "encrypt")
    return DecryptionCredential(own.certificate, SoftwareDecryptionKey(own.private_key))


def recipient(name: str) -> ValidatedCertificate:
    """Someone's certificate, validated for encryption."""
    return validate(
        material(name, "encrypt").certificate,
        everything(),
        purpose=Purpose.ENCRYPTION,
        mailbox=address(name),
        now=NOW,
    )
