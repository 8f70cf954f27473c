"""`openssl cms` makes and we read, we make and `openssl cms` reads, for every algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    KeyEncryption,
    SignatureScheme,
    key_encryption_for,
)
from smimegw.cms.capabilities import OURS
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.cms.signed_data import (
    CheckedSignature,
    parse_signed_data,
    sign_detached,
    sign_opaque,
    verify_signer_info,
)
from smimegw.cms.verify import digest_of
from smimegw.errors import SignatureError
from tests.fakes.pki import NOW, Issued, make_ca
from tests.interop.openssl import Files, openssl, refusal

CONTENT = b"Content-Type: text/plain\r\n\r\n" + bytes(range(256)) * 64 + b"\r\n"
RSA, PSS, ECDSA = SignatureScheme.RSA_PKCS1V15, SignatureScheme.RSA_PSS, SignatureScheme.ECDSA
SHA256, SHA384, SHA512 = DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512

SIGNATURES = [
    *((key, RSA, digest) for key in ("rsa", "rsa3072") for digest in (SHA256, SHA384, SHA512)),
    *(("rsa", PSS, digest) for digest in (SHA256, SHA384, SHA512)),
    ("p256", ECDSA, SHA256),
    ("p384", ECDSA, SHA384),
    ("p521", ECDSA, SHA512),
    ("p256", ECDSA, SHA512),
    ("brainpool256", ECDSA, SHA256),
    ("brainpool384", ECDSA, SHA384),
    ("brainpool512", ECDSA, SHA512),
]
CIPHERS = [  # OpenSSL 3.0 has no ChaCha20-Poly1305 in CMS
    cipher for cipher in ContentCipher if cipher is not ContentCipher.CHACHA20_POLY1305
]
KEY_ENCRYPTIONS = [
    ("rsa", KeyEncryption.RSA_PKCS1V15),
    ("rsa", KeyEncryption.RSA_OAEP_SHA1),
    ("rsa", KeyEncryption.RSA_OAEP_SHA256),
    ("rsa", KeyEncryption.RSA_OAEP_SHA384),
    ("rsa", KeyEncryption.RSA_OAEP_SHA512),
    ("p256", KeyEncryption.ECDH_SHA1KDF),
    ("p256", KeyEncryption.ECDH_SHA256KDF),
    ("p384", KeyEncryption.ECDH_SHA384KDF),
    ("p521", KeyEncryption.ECDH_SHA512KDF),
    ("brainpool256", KeyEncryption.ECDH_SHA256KDF),
    ("brainpool384", KeyEncryption.ECDH_SHA384KDF),
    ("brainpool512", KeyEncryption.ECDH_SHA512KDF),
]


@cache
def _person(key: str, name: str = "alice") -> Issued:
    return make_ca("Interop CA").issue(f"{name}@ours.example", key=key, slot=f"{key}/{name}")


@dataclass(frozen=True)
class Bench:
    """A directory with one person's files and the content."""

    directory: Path
    issued: Issued
    files: Files

    @property
    def content(self) -> Path:
        path = self.directory / "content"
        path.write_bytes(CONTENT)
        return path

    def keep(self, name: str, octets: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(octets)
        return path

    def signer(self) -> list[str | Path]:
        files = self.files
        return ["-signer", files.certificate, "-inkey", files.key, "-certfile", files.chain]

    def signing_credential(self) -> SigningCredential:
        key = SoftwareSigningKey(self.issued.key)
        return SigningCredential(self.issued.certificate, self.issued.chain, key)

    def decryption_credential(self) -> DecryptionCredential:
        key = SoftwareDecryptionKey(self.issued.key)
        return DecryptionCredential(self.issued.certificate, key)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    issued = _person(getattr(request, "param", "rsa"))
    return Bench(tmp_path, issued, Files.of(issued, tmp_path, "alice"))


def _ids(values: list[tuple[object, ...]]) -> list[str]:
    return ["-".join(str(getattr(part, "value", part)) for part in value) for value in values]


def _checked(octets: bytes, content: bytes | None, bench: Bench) -> CheckedSignature:
    signed_data = parse_signed_data(octets)
    (signer_info,) = signed_data.signer_infos
    checked = verify_signer_info(
        signed_data,
        signer_info,
        None if content is None else (content,),
        extra_certificates=(bench.issued.certificate,),
    )
    assert checked.certificate == bench.issued.certificate
    return checked


def _pss(scheme: SignatureScheme) -> list[str]:
    return ["-keyopt", "rsa_padding_mode:pss"] if scheme is PSS else []


@pytest.mark.parametrize(
    ("bench", "scheme", "digest"), SIGNATURES, ids=_ids(SIGNATURES), indirect=["bench"]
)
def test_signatures_of_openssl_verify(
    bench: Bench, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """Detached, with OpenSSL's own choice of the PSS salt (RFC 5652, 5; RFC 4056; RFC 5753)."""
    octets = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", "-md", digest.value),
        *(*bench.signer(), *_pss(scheme)),
        stdin=CONTENT,
    )
    checked = _checked(octets, CONTENT, bench)
    assert (checked.scheme, checked.digest_algorithm) == (scheme, digest)
    assert checked.signing_time is not None
    assert checked.capabilities is not None
    assert ContentCipher.AES_256_CBC in checked.capabilities.ciphers


@pytest.mark.parametrize("bench", ["rsa", "p256"], indirect=True)
@pytest.mark.parametrize(
    "options",
    [
        ("-nodetach",),
        ("-nodetach", "-stream"),
        ("-nodetach", "-stream", "-keyid"),
        ("-keyid",),
        ("-noattr",),
        ("-nodetach", "-noattr"),
        ("-nocerts",),
        ("-nosmimecap",),
        ("-cades",),
    ],
    ids=" ".join,
)
def test_forms_of_signatures_of_openssl_verify(bench: Bench, options: tuple[str, ...]) -> None:
    """Opaque, BER, by key identifier, without attributes or certificates, with ESS attributes."""
    octets = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", *bench.signer(), *options),
        stdin=CONTENT,
    )
    opaque = "-nodetach" in options
    assert parse_signed_data(octets).encapsulated == (CONTENT if opaque else None)
    checked = _checked(octets, None if opaque else CONTENT, bench)
    assert checked.has_signed_attributes is ("-noattr" not in options)


