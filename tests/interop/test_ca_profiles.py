"""OpenSSL, NSS, GnuPG and pkilint's own programs judge every profile of the CA."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint.bin import lint_cabf_smime_cert, lint_crl, lint_pkix_cert

from pki.authority import authority_key_identifier
from pki.keys import KeyKind
from pki.profiles import Baseline, Level, Profile
from tests.fakes import authorities
from tests.fakes.authorities import NOW, ROWS, SIGNING_KINDS
from tests.interop.openssl import openssl, refusal

# OpenSSL reads ML-DSA from 3.5 on, NSS and GnuPG 2.2 only what was usual in 2018
SLOW = KeyKind.RSA_4096
FOR_OPENSSL = [row for row in ROWS if row[1] is not SLOW and not row[1].experimental]
CAS = [kind for kind in SIGNING_KINDS if kind is not SLOW]
USUAL = (KeyKind.RSA_3072, KeyKind.P_256)
FOR_NSS = [(profile, kind) for profile, kind in ROWS if kind in USUAL]
# pkilint's programs leave the file that they read to the garbage collector
UNCLOSED = pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
LEVELS = {Level.MAILBOX: "MAILBOX", Level.SPONSORED: "SPONSORED"}


def _written(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def _verify(tmp_path: Path, kind: KeyKind, *options: str) -> list[str | Path]:
    chain = authorities.chain(kind)
    return [
        *("verify", "-x509_strict", *options),
        *("-CAfile", _written(tmp_path / "root.pem", chain.root.certificate)),
        *("-untrusted", _written(tmp_path / "issuing.pem", chain.issuing.certificate)),
    ]


@pytest.mark.parametrize(("profile", "kind"), FOR_OPENSSL)
def test_openssl_accepts_each_profile_for_its_purposes_only(
    profile: Profile, kind: KeyKind, tmp_path: Path
) -> None:
    """In strict mode; signing and encrypting stay apart (RFC 5280, 6.1; cases M20)."""
    leaf = _written(tmp_path / "leaf.pem", authorities.certificate(profile, kind))
    signing = (*_verify(tmp_path, KeyKind.P_256, "-purpose", "smimesign"), leaf)
    encrypting = (*_verify(tmp_path, KeyKind.P_256, "-purpose", "smimeencrypt"), leaf)
    if profile.signs:
        assert b"OK" in openssl(*signing)
    else:
        assert "purpose" in refusal(*signing)
    # For OpenSSL only key transport is encrypting; it encrypts to curves all the same.
    if profile.encrypts and kind is KeyKind.RSA_3072:
        assert b"OK" in openssl(*encrypting)
    else:
        assert "purpose" in refusal(*encrypting)


@pytest.mark.parametrize("kind", [kind for kind in CAS if not kind.experimental])
def test_openssl_accepts_cas_of_each_kind(kind: KeyKind, tmp_path: Path) -> None:
    """Root, issuing CA and what it signs (RFC 8410, RFC 5639; cases M20)."""
    made = authorities.certificate(Profile.BOTH, KeyKind.P_256, signed_with=kind)
    leaf = _written(tmp_path / "leaf.pem", made)
    assert b"OK" in openssl(*_verify(tmp_path, kind, "-purpose", "smimesign"), leaf)


@UNCLOSED
@pytest.mark.parametrize("generation", [Baseline.STRICT, Baseline.MULTIPURPOSE])
@pytest.mark.parametrize(
    ("profile", "kind"),
    [
        (Profile.BOTH, KeyKind.RSA_3072),
        (Profile.SPONSOR_BOTH, KeyKind.P_256),
        (Profile.DOMAIN_ENCRYPT, KeyKind.RSA_3072),
        (Profile.SIGN, KeyKind.ML_DSA_65),
        (Profile.ENCRYPT, KeyKind.ML_KEM_768),
    ],
)
def test_pkilints_program_has_nothing_to_say(
    profile: Profile, kind: KeyKind, generation: Baseline, tmp_path: Path
) -> None:
    """The linter as others run it, not as we do (cases M20)."""
    made = authorities.certificate(profile, kind, baseline=generation)
    assert profile.shape.level is not None
    kind_of_certificate = f"{LEVELS[profile.shape.level]}-{generation.name}"
    path = str(_written(tmp_path / "leaf.pem", made))
    options = ["lint", "-t", kind_of_certificate, "-s", "WARNING", path]
    assert lint_cabf_smime_cert.main(options) == 0


@UNCLOSED
@pytest.mark.parametrize("kind", CAS)
def test_pkilints_program_accepts_cas_and_their_crls(kind: KeyKind, tmp_path: Path) -> None:
    """lint_pkix_cert and lint_crl (RFC 5280; cases M20)."""
    chain = authorities.chain(kind)
    for issuer in (chain.root, chain.issuing):
        path = str(_written(tmp_path / "ca.pem", issuer.certificate))
        assert lint_pkix_cert.main(["lint", "-s", "WARNING", path]) == 0
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(chain.issuing.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=7))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(authority_key_identifier(chain.issuing.certificate), critical=False)
    )
    crl = tmp_path / "crl.der"
    crl.write_bytes(chain.issuing.sign_crl(builder).public_bytes(Encoding.DER))
    options = ["lint", "-t", "CRL", "-p", "BR", "-s", "WARNING", str(crl)]
    assert lint_crl.main(options) == 0


# --- NSS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nss_database() -> Iterator[Path]:
    """A certificate database that trusts our root for mail."""
    chain = authorities.chain(KeyKind.P_256)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _certutil(directory, "-N", "--empty-password")
        for nick, trust, issuer in (("root", ",C,", chain.root), ("issuing", ",,", chain.issuing)):
            path = _written(directory / f"{nick}.pem", issuer.certificate)
            _certutil(directory, "-A", "-n", nick, "-t", trust, "-a", "-i", str(path))
        yield directory


def _certutil(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["certutil", *arguments, "-d", f"sql:{directory}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("profile", "kind"), FOR_NSS)
def test_nss_accepts_each_profile(profile: Profile, kind: KeyKind, nss_database: Path) -> None:
    """The library inside Thunderbird: for signer and recipient of mail (cases M20)."""
    nick = f"{profile}-{kind}"
    path = _written(nss_database / "leaf.pem", authorities.certificate(profile, kind))
    _certutil(nss_database, "-A", "-n", nick, "-t", ",,", "-a", "-i", str(path))
    for usage, wanted in (("S", profile.signs), ("R", profile.encrypts)):
        if wanted:
            assert "valid" in _certutil(nss_database, "-V", "-n", nick, "-u", usage)


# --- GnuPG ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gnupg_home() -> Iterator[dict[str, str]]:
    """A GNUPGHOME that trusts our root."""
    chain = authorities.chain(KeyKind.P_256)
    directory = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))  # sockets want short paths
    # QUIRK GnuPG 2.2: knows no name constraints, and has to be told to accept them
    options = "disable-crl-checks\nignore-cert-extension 2.5.29.30\n"
    (directory / "gpgsm.conf").write_text(options)
    environment = {**os.environ, "GNUPGHOME": str(directory)}
    digest = chain.root.certificate.fingerprint(hashes.SHA1()).hex(":").upper()
    (directory / "trustlist.txt").write_text(f"{digest} S relax\n")
    for issuer in (chain.root, chain.issuing):
        _gpgsm(environment, "--import", stdin=issuer.certificate.public_bytes(Encoding.PEM))
    yield environment
    subprocess.run(
        ["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True, timeout=60
    )
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _gpgsm(environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["gpgsm", "--batch", "--yes", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace")


@pytest.mark.parametrize(("profile", "kind"), FOR_NSS)
def test_gpgsm_validates_each_profile(
    profile: Profile, kind: KeyKind, gnupg_home: dict[str, str]
) -> None:
    """Import and path (cases M20)."""
    made = authorities.certificate(profile, kind)
    _gpgsm(gnupg_home, "--import", stdin=made.public_bytes(Encoding.PEM))
    fingerprint = made.fingerprint(hashes.SHA1()).hex()
    listed = _gpgsm(gnupg_home, "--list-keys", "--with-validation", fingerprint)
    assert "certificate is good" in listed
