"""X25519, X448 and HKDF: `openssl pkeyutl` and `openssl kdf` agree with us, both ways (RFC 8418).

`openssl cms` of OpenSSL 3.0 does not know these forms of KeyAgreeRecipientInfo, so the message is
put together and taken apart here, step by step, with openssl's key agreement and derivation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher, KeyEncryption, key_encryption_for
from smimegw.cms.content_info import DATA, ENVELOPED_DATA
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey
from smimegw.errors import DecryptionError
from tests.fakes.pki import Issued, make_ca
from tests.interop.openssl import Files, openssl

CONTENT = b"Content-Type: text/plain\r\n\r\nTotals as agreed.\r\n"
AES_256_WRAP = der.sequence(der.oid("2.16.840.1.101.3.4.1.45"))
SUITES = {  # RFC 8418, 2; RFC 5753, 7.1.4
    "x963-sha256": ("1.3.132.1.11.1", "X963KDF", "SHA256"),
    "x963-sha512": ("1.3.132.1.11.3", "X963KDF", "SHA512"),
    "hkdf-sha256": ("1.2.840.113549.1.9.16.3.19", "HKDF", "SHA256"),
    "hkdf-sha384": ("1.2.840.113549.1.9.16.3.20", "HKDF", "SHA384"),
    "hkdf-sha512": ("1.2.840.113549.1.9.16.3.21", "HKDF", "SHA512"),
}
BY_KEY_ENCRYPTION = {
    KeyEncryption.ECDH_SHA256KDF: "x963-sha256",
    KeyEncryption.ECDH_SHA512KDF: "x963-sha512",
    KeyEncryption.ECDH_HKDF_SHA256: "hkdf-sha256",
    KeyEncryption.ECDH_HKDF_SHA384: "hkdf-sha384",
    KeyEncryption.ECDH_HKDF_SHA512: "hkdf-sha512",
}
COFACTOR_SHA256 = "1.3.132.1.14.1"
KINDS = {"x25519": "1.3.101.110", "x448": "1.3.101.111", "p256": "1.2.840.10045.2.1"}


@dataclass(frozen=True)
class Bench:
    """A directory with one person's files."""

    kind: str
    directory: Path
    issued: Issued
    files: Files

    @property
    def credential(self) -> DecryptionCredential:
        key = SoftwareDecryptionKey(self.issued.key)
        return DecryptionCredential(self.issued.certificate, key)

    def keep(self, name: str, octets: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(octets)
        return path


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    ca = make_ca("Agreement CA")
    issued = ca.issue("alice@ours.example", key=request.param, usage="encrypt")
    return Bench(request.param, tmp_path, issued, Files.of(issued, tmp_path, "alice"))


def _derived(suite: str, secret: bytes, material: bytes | None) -> bytes:
    """The key-encryption key of 256 bits, by openssl."""
    _, derivation, digest = SUITES[suite]
    entity = b"" if material is None else der.explicit(0, der.octet_string(material))
    info = der.sequence(
        AES_256_WRAP, entity, der.explicit(2, der.octet_string((256).to_bytes(4, "big")))
    )
    options = [f"digest:{digest}", f"hexinfo:{info.hex()}"]
    if derivation == "HKDF":
        options += [f"hexkey:{secret.hex()}"]
        options += [] if material is None else [f"hexsalt:{material.hex()}"]
    else:
        options += [f"hexsecret:{secret.hex()}"]
    command = ["kdf", "-keylen", "32", "-binary"]
    for option in options:
        command += ["-kdfopt", option]
    return openssl(*command, derivation)


def _subject_public_key(spki: bytes) -> bytes:
    return asn1.read_document(spki).elements(asn1.SEQUENCE, asn1.BIT_STRING)[1].bits()


def _made(
    bench: Bench, suite: str, material: bytes | None = None, oid: str = "", kind_oid: str = ""
) -> bytes:
    """An EnvelopedData for the person of *bench*, made with openssl's tools."""
    public = bench.directory / "alice.pub"
    public.write_bytes(openssl("x509", "-in", bench.files.certificate, "-noout", "-pubkey"))
    if bench.kind == "p256":
        new = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    else:
        new = ("genpkey", "-algorithm", bench.kind.upper())
    ephemeral = bench.keep("ephemeral.key", openssl(*new))
    secret = openssl("pkeyutl", "-derive", "-inkey", ephemeral, "-peerkey", public)
    point = _subject_public_key(openssl("pkey", "-in", ephemeral, "-pubout", "-outform", "DER"))
    content_key, nonce = bytes(range(32)), bytes(range(16))
    encrypted_key = aes_key_wrap(_derived(suite, secret, material), content_key)
    encrypted = openssl(
        "enc", "-aes-256-cbc", "-K", content_key.hex(), "-iv", nonce.hex(), stdin=CONTENT
    )
    originator = der.value(
        0xA1, der.sequence(der.oid(kind_oid or KINDS[bench.kind])), der.bit_string(point)
    )
    name = issuer_and_serial_number(bench.issued.certificate)
    info = der.explicit(
        1,
        der.integer(3),
        der.explicit(0, originator),
        b"" if material is None else der.explicit(1, der.octet_string(material)),
        der.sequence(der.oid(oid or SUITES[suite][0]), AES_256_WRAP),
        der.sequence(der.sequence(name, der.octet_string(encrypted_key))),
    )
    cipher = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octet_string(nonce))
    inner = der.sequence(der.oid(DATA), cipher, der.value(0x80, encrypted))
    enveloped = der.sequence(der.integer(2), der.set_of([info]), inner)
    return der.sequence(der.oid(ENVELOPED_DATA), der.explicit(0, enveloped))


