"""An issuing CA below a root that OpenSSL runs; and OpenSSL reads what our root makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import founding, installing, opening, rollover
from pki.keys import KeyKind
from pki.places import FIRST, ROOT
from tests.interop.openssl import openssl
from tests.unit.pki.steps import PASSPHRASE, issue

NOW = datetime.now(UTC).replace(microsecond=0)
_EXTENSIONS = """\
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
extendedKeyUsage = emailProtection
nameConstraints = critical, permitted;email:corp.example
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@pytest.fixture(params=["rsa-3072", "p-384", "ed25519", "brainpool-p256r1"])
def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directory of an issuing CA that waits for its root's answer."""
    plan = founding.Founding(
        name="Corp Mail CA",
        settings=founding.Settings(domains=("corp.example",)),
        key_kind=KeyKind(request.param),
    )
    path = tmp_path / "ca"
    founding.initialise_issuing(path, plan, passphrase=PASSPHRASE, now=NOW)
    return path


def test_openssl_reads_the_request(waiting: Path) -> None:
    """Name, key and proof of possession (RFC 2986)."""
    request = waiting / FIRST / "request.pem"
    said = openssl("req", "-in", request, "-noout", "-verify", "-subject")
    assert b"Corp Mail CA" in said


def test_the_answer_of_a_root_that_openssl_runs_is_installed(waiting: Path, tmp_path: Path) -> None:
    """A company has a root already; its people sign our request with what they have."""
    root, key, answer = (tmp_path / name for name in ("root.pem", "root.key", "answer.pem"))
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"),
        *("-keyout", key, "-out", root, "-subj", "/CN=Company Root", "-days", "3650"),
        *("-addext", "keyUsage = critical, keyCertSign, cRLSign"),
    )
    (tmp_path / "extensions").write_text(_EXTENSIONS)
    openssl(
        *("x509", "-req", "-in", waiting / FIRST / "request.pem", "-CA", root, "-CAkey", key),
        *("-days", "1825", "-extfile", tmp_path / "extensions", "-out", answer),
    )
    certificates = [x509.load_pem_x509_certificate(path.read_bytes()) for path in (answer, root)]
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    with opening.changing(waiting, now=now) as ca:
        place = installing.install(ca, certificates, passphrase=PASSPHRASE, now=now)
        rollover.finish(ca, place, passphrase=PASSPHRASE, now=now)
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(issue(ca, now).certificate.public_bytes(Encoding.PEM))
        issuing, anchor = ca.certificate_path(FIRST), ca.certificate_path(ROOT)
    options = ("-x509_strict", "-purpose", "smimesign", "-CAfile", anchor, "-untrusted", issuing)
    assert b"OK" in openssl("verify", *options, leaf)