def test_stream_really_is_indefinite_and_chunked(bench: Bench) -> None:
    """The form that the tests above call BER is BER (X.690, 8.1.3.6)."""
    octets = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", *bench.signer(), "-nodetach", "-stream"),
        stdin=CONTENT,
    )
    assert octets[:2] == b"\x30\x80"
    assert b"\x24\x80\x04" in octets[:80]


@pytest.mark.parametrize(
    ("bench", "scheme", "digest"), SIGNATURES, ids=_ids(SIGNATURES), indirect=["bench"]
)
def test_openssl_verifies_our_detached_signatures(
    bench: Bench, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """With the path up to the root, for the purpose of S/MIME (RFC 8551, 2)."""
    octets = sign_detached(
        digest_of(digest, (CONTENT,)),
        digest_algorithm=digest,
        credential=bench.signing_credential(),
        scheme=scheme,
        signing_time=NOW,
        capabilities=OURS,
        encryption_certificate=bench.issued.certificate,
    )
    command = ("cms", "-verify", "-binary", "-inform", "DER", "-CAfile", bench.files.root)
    assert openssl(*command, "-content", bench.content, stdin=octets) == CONTENT
    changed = bench.keep("changed", CONTENT.replace(b"text", b"evil", 1))
    assert "content verify error" in refusal(*command, "-content", changed, stdin=octets)


@pytest.mark.parametrize(
    ("bench", "scheme", "digest"), SIGNATURES, ids=_ids(SIGNATURES), indirect=["bench"]
)
def test_openssl_verifies_our_opaque_signatures(
    bench: Bench, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """The content comes out as it went in (RFC 8551, 3.5.2); CAdES checks signingCertificateV2."""
    octets = sign_opaque(
        CONTENT,
        digest_algorithm=digest,
        credential=bench.signing_credential(),
        scheme=scheme,
        signing_time=NOW,
        capabilities=OURS,
    ).whole()
    command = ("cms", "-verify", "-cades", "-binary", "-inform", "DER")
    assert openssl(*command, "-CAfile", bench.files.root, stdin=octets) == CONTENT


def test_what_openssl_signed_and_somebody_changed_does_not_verify(bench: Bench) -> None:
    """One changed octet in the content (RFC 5652, 5.6)."""
    octets = openssl("cms", "-sign", "-binary", "-outform", "DER", *bench.signer(), stdin=CONTENT)
    with pytest.raises(SignatureError) as caught:
        _checked(octets, CONTENT.replace(b"text", b"evil", 1), bench)
    assert caught.value.reason == "digest"


@pytest.mark.parametrize("bench", ["rsa", "p256"], indirect=True)
@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.label)
@pytest.mark.parametrize("options", [(), ("-stream",), ("-stream", "-keyid")], ids=" ".join)
def test_ciphers_of_openssl_decrypt(
    bench: Bench, cipher: ContentCipher, options: tuple[str, ...]
) -> None:
    """DER and chunked BER, EnvelopedData and AuthEnvelopedData (RFC 3565, RFC 5083, RFC 5084)."""
    octets = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", f"-{cipher.label}", *options),
        *("-recip", bench.files.certificate),
        stdin=CONTENT,
    )
    enveloped = parse_enveloped(octets)
    assert enveloped.cipher is cipher
    assert decrypt(enveloped, (bench.decryption_credential(),)) == CONTENT


