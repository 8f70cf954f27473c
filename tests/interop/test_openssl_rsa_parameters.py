"""Parameters of RSA: labels of OAEP, and certificates bound to RSASSA-PSS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from smimegw.cms import algorithm_identifiers, der
from smimegw.cms.algorithm_identifiers import SignatureAlgorithm
from smimegw.cms.algorithms import (
    DigestAlgorithm,
    SignatureScheme,
    key_encryption_for,
    signature_scheme_for,
)
from smimegw.cms.content_info import DATA, SIGNED_DATA, write_content_info
from smimegw.cms.envelope import decrypt, parse_enveloped
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.cms.pss_keys import pss_flaw, scheme_for
from smimegw.cms.signed_data import parse_signed_data, sign_detached, verify_signer_info
from smimegw.cms.verify import digest_of
from smimegw.errors import DecryptionError, SignatureError, UnsupportedAlgorithmError
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import NOW, make_ca
from tests.interop.openssl import Files, openssl

CONTENT = b"Content-Type: text/plain\r\n\r\nTotals as agreed.\r\n"
PSS, PKCS1 = SignatureScheme.RSA_PSS, SignatureScheme.RSA_PKCS1V15
SHA256, SHA384, SHA512 = DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512
ALICE = make_ca("Interop CA").issue("alice@ours.example", slot="parameters/alice")
CREDENTIAL = DecryptionCredential(ALICE.certificate, SoftwareDecryptionKey(ALICE.key))


def _sealed(tmp_path: Path, *options: str) -> bytes:
    command: list[str | Path] = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-cbc"]
    command += ["-recip", Files.of(ALICE, tmp_path, "alice").certificate]
    for option in ("rsa_padding_mode:oaep", *options):
        command += ["-keyopt", option]
    return openssl(*command, stdin=CONTENT)


def test_oaep_label_of_openssl_opens_nothing(tmp_path: Path) -> None:
    """Only the empty label (RFC 4055, 4.1)."""
    octets = _sealed(tmp_path, "rsa_oaep_md:sha256", "rsa_oaep_label:6c6162656c")
    with pytest.raises(DecryptionError):
        decrypt(parse_enveloped(octets), (CREDENTIAL,))


@dataclass(frozen=True)
class Bound:
    """A person whose self-signed certificate binds the key to RSASSA-PSS."""

    certificate: Certificate
    key: rsa.RSAPrivateKey
    certificate_file: Path
    key_file: Path

    def signed(self, digest: str, salt: str = "digest") -> bytes:
        return openssl(
            *("cms", "-sign", "-binary", "-outform", "DER", "-md", digest),
            *("-signer", self.certificate_file, "-inkey", self.key_file),
            *("-keyopt", "rsa_padding_mode:pss", "-keyopt", f"rsa_pss_saltlen:{salt}"),
            stdin=CONTENT,
        )

    def ours(self, digest: DigestAlgorithm, scheme: SignatureScheme = PSS) -> bytes:
        credential = SigningCredential(self.certificate, (), SoftwareSigningKey(self.key))
        return sign_detached(
            digest_of(digest, (CONTENT,)),
            digest_algorithm=digest,
            credential=credential,
            scheme=scheme,
            signing_time=NOW,
            capabilities=None,
        )


def _bound(directory: Path, *options: str) -> Bound:
    key_file, certificate_file = directory / "pss.key", directory / "pss.pem"
    command = ["genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]
    for option in options:
        command += ["-pkeyopt", option]
    key_file.write_bytes(openssl(*command))
    openssl(
        *("req", "-x509", "-new", "-key", key_file, "-subj", "/CN=Bound", "-days", "3"),
        *("-addext", "subjectAltName=email:alice@ours.example", "-out", certificate_file),
        *("-addext", "keyUsage=digitalSignature", "-addext", "basicConstraints=CA:FALSE"),
    )
    parsed = load_pem_x509_certificate(certificate_file.read_bytes())
    key = load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = Certificate.parse(parsed.public_bytes(Encoding.DER))
    return Bound(certificate, key, certificate_file, key_file)


@pytest.fixture
def free(tmp_path: Path) -> Bound:
    """Bound to PSS, without parameters."""
    return _bound(tmp_path)


@pytest.fixture
def fixed(tmp_path: Path) -> Bound:
    """Bound to PSS with SHA-512 and 64 octets of salt."""
    options = ("rsa_pss_keygen_md:sha512", "rsa_pss_keygen_mgf1_md:sha512")
    return _bound(tmp_path, *options, "rsa_pss_keygen_saltlen:64")


def _verified(bound: Bound, octets: bytes) -> SignatureScheme:
    signed_data = parse_signed_data(octets)
    checked = verify_signer_info(
        signed_data, signed_data.signer_infos[0], (CONTENT,), (bound.certificate,)
    )
    assert checked.certificate == bound.certificate
    return checked.scheme


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("salt", ["0", "20", "digest", "max"])
def test_every_salt_of_openssl_verifies(free: Bound, digest: str, salt: str) -> None:
    """The salt is as long as the parameters say (RFC 4055, 3.1)."""
    assert _verified(free, free.signed(digest, salt)) is PSS


def test_bound_key_signs_with_pss_whatever_is_wanted(free: Bound) -> None:
    """No other scheme suits the certificate (RFC 4055, 1.2)."""
    assert signature_scheme_for(free.certificate) is PSS
    assert scheme_for(free.certificate, PKCS1) is PSS
    assert scheme_for(ALICE.certificate, PSS) is PSS
    assert scheme_for(ALICE.certificate, None) is PKCS1


def test_openssl_verifies_ours_with_a_bound_key(fixed: Bound, tmp_path: Path) -> None:
    """As the certificate fixes it (RFC 4055, 3.3)."""
    content = tmp_path / "content"
    content.write_bytes(CONTENT)
    command = ("cms", "-verify", "-binary", "-inform", "DER", "-content", content)
    octets = fixed.ours(SHA512)
    assert openssl(*command, "-CAfile", fixed.certificate_file, stdin=octets) == CONTENT
    assert _verified(fixed, octets) is PSS


def test_signature_as_the_certificate_fixes_it_verifies(fixed: Bound) -> None:
    """SHA-512 with 64 octets of salt."""
    assert _verified(fixed, fixed.signed("sha512")) is PSS


@pytest.mark.parametrize(
    ("scheme", "digest", "salt", "good"),
    [
        (PSS, SHA512, 64, True),
        (PSS, SHA512, 100, True),
        (PSS, SHA512, 63, False),
        (PSS, SHA256, 64, False),
        (PKCS1, SHA512, 0, False),
    ],
)
def test_what_the_certificate_does_not_allow_is_a_flaw(
    fixed: Bound, scheme: SignatureScheme, digest: DigestAlgorithm, salt: int, good: bool
) -> None:
    """Another hash, less salt, another scheme (RFC 4055, 3.3)."""
    algorithm = SignatureAlgorithm(scheme=scheme, digest=digest, salt_octets=salt)
    assert (pss_flaw(fixed.certificate, algorithm) == "") is good


def _by_hand(bound: Bound, scheme: SignatureScheme, digest: DigestAlgorithm) -> bytes:
    """SignedData without attributes, whose signature is right."""
    signature = SoftwareSigningKey(bound.key).sign(CONTENT, scheme, digest)
    identifier = algorithm_identifiers.write_digest(digest)
    info = der.sequence(
        der.integer(1),
        issuer_and_serial_number(bound.certificate),
        identifier,
        algorithm_identifiers.write_signature(scheme, digest),
        der.octet_string(signature),
    )
    body = (der.integer(1), der.set_of([identifier]), der.sequence(der.oid(DATA)))
    return write_content_info(SIGNED_DATA, der.sequence(*body, der.set_of([info])))


def test_signature_that_the_certificate_does_not_allow_does_not_count(fixed: Bound) -> None:
    """The mathematics hold, the parameters do not (RFC 4055, 3.3)."""
    assert _verified(fixed, _by_hand(fixed, PSS, SHA512)) is PSS
    for scheme, digest in ((PSS, SHA256), (PKCS1, SHA512)):
        with pytest.raises(SignatureError, match="algorithm"):
            _verified(fixed, _by_hand(fixed, scheme, digest))


@pytest.mark.parametrize(("scheme", "digest"), [(PSS, SHA256), (PKCS1, SHA512)])
def test_what_the_certificate_does_not_allow_is_not_written(
    fixed: Bound, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """Nobody could verify it (RFC 4055, 3.3)."""
    with pytest.raises(UnsupportedAlgorithmError):
        fixed.ours(digest, scheme)


def test_bound_key_is_not_encrypted_to(free: Bound) -> None:
    """It signs and does nothing else (RFC 4055, 1.2)."""
    with pytest.raises(UnsupportedAlgorithmError, match="RSASSA-PSS only"):
        key_encryption_for(free.certificate)
