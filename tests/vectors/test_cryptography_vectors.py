"""PKCS #12 and CMS files that other programs wrote, from `cryptography_vectors`."""

from __future__ import annotations

import base64
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smimegw.adapters.keys.containers import read_certificates, read_key_material
from smimegw.cms.content_ciphers import LegacyCipher
from smimegw.cms.envelope import decrypt, parse_enveloped
from smimegw.cms.keys import DecryptionCredential, PrivateKey, SoftwareDecryptionKey
from smimegw.errors import CMSError, PasswordError, UsageError

DATA = Path(cryptography_vectors.__file__).parent
PKCS12 = sorted(path.name for path in (DATA / "pkcs12").glob("*.p12"))
WEAK = {"cert-rc2-key-3des.p12", "no-password.p12"}
WITHOUT_KEY = ("java-truststore.p12", "cert-aes256cbc-no-key.p12")


def password_of(name: str) -> bytes | None:
    """The password that the files' documentation gives."""
    if name.endswith("no-pwd.p12") or name == "java-truststore.p12":
        return None
    if name.endswith("pwd.p12"):
        return b"password"
    return b"cryptography"


def expected(name: str) -> str:
    """What is said of a file: "" for a key with its certificate."""
    if name in WEAK:
        return "RC2-40 only"
    if name == "no-cert-key-aes256cbc.p12":
        return "no certificate"
    if name in WITHOUT_KEY or name.startswith("no-cert-"):
        return "holds no private key"
    return ""


@pytest.mark.parametrize("name", PKCS12)
def test_pkcs12_file_is_read_or_refused_for_its_reason(name: str) -> None:
    """By OpenSSL and Java, with names in every place (RFC 7292, 4; cases H25)."""
    octets = (DATA / "pkcs12" / name).read_bytes()
    if text := expected(name):
        with pytest.raises(UsageError, match=text):
            read_key_material(octets, password_of(name))
        return
    assert read_key_material(octets, password_of(name)).certificate.parsed
    with pytest.raises(PasswordError):
        read_key_material(octets, b"another")


def test_files_are_counted() -> None:
    """So that an empty directory cannot pass."""
    assert len(PKCS12) == 31
    assert len([name for name in PKCS12 if not expected(name)]) == 16


def enveloped(name: str) -> bytes:
    octets = (DATA / "pkcs7" / name).read_bytes()
    return base64.b64decode(b"".join(octets.splitlines()[1:-1])) if name[-3:] == "pem" else octets


def authority() -> DecryptionCredential:
    """For whom the files are encrypted."""
    directory = DATA / "x509" / "custom" / "ca"
    key = load_pem_private_key((directory / "rsa_key.pem").read_bytes(), None)
    assert isinstance(key, PrivateKey)
    (certificate,) = read_certificates((directory / "rsa_ca.pem").read_bytes())
    return DecryptionCredential(certificate, SoftwareDecryptionKey(key))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("enveloped-rsa-oaep.pem", b"Hello, world!"),
        ("enveloped-triple-des.pem", b"Hello, World!\r\n"),
    ],
)
def test_enveloped_data_is_opened(name: str, content: bytes) -> None:
    """OAEP without parameters is OAEP with SHA-1 (RFC 4055, 4.1); 3DES as old mail."""
    read = parse_enveloped(enveloped(name))
    is_old = read.cipher is LegacyCipher.DES_EDE3_CBC
    assert decrypt(read, [authority()], allow_legacy=is_old) == content


def test_enveloped_data_without_content_is_refused() -> None:
    """Content elsewhere is no mail (RFC 5652, 6.1)."""
    with pytest.raises(CMSError, match="not there"):
        parse_enveloped(enveloped("enveloped-no-content.der"))
