"""gpgsm signs and encrypts for us, and reads what we made, with RSA keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    KeyEncryption,
    SignatureScheme,
    signature_scheme_for,
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
    parse_signed_data,
    sign_detached,
    sign_opaque,
    verify_signer_info,
)
from smimegw.cms.verify import digest_of
from tests.fakes.pki import NOW, Issued, make_ca
from tests.interop.openssl import Files, openssl

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 200
PASSPHRASE = "lab"
SHA256, SHA384, SHA512 = DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512


@dataclass(frozen=True)
class GnuPG:
    """A GNUPGHOME with one person's certificate and key."""

    home: Path
    alice: Issued

    @property
    def passphrase(self) -> Path:
        return self.home / "passphrase"

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> tuple[bytes, str]:
        """Run gpgsm; return its output and its status lines."""
        status_read, status_write = os.pipe()
        with os.fdopen(status_read, "rb") as status, self.passphrase.open("rb") as passphrase:
            try:
                done = subprocess.run(
                    [
                        *("gpgsm", "--batch", "--yes", "--status-fd", str(status_write)),
                        *("--pinentry-mode", "loopback", "--passphrase-fd"),
                        *(str(passphrase.fileno()), *map(str, arguments)),
                    ],
                    input=stdin,
                    capture_output=True,
                    timeout=60,
                    check=False,
                    env={**os.environ, "GNUPGHOME": str(self.home)},
                    pass_fds=(status_write, passphrase.fileno()),
                )
            finally:
                os.close(status_write)
            lines = status.read().decode()
        assert done.returncode == 0, done.stderr.decode(errors="replace") + lines
        return done.stdout, lines

    def keep(self, name: str, octets: bytes) -> Path:
        path = self.home / name
        path.write_bytes(octets)
        return path


@pytest.fixture(scope="module")
def gnupg() -> Iterator[GnuPG]:
    home = Path(tempfile.mkdtemp(prefix="gpgsm"))  # short: its agent's socket lives there
    try:
        alice = make_ca("GnuPG CA", key="rsa").issue("alice@ours.example", key="rsa")
        files = Files.of(alice, home, "alice")
        (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        (home / "gpgsm.conf").write_text("disable-crl-checks\n")
        (home / "passphrase").write_text(PASSPHRASE + "\n")
        root = _sha1(files.root)
        (home / "trustlist.txt").write_text(f"{root} S relax\n")
        bundle = home / "alice.p12"
        openssl(
            *("pkcs12", "-export", "-in", files.certificate, "-inkey", files.key),
            *("-certfile", files.chain, "-out", bundle, "-passout", f"pass:{PASSPHRASE}"),
            *("-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
        )
        gnupg = GnuPG(home, alice)
        gnupg.run("--import", files.root)
        gnupg.run("--import", bundle)
        yield gnupg
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "all"],
            env={**os.environ, "GNUPGHOME": str(home)},
            check=False,
            timeout=30,
        )
        shutil.rmtree(home, ignore_errors=True)


def _sha1(certificate: Path) -> str:
    text = openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha1").decode()
    return text.strip().partition("=")[2].replace(":", "")


def _signing_credential(alice: Issued) -> SigningCredential:
    return SigningCredential(alice.certificate, alice.chain, SoftwareSigningKey(alice.key))


@pytest.mark.parametrize("options", [(), ("--detach-sign",)], ids=["opaque", "detached"])
@pytest.mark.parametrize("digest", [SHA256, SHA384, SHA512], ids=lambda digest: digest.value)
def test_signatures_of_gpgsm_verify(
    gnupg: GnuPG, options: tuple[str, ...], digest: DigestAlgorithm
) -> None:
    """BER with indefinite lengths, as GnuPG writes it (RFC 5652, 5)."""
    octets, _ = gnupg.run(
        *("--sign", *options, "--local-user", "alice@ours.example"),
        *("--digest-algo", digest.value),
        stdin=CONTENT,
    )
    signed_data = parse_signed_data(octets)
    assert signed_data.encapsulated == (None if options else CONTENT)
    checked = verify_signer_info(
        signed_data, signed_data.signer_infos[0], (CONTENT,) if options else None
    )
    assert checked.certificate == gnupg.alice.certificate
    assert checked.digest_algorithm is digest


@pytest.mark.parametrize("digest", [SHA256, SHA384, SHA512], ids=lambda digest: digest.value)
@pytest.mark.parametrize(
    "scheme", [SignatureScheme.RSA_PKCS1V15, SignatureScheme.RSA_PSS], ids=lambda item: item.value
)
def test_gpgsm_verifies_our_detached_signatures(
    gnupg: GnuPG, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """PSS too, because our salt is as long as the digest (RFC 4056, 3)."""
    octets = sign_detached(
        digest_of(digest, (CONTENT,)),
        digest_algorithm=digest,
        credential=_signing_credential(gnupg.alice),
        scheme=scheme,
        signing_time=NOW,
        capabilities=OURS,
    )
    _, status = gnupg.run(
        "--verify", gnupg.keep("signature", octets), gnupg.keep("content", CONTENT)
    )
    assert "GOODSIG" in status
    assert "TRUST_FULLY" in status


def test_gpgsm_verifies_our_opaque_signature(gnupg: GnuPG) -> None:
    """The content comes out as it went in (RFC 8551, 3.5.2)."""
    octets = sign_opaque(
        CONTENT,
        digest_algorithm=SHA256,
        credential=_signing_credential(gnupg.alice),
        scheme=signature_scheme_for(gnupg.alice.certificate),
        signing_time=NOW,
        capabilities=OURS,
    )
    content, status = gnupg.run("--output", "-", "--verify", stdin=octets)
    assert content == CONTENT
    assert "GOODSIG" in status


@pytest.mark.parametrize(
    "cipher",
    [cipher for cipher in ContentCipher if not cipher.authenticated],
    ids=lambda cipher: cipher.label,
)
def test_gpgsm_decrypts_ours(gnupg: GnuPG, cipher: ContentCipher) -> None:
    """AES-CBC with PKCS#1 v1.5 key transport, what it knows (RFC 3370, RFC 3565)."""
    recipient = Recipient(gnupg.alice.certificate, KeyEncryption.RSA_PKCS1V15)
    octets = b"".join(encrypt((CONTENT,), len(CONTENT), [recipient], cipher))
    content, _ = gnupg.run("--decrypt", stdin=octets)
    assert content == CONTENT


@pytest.mark.parametrize("cipher", ["AES", "AES192", "AES256"])
def test_what_gpgsm_encrypts_decrypts(gnupg: GnuPG, cipher: str) -> None:
    """Every AES-CBC that it writes (RFC 3565)."""
    octets, _ = gnupg.run(
        *("--encrypt", "--cipher-algo", cipher, "--recipient", "alice@ours.example"),
        stdin=CONTENT,
    )
    key = SoftwareDecryptionKey(gnupg.alice.key)
    credential = DecryptionCredential(gnupg.alice.certificate, key)
    assert decrypt(parse_enveloped(octets), (credential,)) == CONTENT
