"""The gateway's own path validation accepts what the CA issues and refuses what it revoked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pki.certified import Certified
from pki.home import Home
from pki.keys import KeyKind
from pki.profiles import Profile
from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from tests.unit.pki.steps import issue, revoke_and_list


def _judge(ca: Home, certified: Certified, purpose: Purpose, now: datetime) -> ValidatedCertificate:
    lists = [ca.register.last_crl(name) for name in ca.issuers]
    evidence = Evidence(
        trust_anchors=(Certificate.parse(ca.authority("root").der),),
        intermediates=(Certificate.parse(ca.authority("issuing").der),),
        crls=tuple(listed.der for listed in lists if listed),
    )
    certificate = Certificate.parse(certified.der)
    return validate(certificate, evidence, purpose=purpose, mailbox=certified.mailbox, now=now)


@pytest.mark.parametrize("kind", [KeyKind.RSA_3072, KeyKind.P_256])
@pytest.mark.parametrize(
    ("profile", "purpose"),
    [
        (Profile.SIGN, Purpose.SIGNATURE),
        (Profile.ENCRYPT, Purpose.ENCRYPTION),
        (Profile.BOTH, Purpose.SIGNATURE),
        (Profile.BOTH, Purpose.ENCRYPTION),
    ],
)
def test_each_profile_is_good_for_its_purpose(
    ca: Home, now: datetime, profile: Profile, purpose: Purpose, kind: KeyKind
) -> None:
    """Path, name constraints, CRLs, usage and address all hold (RFC 5280, 6.1)."""
    certified = issue(ca, now, profile=profile, key_kind=kind)
    assert len(_judge(ca, certified, purpose, now).path) == 3


@pytest.mark.parametrize(
    "address", ["用户@corp.example", '"a..b"@corp.example', "Alice@corp.example"]
)
def test_unusual_addresses_match(ca: Home, now: datetime, address: str) -> None:
    """What the certificate says is read back as the same mailbox (RFC 9598, 5)."""
    certified = issue(ca, now, address)
    assert _judge(ca, certified, Purpose.ENCRYPTION, now).mailbox == Mailbox.parse(address)


def test_a_revoked_certificate_is_refused(ca: Home, now: datetime) -> None:
    """After the CRL (R-04, F15)."""
    certified = issue(ca, now)
    revoke_and_list(ca, certified, now, "keyCompromise")
    with pytest.raises(CertificateError) as caught:
        _judge(ca, certified, Purpose.ENCRYPTION, now)
    assert caught.value.reason == "revoked"


def test_an_expired_certificate_is_refused(ca: Home, now: datetime) -> None:
    """One second after its end (R-03)."""
    certified = issue(ca, now, days=2)
    with pytest.raises(CertificateError) as caught:
        _judge(ca, certified, Purpose.ENCRYPTION, certified.not_after + timedelta(seconds=1))
    assert caught.value.reason == "expired"
