"""OpenSSL and GnuPG judge what the CA issues: chains, lists, PKCS #12."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, export, founding, issuance, keys, opening, request, subjects
from pki.authority import Pointers, Validity
from pki.certified import Certified
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.serial_numbers import serial_text
from pki.settings import Settings
from smimegw.addresses import Mailbox
from tests.interop.openssl import openssl, refusal

NOW = datetime.now(UTC).replace(microsecond=0)
PASSPHRASE = b"correct horse battery"
P12_PASSPHRASE = "battery staple"
KINDS = [KeyKind.RSA_3072, KeyKind.P_256]


def _found(path: Path, kind: KeyKind) -> Path:
    """Make a CA, a day ago, with everything that settings can add."""
    plan = founding.Founding(
        name="Corp Mail CA",
        key_kind=kind,
        settings=Settings(
            domains=("corp.example", ".sub.example", "xn--bcher-kva.example"),
            organization="Müller & Söhne",
            country="DE",
            crl_urls=("http://pki.corp.example/issuing.crl",),
            issuer_urls=("http://pki.corp.example/issuing.cer",),
            root_crl_urls=("http://pki.corp.example/root.crl",),
            root_urls=("http://pki.corp.example/root.cer",),
            policies=("2.23.140.1.5.1.3",),
        ),
    )
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=NOW - timedelta(days=1))
    return path


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A CA with P-256 keys."""
    path = _found(tmp_path_factory.mktemp("ca") / "ca", KeyKind.P_256)
    with opening.changing(path, now=NOW) as opened:
        yield opened


@pytest.fixture(scope="module", params=["rsa-3072", "p-384"])
def other_ca(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """CAs with the other kinds of keys, for the tests where the CA's signature matters."""
    path = _found(tmp_path_factory.mktemp("other") / "ca", KeyKind(request.param))
    with opening.changing(path, now=NOW) as opened:
        yield opened


def _issue(ca: Home, address: str, profile: Profile, kind: KeyKind = KeyKind.P_256) -> Certified:
    order = Order(mailbox=Mailbox.parse(address), profile=profile, key_kind=kind)
    issuer = ca.issuer("issuing", PASSPHRASE)
    return issuance.issue(ca, issuer, order, passphrase=PASSPHRASE, now=NOW)


def _verify(ca: Home, certificate: Path, *options: str | Path) -> list[str | Path]:
    return [
        *("verify", "-x509_strict", "-CAfile", ca.certificate_path("root")),
        *("-untrusted", ca.certificate_path("issuing"), *options, certificate),
    ]


def _crls(ca: Home, tmp_path: Path) -> Path:
    """Both CRLs in one PEM file."""
    path = tmp_path / "crls.pem"
    crls = [openssl("crl", "-inform", "DER", "-in", ca.crl_path(n)) for n in ("root", "issuing")]
    path.write_bytes(b"".join(crls))
    return path


# --- chains --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "kind", "purpose"),
    [
        (Profile.SIGN, KeyKind.RSA_3072, "smimesign"),
        (Profile.SIGN, KeyKind.P_256, "smimesign"),
        (Profile.BOTH, KeyKind.RSA_3072, "smimesign"),
        (Profile.BOTH, KeyKind.RSA_3072, "smimeencrypt"),
        (Profile.BOTH, KeyKind.P_256, "smimesign"),
        (Profile.ENCRYPT, KeyKind.RSA_3072, "smimeencrypt"),
    ],
)
def test_a_profile_is_good_for_its_purpose(
    ca: Home, profile: Profile, kind: KeyKind, purpose: str
) -> None:
    """OpenSSL in strict mode accepts the whole path (RFC 5280, 6.1)."""
    certified = _issue(ca, "alice@corp.example", profile, kind)
    path = ca.certificate_path(certified.serial)
    assert b"OK" in openssl(*_verify(ca, path, "-purpose", purpose))


def test_every_kind_of_ca_key_signs_chains_and_crls(other_ca: Home, tmp_path: Path) -> None:
    """RSA and P-384 as well: signature algorithms fit the keys (RFC 5480, 4)."""
    path = other_ca.certificate_path(_issue(other_ca, "alice@corp.example", Profile.BOTH).serial)
    crls = _crls(other_ca, tmp_path)
    assert b"OK" in openssl(*_verify(other_ca, path, "-crl_check_all", "-CRLfile", crls))


