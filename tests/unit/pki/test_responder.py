"""The OCSP responder is appointed for weeks, for nothing else, and followed in time (RFC 6960)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import opening, responder
from pki.errors import PassphraseError
from pki.home import Home
from pki.profiles import Profile
from pki.responder import Appointment
from pki.serial_numbers import serial_text
from tests.unit.pki.steps import PASSPHRASE

DAY = timedelta(days=1)


def appoint(ca: Home, now: datetime) -> Appointment:
    return responder.appoint(ca, "issuing", ca.issuer("issuing", PASSPHRASE), now=now)


def certificate(ca: Home, made: Appointment) -> x509.Certificate:
    return ca.register.find(serial_text(made.serial)).certificate


def issuing(ca: Home) -> x509.Certificate:
    return ca.authority("issuing").certificate


def test_it_may_answer_and_nothing_else(ca: Home, now: datetime) -> None:
    """RFC 6960, 4.2.2.2: OCSPSigning alone, no CA, digitalSignature."""
    made = certificate(ca, appoint(ca, now)).extensions
    purposes = made.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    usage = made.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign


def test_it_is_exempt_from_being_asked_about(ca: Home, now: datetime) -> None:
    """RFC 6960, 4.2.2.2.1: id-pkix-ocsp-nocheck, else readers would ask in a circle."""
    made = certificate(ca, appoint(ca, now))
    assert not made.extensions.get_extension_for_class(x509.OCSPNoCheck).critical


def test_it_ends_soon(ca: Home, now: datetime) -> None:
    """T-34: nobody can revoke it."""
    assert appoint(ca, now).not_after - now < 31 * DAY


def test_it_never_outlives_its_ca(ca: Home, now: datetime) -> None:
    """Shortened, not refused: the last weeks want answers, too."""
    late = issuing(ca).not_valid_after_utc - 5 * DAY
    assert appoint(ca, late).not_after == issuing(ca).not_valid_after_utc


def test_it_is_in_the_ledger(ca: Home, now: datetime) -> None:
    """Every signature of the CA is, and it takes nobody's place."""
    before = ca.authority("issuing")
    certified = ca.register.find(serial_text(appoint(ca, now).serial))
    assert certified.profile is Profile.OCSP
    assert ca.authority("issuing") == before
    assert ca.issuing == "issuing"


def test_its_key_is_for_its_owner_only(ca: Home, now: datetime) -> None:
    """It lies in clear: the service starts without a person."""
    made = appoint(ca, now)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_new_one_takes_the_place_of_the_old(ca: Home, now: datetime) -> None:
    """One file with both, so that never the key of another is read."""
    first = responder.load(appoint(ca, now).path, issuing(ca))
    second = responder.load(appoint(ca, now).path, issuing(ca))
    assert first.certificate != second.certificate
    assert second.key.public_key() == second.certificate.public_key()


@pytest.mark.parametrize(
    ("days", "expected"), [(-9, True), (0, False), (14, False), (16, True), (40, True)]
)
def test_it_is_due_when_half_its_time_is_over(
    ca: Home, now: datetime, days: int, expected: bool
) -> None:
    """There is time to mend what goes wrong; one made while the clock was ahead is of no use."""
    appoint(ca, now)
    later = now + days * DAY
    assert responder.is_due(ca.path, "issuing", issuing(ca), now=later) is expected


def test_without_one_it_is_due(ca: Home, now: datetime) -> None:
    """The first time."""
    assert responder.is_due(ca.path, "issuing", issuing(ca), now=now)


@pytest.mark.parametrize("octets", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_damaged_file_says_what_to_do(ca: Home, now: datetime, octets: bytes) -> None:
    """And is due."""
    path = appoint(ca, now).path
    path.write_bytes(octets)
    with pytest.raises(PassphraseError, match="smimegw-ca ocsp make"):
        responder.load(path, issuing(ca))
    assert responder.is_due(ca.path, "issuing", issuing(ca), now=now)


def test_the_key_of_another_certificate_is_refused(ca: Home, now: datetime) -> None:
    """Nobody could verify its answers."""
    path = appoint(ca, now).path
    whole = path.read_bytes()
    head = whole[: whole.index(b"-----BEGIN PRIVATE KEY")]
    appoint(ca, now)
    other = path.read_bytes()
    path.write_bytes(head + other[other.index(b"-----BEGIN PRIVATE KEY") :])
    with pytest.raises(PassphraseError, match="not of this CA"):
        responder.load(path, issuing(ca))


def test_the_responder_of_another_ca_is_refused(ca: Home, now: datetime) -> None:
    """The root appointed nobody."""
    path = appoint(ca, now).path
    with pytest.raises(PassphraseError, match="not of this CA"):
        responder.load(path, ca.authority("root").certificate)


def test_its_days_are_configured(ca: Home, now: datetime) -> None:
    """ca.toml, [ocsp]."""
    short = replace(ca, settings=replace(ca.settings, ocsp_days=3))
    assert appoint(short, now).not_after - now < 4 * DAY


def test_its_key_is_elliptic_whatever_the_ca_has(ca: Home, now: datetime) -> None:
    """Answers stay small."""
    loaded = responder.load(appoint(ca, now).path, issuing(ca))
    assert isinstance(loaded.key, ec.EllipticCurvePrivateKey)


def test_a_reservation_that_a_crash_left_is_closed(
    ca_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M22: a serial number is used up, and nothing else."""

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(responder, "sign", crash)
    with opening.changing(ca_path, now=now) as opened, pytest.raises(KeyboardInterrupt):
        appoint(opened, now)
    monkeypatch.undo()
    with opening.changing(ca_path, now=now) as opened:
        assert opened.register.open_reservations() == ()
        assert appoint(opened, now).path.exists()