@pytest.mark.parametrize("material", [None, b"keying material"], ids=["plain", "material"])
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("bench", KINDS, indirect=True)
def test_what_openssl_agreed_and_derived_decrypts(
    bench: Bench, suite: str, material: bytes | None
) -> None:
    """With user keying material it is salt of HKDF and part of the info (RFC 8418, 2.2)."""
    enveloped = parse_enveloped(_made(bench, suite, material))
    assert decrypt(enveloped, (bench.credential,)) == CONTENT


@pytest.mark.parametrize("bench", ["x25519", "x448"], indirect=True)
def test_cofactor_form_of_montgomery_keys_is_refused(bench: Bench) -> None:
    """Only dhSinglePass-stdDH (RFC 8418, 3)."""
    enveloped = parse_enveloped(_made(bench, "x963-sha256", oid=COFACTOR_SHA256))
    with pytest.raises(DecryptionError):
        decrypt(enveloped, (bench.credential,))


@pytest.mark.parametrize("bench", ["x25519"], indirect=True)
def test_key_of_another_kind_is_refused(bench: Bench) -> None:
    """The originator's key says X448 (RFC 8418, 3)."""
    enveloped = parse_enveloped(_made(bench, "hkdf-sha256", kind_oid=KINDS["x448"]))
    with pytest.raises(DecryptionError):
        decrypt(enveloped, (bench.credential,))


@pytest.mark.parametrize("key_encryption", BY_KEY_ENCRYPTION, ids=lambda item: item.label)
@pytest.mark.parametrize("bench", KINDS, indirect=True)
def test_openssl_agrees_and_derives_what_we_did(
    bench: Bench, key_encryption: KeyEncryption
) -> None:
    """The content key comes out of ours with openssl's secret and derivation."""
    recipient = Recipient(bench.issued.certificate, key_encryption)
    octets = b"".join(encrypt((CONTENT,), len(CONTENT), [recipient], ContentCipher.AES_256_CBC))
    (_, content) = asn1.read_document(octets).elements()
    _, infos, inner = content.elements()[0].elements()
    _, originator, algorithm, keys = infos.elements()[0].elements()
    identifier, bits = originator.elements()[0].elements()
    assert identifier.elements()[0].oid() == KINDS[bench.kind]
    suite = BY_KEY_ENCRYPTION[key_encryption]
    assert algorithm.elements()[0].oid() == SUITES[suite][0]
    assert algorithm.elements()[1].encoded == AES_256_WRAP
    curve = der.oid("1.2.840.10045.3.1.7") if bench.kind == "p256" else b""
    spki = der.sequence(
        der.sequence(der.oid(KINDS[bench.kind]), curve), der.bit_string(bits.bits())
    )
    secret = openssl(
        *("pkeyutl", "-derive", "-inkey", bench.files.key),
        *("-peerkey", bench.keep("originator.der", spki), "-peerform", "DER"),
    )
    encrypted_key = keys.elements()[0].elements()[1].octets()
    content_key = aes_key_unwrap(_derived(suite, secret, None), encrypted_key)
    _, cipher, encrypted = inner.elements()
    nonce = cipher.elements()[1].octets()
    command = ("enc", "-d", "-aes-256-cbc", "-K", content_key.hex(), "-iv", nonce.hex())
    assert openssl(*command, stdin=bytes(encrypted.content)) == CONTENT


@pytest.mark.parametrize(
    ("bench", "expected"),
    [("x25519", KeyEncryption.ECDH_HKDF_SHA256), ("x448", KeyEncryption.ECDH_HKDF_SHA512)],
    indirect=["bench"],
)
def test_hkdf_is_what_we_choose(bench: Bench, expected: KeyEncryption) -> None:
    """RFC 8551, 2.3."""
    assert key_encryption_for(bench.issued.certificate) is expected