@pytest.mark.parametrize(
    ("profile", "purpose"), [(Profile.SIGN, "smimeencrypt"), (Profile.ENCRYPT, "smimesign")]
)
def test_a_profile_is_not_good_for_the_other_purpose(
    ca: Home, profile: Profile, purpose: str
) -> None:
    """Signing and encryption keys stay apart."""
    certified = _issue(ca, "alice@corp.example", profile, KeyKind.RSA_3072)
    path = ca.certificate_path(certified.serial)
    assert "purpose" in refusal(*_verify(ca, path, "-purpose", purpose))


def test_a_mail_certificate_is_not_good_for_tls(ca: Home) -> None:
    """The extended key usage of certificate and CA say e-mail only."""
    path = ca.certificate_path(_issue(ca, "alice@corp.example", Profile.BOTH).serial)
    assert "purpose" in refusal(*_verify(ca, path, "-purpose", "sslserver"))


@pytest.mark.parametrize(
    "address",
    [
        "alice@corp.example",
        "bob@deep.sub.example",
        '"a..b"@corp.example',
        "jörg@corp.example",
        "alice@xn--bcher-kva.example",
        "o'hara+x/y@corp.example",
        "x" * 60 + "@corp.example",
    ],
)
def test_addresses_pass_the_name_constraints(ca: Home, address: str) -> None:
    """Each permitted mailbox, in whatever form of SubjectAltName (RFC 9598, 6)."""
    path = ca.certificate_path(_issue(ca, address, Profile.BOTH).serial)
    assert b"OK" in openssl(*_verify(ca, path))


@pytest.mark.parametrize("address", ["eve@evil.example", "eve@mail.corp.example", "ü@evil.example"])
def test_a_stolen_issuing_key_is_of_no_use_elsewhere(
    ca: Home, address: str, tmp_path: Path
) -> None:
    """Past our own check, the name constraints still stop other domains (RFC 5280, 4.2.1.10)."""
    mailbox = Mailbox.parse(address)
    certificate = authority.sign_mailbox(
        keys.generate(KeyKind.P_256).public_key(),
        x509.Name([]),
        mailbox,
        profile=Profile.BOTH,
        issuer=ca.issuer("issuing", PASSPHRASE),
        serial=x509.random_serial_number(),
        validity=Validity.starting(NOW, 10),
        pointers=Pointers(),
    )
    (tmp_path / "eve.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    assert "permitted subtree violation" in refusal(*_verify(ca, tmp_path / "eve.pem"))


def test_the_issuing_ca_cannot_make_another_ca(ca: Home, tmp_path: Path) -> None:
    """Path length 0: a CA below it is refused (RFC 5280, 4.2.1.9)."""
    issuer = ca.issuer("issuing", PASSPHRASE)
    key = keys.generate(KeyKind.P_256)
    rogue = authority.sign_issuing(
        key.public_key(),
        authority.authority_name("Rogue", organization="", country=""),
        issuer=issuer,
        serial=x509.random_serial_number(),
        validity=Validity.starting(NOW, 10),
        domains=(),
        pointers=Pointers(),
    )
    mailbox = Mailbox.parse("alice@corp.example")
    leaf = authority.sign_mailbox(
        key.public_key(),
        subjects.subject(Profile.BOTH, mailbox, "", organization="", country=""),
        mailbox,
        profile=Profile.BOTH,
        issuer=authority.Issuer(certificate=rogue, key=key),
        serial=x509.random_serial_number(),
        validity=Validity.starting(NOW, 10),
        pointers=Pointers(),
    )
    for name, certificate in (("rogue", rogue), ("leaf", leaf)):
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    arguments = _verify(ca, tmp_path / "leaf.pem", "-untrusted", tmp_path / "rogue.pem")
    assert "path length constraint exceeded" in refusal(*arguments)


def test_a_certificate_points_to_its_issuer_and_crl(ca: Home) -> None:
    """The addresses of the settings stand where readers look (RFC 5280, 4.2.1.13 and 4.2.2.1)."""
    path = ca.certificate_path(_issue(ca, "alice@corp.example", Profile.BOTH).serial)
    text = openssl("x509", "-noout", "-text", "-in", path).decode()
    assert "URI:http://pki.corp.example/issuing.crl" in text
    assert "CA Issuers - URI:http://pki.corp.example/issuing.cer" in text
    assert "Policy: 2.23.140.1.5.1.3" in text


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_encrypts_to_a_certificate_and_its_key_opens_it(
    ca: Home, kind: KeyKind, tmp_path: Path
) -> None:
    """An encryption certificate is for encrypting: key transport or key agreement (RFC 8551)."""
    certified = _issue(ca, "alice@corp.example", Profile.ENCRYPT, kind)
    certificate, key = ca.certificate_path(certified.serial), ca.key_path(certified.serial)
    secret = openssl("cms", "-encrypt", "-aes256", "-outform", "DER", certificate, stdin=b"hello")
    opened = openssl(
        *("cms", "-decrypt", "-inform", "DER", "-recip", certificate),
        *("-inkey", key, "-passin", f"pass:{PASSPHRASE.decode()}"),
        stdin=secret,
    )
    assert opened == b"hello"


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["rsa:3072", "ec"])
def test_a_request_of_openssl_is_certified(ca: Home, tmp_path: Path, algorithm: str) -> None:
    """The owner's key ends up in a certificate that verifies; the CA never saw the private half."""
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec" else []
    options = ["-nodes", "-keyout", tmp_path / "key.pem", "-subj", "/CN=Alice"]
    der = openssl("req", "-new", "-newkey", algorithm, *curve, *options, "-outform", "DER")
    order = Order(
        mailbox=Mailbox.parse("alice@corp.example"),
        profile=Profile.BOTH,
        public_key=request.parse_request(der).public_key,
    )
    issuer = ca.issuer("issuing", PASSPHRASE)
    certified = issuance.issue(ca, issuer, order, passphrase=PASSPHRASE, now=NOW)
    path = ca.certificate_path(certified.serial)
    assert b"OK" in openssl(*_verify(ca, path, "-purpose", "smimesign"))
    theirs = openssl("pkey", "-in", tmp_path / "key.pem", "-pubout")
    assert openssl("x509", "-in", path, "-noout", "-pubkey") == theirs


