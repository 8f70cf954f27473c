"""OpenSSL and the gateway judge certificates and lists of a CA that got a new key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pki import crl, founding, issuance, opening, rollover
from pki.certified import Certified
from pki.hierarchy import NewKey
from pki.home import Home
from pki.keys import KeyKind
from pki.places import FIRST, ROOT
from smimegw.errors import CertificateError
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from tests.interop.openssl import openssl, refusal
from tests.unit.pki.steps import PASSPHRASE, issue

NOW = datetime.now(UTC).replace(microsecond=0)
SECOND = "issuing-2"


@pytest.fixture(params=["p-256", "ed25519"])
def ca(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A CA that was founded two days ago."""
    plan = founding.Founding(
        name="Corp Mail CA",
        settings=founding.Settings(domains=("corp.example",)),
        key_kind=KeyKind(request.param),
    )
    path = tmp_path / "ca"
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=NOW - timedelta(days=2))
    with opening.changing(path, now=NOW) as opened:
        yield opened


@pytest.fixture
def before(ca: Home) -> Certified:
    """Alice's certificate, of the old key."""
    return issue(ca, NOW - timedelta(days=1))


@pytest.fixture
def pair(ca: Home, before: Certified) -> rollover.CrossPair:
    """The CA after the roll-over."""
    place, request = rollover.begin(ca, NewKey(kind=KeyKind.P_256), passphrase=PASSPHRASE, now=NOW)
    rollover.certify_here(ca, place, request, days=1000, passphrase=PASSPHRASE, now=NOW)
    rollover.finish(ca, place, passphrase=PASSPHRASE, now=NOW)
    return rollover.cross_pairs(ca)[0]


@pytest.fixture
def after(ca: Home, pair: rollover.CrossPair) -> Certified:
    """Bob's certificate, of the new key."""
    return issue(ca, NOW, "bob@corp.example")


def _pem(path: Path, *certificates: Certified) -> Path:
    path.write_bytes(b"".join(each.certificate.public_bytes(Encoding.PEM) for each in certificates))
    return path


def _lists(ca: Home, path: Path) -> Path:
    ders = [ca.crl_path(name) for name in (ROOT, FIRST, SECOND)]
    path.write_bytes(b"".join(openssl("crl", "-inform", "DER", "-in", each) for each in ders))
    return path


def _under_root(ca: Home, tmp_path: Path, leaf: Certified) -> list[str | Path]:
    both = _pem(tmp_path / "both.pem", ca.authority(FIRST), ca.authority(SECOND))
    lists = _lists(ca, tmp_path / "crls.pem")
    return [
        *("verify", "-x509_strict", "-crl_check_all", "-CRLfile", lists),
        *("-CAfile", _pem(tmp_path / "root.pem", ca.authority(ROOT)), "-untrusted", both),
        _pem(tmp_path / "leaf.pem", leaf),
    ]


def test_openssl_accepts_old_and_new_with_the_lists_of_both_keys(
    ca: Home, before: Certified, after: Certified, tmp_path: Path
) -> None:
    """Issuers of one name are told apart by their key identifiers (RFC 5280, 4.2.1.1, 5.2.1)."""
    for leaf in (before, after):
        assert b"OK" in openssl(*_under_root(ca, tmp_path, leaf))


def test_openssl_sees_a_revocation_by_either_key(
    ca: Home, before: Certified, after: Certified, tmp_path: Path
) -> None:
    """What the old key issued, the old key lists (RFC 5280, 6.3.3)."""
    for name, leaf in ((FIRST, before), (SECOND, after)):
        issuance.revoke(ca, leaf, "superseded", now=NOW)
        crl.make(ca, name, ca.issuer(name, PASSPHRASE), now=NOW)
    for leaf in (before, after):
        assert "revoked" in refusal(*_under_root(ca, tmp_path, leaf))


def test_who_trusts_the_old_certificate_alone_accepts_the_new_key(
    ca: Home, pair: rollover.CrossPair, after: Certified, tmp_path: Path
) -> None:
    """New with old: the self-issued certificate keeps path length 0 (RFC 4210, 4.4)."""
    options: list[str | Path] = [
        *("verify", "-x509_strict", "-partial_chain"),
        *("-trusted", _pem(tmp_path / "old.pem", ca.authority(FIRST))),
        *("-untrusted", _pem(tmp_path / "cross.pem", pair.new_with_old)),
    ]
    assert b"OK" in openssl(*options, _pem(tmp_path / "leaf.pem", after))


def test_who_trusts_the_new_certificate_alone_accepts_the_old_key(
    ca: Home, pair: rollover.CrossPair, before: Certified, tmp_path: Path
) -> None:
    """Old with new."""
    options: list[str | Path] = [
        *("verify", "-x509_strict", "-partial_chain"),
        *("-trusted", _pem(tmp_path / "new.pem", ca.authority(SECOND))),
        *("-untrusted", _pem(tmp_path / "cross.pem", pair.old_with_new)),
    ]
    assert b"OK" in openssl(*options, _pem(tmp_path / "leaf.pem", before))


def _judge(ca: Home, leaf: Certified, pair: rollover.CrossPair) -> ValidatedCertificate:
    above = (ca.authority(FIRST), ca.authority(SECOND), pair.new_with_old, pair.old_with_new)
    evidence = Evidence(
        trust_anchors=(Certificate.parse(ca.authority(ROOT).der),),
        intermediates=tuple(Certificate.parse(each.der) for each in above),
        crls=tuple(ca.crl_path(name).read_bytes() for name in (ROOT, FIRST, SECOND)),
    )
    certificate = Certificate.parse(leaf.der)
    return validate(
        certificate, evidence, purpose=Purpose.ENCRYPTION, mailbox=leaf.mailbox, now=NOW
    )


def test_the_gateway_accepts_old_and_new(
    ca: Home, pair: rollover.CrossPair, before: Certified, after: Certified
) -> None:
    """With cross certificates about, and lists of both keys (cases F24)."""
    assert _judge(ca, before, pair).mailbox == before.mailbox
    assert _judge(ca, after, pair).mailbox == after.mailbox


def test_the_gateway_sees_a_revocation_by_either_key(
    ca: Home, pair: rollover.CrossPair, before: Certified, after: Certified
) -> None:
    """The other key's list says nothing of it (cases F15)."""
    for name, leaf in ((FIRST, before), (SECOND, after)):
        issuance.revoke(ca, leaf, "keyCompromise", now=NOW)
        crl.make(ca, name, ca.issuer(name, PASSPHRASE), now=NOW)
        with pytest.raises(CertificateError, match="revoked"):
            _judge(ca, leaf, pair)


def test_a_revoked_old_ca_takes_its_certificates_along(
    ca: Home, pair: rollover.CrossPair, before: Certified, after: Certified
) -> None:
    """Also by way of the cross certificate; what the new key issued stays good (T-29)."""
    issuance.revoke(ca, ca.authority(FIRST), "cACompromise", now=NOW)
    for name in (ROOT, FIRST, SECOND):
        crl.make(ca, name, ca.issuer(name, PASSPHRASE), now=NOW)
    with pytest.raises(CertificateError):
        _judge(ca, before, pair)
    assert _judge(ca, after, pair).mailbox == after.mailbox