@pytest.mark.parametrize("wrap", ["aes128", "aes192", "aes256"])
@pytest.mark.parametrize("bench", ["p256"], indirect=True)
def test_every_key_wrap_of_openssl_decrypts(bench: Bench, wrap: str) -> None:
    """The wrap need not be as long as the content key (RFC 5753, 7.1.5)."""
    octets = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-gcm", f"-{wrap}-wrap"),
        *("-recip", bench.files.certificate),
        stdin=CONTENT,
    )
    assert decrypt(parse_enveloped(octets), (bench.decryption_credential(),)) == CONTENT


def _sealed(recipients: list[Recipient], cipher: ContentCipher) -> bytes:
    pieces = [CONTENT[start : start + 1000] for start in range(0, len(CONTENT), 1000)]
    return b"".join(encrypt(pieces, len(CONTENT), recipients, cipher))


def _opened(files: Files, octets: bytes) -> bytes:
    command = ("cms", "-decrypt", "-binary", "-inform", "DER")
    return openssl(*command, "-recip", files.certificate, "-inkey", files.key, stdin=octets)


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.label)
@pytest.mark.parametrize(
    ("bench", "key_encryption"), KEY_ENCRYPTIONS, ids=_ids(KEY_ENCRYPTIONS), indirect=["bench"]
)
def test_openssl_decrypts_ours(
    bench: Bench, key_encryption: KeyEncryption, cipher: ContentCipher
) -> None:
    """Every key encryption with every cipher (RFC 5652, 6; RFC 5083)."""
    octets = _sealed([Recipient(bench.issued.certificate, key_encryption)], cipher)
    assert _opened(bench.files, octets) == CONTENT


@pytest.mark.parametrize("cipher", [ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM])
def test_mixed_recipients_all_read_ours(tmp_path: Path, cipher: ContentCipher) -> None:
    """RSA and three curves side by side in one message (RFC 5652, 6.2)."""
    people = [_person(key) for key in ("rsa", "p256", "p384", "p521")]
    recipients = [
        Recipient(person.certificate, key_encryption_for(person.certificate)) for person in people
    ]
    octets = _sealed(recipients, cipher)
    for number, person in enumerate(people):
        assert _opened(Files.of(person, tmp_path, str(number)), octets) == CONTENT


def test_mixed_recipients_of_openssl_all_decrypt(tmp_path: Path) -> None:
    """RSA and elliptic-curve recipients in one message (RFC 5652, 6.2)."""
    people = [_person("rsa"), _person("p256"), _person("rsa", "bob"), _person("p384", "bob")]
    options: list[str | Path] = []
    for number, person in enumerate(people):
        options += ["-recip", Files.of(person, tmp_path, str(number)).certificate]
    octets = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", "-aes-128-cbc", "-stream", *options),
        stdin=CONTENT,
    )
    enveloped = parse_enveloped(octets)
    for person in people:
        key = SoftwareDecryptionKey(person.key)
        assert decrypt(enveloped, (DecryptionCredential(person.certificate, key),)) == CONTENT