# --- revocation ----------------------------------------------------------------------------------


def test_a_good_certificate_passes_the_crl_check(ca: Home, tmp_path: Path) -> None:
    """Both CRLs verify under their issuers and do not list it (RFC 5280, 6.3)."""
    path = ca.certificate_path(_issue(ca, "alice@corp.example", Profile.BOTH).serial)
    crls = _crls(ca, tmp_path)
    assert b"OK" in openssl(*_verify(ca, path, "-crl_check_all", "-CRLfile", crls))


def test_a_revoked_certificate_fails_the_crl_check(ca: Home, tmp_path: Path) -> None:
    """After the next CRL OpenSSL says revoked (F15)."""
    certified = _issue(ca, "alice@corp.example", Profile.BOTH)
    issuance.revoke(ca, certified, "keyCompromise", now=NOW)
    issuance.make_crl(ca, "issuing", ca.issuer("issuing", PASSPHRASE), now=NOW)
    arguments = ("-crl_check_all", "-CRLfile", _crls(ca, tmp_path))
    path = ca.certificate_path(certified.serial)
    assert "certificate revoked" in refusal(*_verify(ca, path, *arguments))
    text = openssl("crl", "-inform", "DER", "-in", ca.crl_path("issuing"), "-noout", "-text")
    assert f"Serial Number: {serial_text(certified.serial)}" in text.decode()
    assert "Key Compromise" in text.decode()


def test_a_crl_is_refused_after_its_time(ca: Home, tmp_path: Path) -> None:
    """An attacker who holds back newer CRLs gains days, not for ever (T-13)."""
    path = ca.certificate_path(_issue(ca, "alice@corp.example", Profile.BOTH).serial)
    later = str(int((NOW + timedelta(days=30)).timestamp()))
    arguments = ("-crl_check", "-CRLfile", _crls(ca, tmp_path), "-attime", later)
    assert "CRL has expired" in refusal(*_verify(ca, path, *arguments))


