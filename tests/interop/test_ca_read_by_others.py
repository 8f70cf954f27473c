"""What the CA hands out is read by NSS, the library inside Thunderbird: keys and lists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pki import crl, export, founding, issuance, opening
from pki.certified import Certified
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.settings import Settings
from smimegw.addresses import Mailbox

NOW = datetime.now(UTC).replace(microsecond=0)
PASSPHRASE = b"correct horse battery"
P12_PASSPHRASE = "battery staple"
_WITH_KEY = re.compile(r"^(.*?)\s+u,u,u\s*$", re.MULTILINE)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A CA on P-256, founded yesterday, with deltas."""
    path = tmp_path_factory.mktemp("ca") / "ca"
    plan = founding.Founding(
        name="Corp Mail CA",
        key_kind=KeyKind.P_256,
        settings=Settings(organization="Corp", delta_urls=("http://pki.corp.example/delta.crl",)),
    )
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=NOW - timedelta(days=1))
    with opening.changing(path, now=NOW) as opened:
        yield opened


@pytest.fixture(scope="module", params=[KeyKind.RSA_3072, KeyKind.P_256], ids=str)
def certified(ca: Home, request: pytest.FixtureRequest) -> Certified:
    """Alice's certificate."""
    return _issue(ca, "alice", request.param)


def _issue(ca: Home, name: str, kind: KeyKind = KeyKind.P_256) -> Certified:
    order = Order(
        mailbox=Mailbox.parse(f"{name}@corp.example"), profile=Profile.BOTH, key_kind=kind
    )
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    return issuance.issue(ca, issuer, order, passphrase=PASSPHRASE, now=NOW)


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def database(ca: Home, tmp_path: Path) -> str:
    """A certificate database that trusts the root for mail."""
    name = f"sql:{tmp_path}"
    _run("certutil", "-N", "--empty-password", "-d", name)
    for place, trust in (("root", ",C,"), ("issuing", ",,")):
        path = ca.certificate_path(place)
        _run("certutil", "-A", "-n", place, "-t", trust, "-a", "-i", path, "-d", name)
    return name


@pytest.mark.parametrize("legacy", [False, True], ids=["modern", "legacy"])
def test_nss_imports_the_pkcs12_file(
    ca: Home, certified: Certified, database: str, tmp_path: Path, legacy: bool
) -> None:
    """Certificate and key, as Thunderbird's import does (RFC 7292)."""
    path = tmp_path / "alice.p12"
    octets = export.pkcs12_file(
        ca,
        certified,
        ca_passphrase=PASSPHRASE,
        passphrase=P12_PASSPHRASE.encode(),
        legacy=legacy,
    )
    path.write_bytes(octets)
    _run("pk12util", "-i", path, "-W", P12_PASSPHRASE, "-d", database)
    (nick,) = _WITH_KEY.findall(_run("certutil", "-L", "-d", database))
    for usage in ("S", "R"):
        assert "valid" in _run("certutil", "-V", "-n", nick, "-u", usage, "-d", database)


def test_nss_imports_the_list_and_refuses_who_stands_on_it(
    ca: Home, database: str, tmp_path: Path
) -> None:
    """Before it the certificate is good (RFC 5280, 5)."""
    revoked = _issue(ca, "bob")
    pem = tmp_path / "bob.pem"
    pem.write_bytes(revoked.certificate.public_bytes(Encoding.PEM))
    _run("certutil", "-A", "-n", "bob", "-t", ",,", "-a", "-i", pem, "-d", database)
    judge = ("certutil", "-V", "-n", "bob", "-u", "R", "-d", database)
    assert "is valid" in _run(*judge)
    issuance.revoke(ca, revoked, "keyCompromise", now=NOW)
    crl.make(ca, "issuing", ca.issuer("issuing", PASSPHRASE), now=NOW)
    path = ca.crl_path("issuing")
    _run("crlutil", "-I", "-t", "1", "-B", "-i", path, "-d", database)
    said = subprocess.run(judge, capture_output=True, text=True, timeout=60, check=False)
    assert "revoked" in (said.stdout + said.stderr).lower()