# --- PKCS #12 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_reads_the_pkcs12_file(
    ca: Home, tmp_path: Path, kind: KeyKind, legacy: bool
) -> None:
    """Key, certificate and both issuers are inside, in the modern and in the old form."""
    certified = _issue(ca, "alice@corp.example", Profile.BOTH, kind)
    path = _p12(ca, certified, tmp_path, legacy=legacy)
    provider = ["-legacy"] if legacy else []
    text = openssl(
        *("pkcs12", "-in", path, "-passin", f"pass:{P12_PASSPHRASE}", "-nodes", *provider)
    )
    assert text.count(b"BEGIN CERTIFICATE") == 3
    inside = openssl("pkey", "-pubout", stdin=text[text.index(b"-----BEGIN PRIVATE") :])
    path = ca.certificate_path(certified.serial)
    assert inside == openssl("x509", "-in", path, "-noout", "-pubkey")


def test_the_modern_pkcs12_file_uses_no_old_algorithm(ca: Home, tmp_path: Path) -> None:
    """AES-256 and SHA-256: OpenSSL reads it without its legacy provider and says so."""
    certified = _issue(ca, "alice@corp.example", Profile.BOTH)
    path = _p12(ca, certified, tmp_path, legacy=False)
    done = subprocess.run(
        ["openssl", "pkcs12", "-in", path, "-passin", f"pass:{P12_PASSPHRASE}", "-info", "-noout"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "MAC: sha256" in done.stderr
    assert "AES-256-CBC, Iteration 200000, PRF hmacWithSHA256" in done.stderr
    assert "3DES" not in done.stderr


def test_a_wrong_passphrase_does_not_open_the_pkcs12_file(ca: Home, tmp_path: Path) -> None:
    """Neither certificate nor key come out."""
    path = _p12(ca, _issue(ca, "alice@corp.example", Profile.BOTH), tmp_path, legacy=False)
    assert "invalid password" in refusal("pkcs12", "-in", path, "-passin", "pass:x", "-nodes")


@pytest.fixture
def gnupg() -> Iterator[dict[str, str]]:
    """The environment of a private GnuPG; its directory's name has to be short (socket path)."""
    directory = Path(tempfile.mkdtemp(prefix="gpg-"))
    (directory / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    (directory / "gpgsm.conf").write_text("disable-crl-checks\n")
    environment = {**os.environ, "GNUPGHOME": str(directory)}
    yield environment
    subprocess.run(
        ["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True, timeout=60
    )
    shutil.rmtree(directory)


def test_gpgsm_imports_the_legacy_pkcs12_file(
    ca: Home, tmp_path: Path, gnupg: dict[str, str]
) -> None:
    """GnuPG 2.2 reads only the old form; it finds the secret key and both issuers."""
    certified = _issue(ca, "alice@corp.example", Profile.BOTH, KeyKind.RSA_3072)
    # From about one salt in fifty gpgsm 2.2 derives a wrong key, from OpenSSL's files as from ours.
    files = (_p12(ca, certified, tmp_path, legacy=True) for _ in range(3))
    assert any(_run_gpgsm(gnupg, "--import", file, stdin=P12_PASSPHRASE)[0] == 0 for file in files)
    listed = _gpgsm(gnupg, "--list-secret-keys", "--with-colons")
    secret = [line.split(":") for line in listed.splitlines() if line.startswith("crs:")]
    assert [fields[7] for fields in secret] == [serial_text(certified.serial)]
    assert "<alice@corp.example>" in listed
    chains = _gpgsm(gnupg, "--list-keys", "--with-colons")
    assert sum(line.startswith(("crt:", "crs:")) for line in chains.splitlines()) == 3


def _gpgsm(environment: dict[str, str], *arguments: str) -> str:
    code, output, said = _run_gpgsm(environment, *arguments)
    assert code == 0, said
    return output


def _run_gpgsm(
    environment: dict[str, str], *arguments: str | Path, stdin: str = ""
) -> tuple[int, str, str]:
    done = subprocess.run(
        [
            *("gpgsm", "--batch", "--yes", "--pinentry-mode", "loopback"),
            *("--passphrase-fd", "0", *arguments),
        ],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _p12(ca: Home, certified: Certified, tmp_path: Path, *, legacy: bool) -> Path:
    path = tmp_path / "out.p12"
    path.write_bytes(
        export.pkcs12_file(
            ca,
            certified,
            ca_passphrase=PASSPHRASE,
            passphrase=P12_PASSPHRASE.encode(),
            legacy=legacy,
        )
    )
    return path
