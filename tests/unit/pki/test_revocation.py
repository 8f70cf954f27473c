"""Certificate revocation lists say who is revoked, since when, and why (RFC 5280, 5)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from pki import issuance, keys, revocation
from pki.certified import Certified
from pki.home import Home
from pki.serial_numbers import serial_text
from smimegw.errors import UsageError
from tests.unit.pki.steps import PASSPHRASE, issue, revoke_and_list


def _next_crl(ca: Home, now: datetime) -> x509.CertificateRevocationList:
    issuer = ca.issuer("issuing", PASSPHRASE)
    return issuance.make_crl(ca, "issuing", issuer, now=now).crl


def test_a_revoked_certificate_is_listed_with_its_reason(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.3.1."""
    certified = issue(ca, now)
    revoke_and_list(ca, certified, now, "keyCompromise")
    entry = _next_crl(ca, now).get_revoked_certificate_by_serial_number(certified.serial)
    assert entry is not None
    assert entry.revocation_date_utc == now
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise


def test_the_unspecified_reason_is_left_out(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.3.1: absent instead of unspecified."""
    certified = issue(ca, now)
    revoke_and_list(ca, certified, now, "unspecified")
    entry = _next_crl(ca, now).get_revoked_certificate_by_serial_number(certified.serial)
    assert entry is not None
    assert len(entry.extensions) == 0


def test_crl_numbers_grow_by_one(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.2.3."""
    numbers = [
        _next_crl(ca, now).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for _ in range(3)
    ]
    assert numbers == [2, 3, 4]  # init made the first


def test_a_crl_names_the_key_that_signed_it(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.2.1."""
    crl = _next_crl(ca, now)
    identifier = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = ca.authority("issuing").certificate.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    )
    assert identifier.key_identifier == own.value.digest


def test_a_crl_is_current_from_before_now_for_its_days(ca: Home, now: datetime) -> None:
    """A reader whose clock is a little behind accepts it, too."""
    crl = _next_crl(ca, now)
    assert crl.last_update_utc < now
    assert crl.next_update_utc == now + timedelta(days=7)


def test_a_certificate_stays_listed_once_after_it_ended(ca: Home, now: datetime) -> None:
    """RFC 5280, 3.3: not removed before one regular CRL beyond the validity listed it."""
    certified = issue(ca, now, days=10)
    revoke_and_list(ca, certified, now, "superseded")
    after = certified.not_after + timedelta(days=1)
    first, second = _next_crl(ca, after), _next_crl(ca, after + timedelta(days=1))
    assert first.get_revoked_certificate_by_serial_number(certified.serial) is not None
    assert second.get_revoked_certificate_by_serial_number(certified.serial) is None


def test_a_compromised_key_is_revoked_in_all_its_certificates(ca: Home, now: datetime) -> None:
    """Its thief has the key of the certificate before a renewal, too (S/MIME BR, 4.9.1.1; M18)."""
    first = issue(ca, now)
    key = keys.read_key(ca.key_path(first.serial), PASSPHRASE)
    second = issue(ca, now, private_key=key, renews=first.serial)
    other = issue(ca, now)
    issuance.revoke(ca, second, "keyCompromise", now=now)
    found = [ca.register.find(serial_text(each.serial)) for each in (first, second, other)]
    assert [each.status(now) for each in found] == ["revoked", "revoked", "valid"]


def test_a_superseded_certificate_is_revoked_alone(ca: Home, now: datetime) -> None:
    """What follows it for the same key stays good."""
    first = issue(ca, now)
    key = keys.read_key(ca.key_path(first.serial), PASSPHRASE)
    second = issue(ca, now, private_key=key, renews=first.serial)
    issuance.revoke(ca, first, "superseded", now=now)
    assert ca.register.find(serial_text(second.serial)).status(now) == "valid"
    with pytest.raises(UsageError, match="revoked already"):
        issuance.revoke(ca, ca.register.find(serial_text(first.serial)), "keyCompromise", now=now)
    assert ca.register.find(serial_text(second.serial)).status(now) == "valid"


def test_a_revocation_is_final(ca: Home, now: datetime) -> None:
    """A second one would change the date or the reason of the first."""
    certified = issue(ca, now)
    issuance.revoke(ca, certified, "superseded", now=now)
    with pytest.raises(UsageError, match="revoked already"):
        issuance.revoke(ca, certified, "keyCompromise", now=now + timedelta(days=1))


def test_the_issuing_ca_is_revoked_by_the_root(ca: Home, now: datetime) -> None:
    """The CRL of the root lists it; that of the issuing CA does not."""
    issuing = ca.authority("issuing")
    issuance.revoke(ca, issuing, "cACompromise", now=now)
    root = issuance.make_crl(ca, "root", ca.issuer("root", PASSPHRASE), now=now).crl
    assert root.get_revoked_certificate_by_serial_number(issuing.serial) is not None
    assert len(_next_crl(ca, now)) == 0


def test_the_root_cannot_revoke_itself(ca: Home, now: datetime) -> None:
    """Nobody would be bound by its own word about itself."""
    with pytest.raises(UsageError, match="cannot revoke itself"):
        issuance.revoke(ca, ca.authority("root"), "cACompromise", now=now)


def test_ca_compromise_is_no_reason_for_a_mailbox(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.3.1."""
    with pytest.raises(UsageError, match="keyCompromise"):
        issuance.revoke(ca, issue(ca, now), "cACompromise", now=now)


@pytest.mark.parametrize("text", ["keyCompromise", "KEYCOMPROMISE", "key-compromise"])
def test_reasons_are_read_in_usual_spellings(text: str) -> None:
    """People do not remember the RFC's capitals."""
    assert revocation.parse_reason(text) == "keyCompromise"


@pytest.mark.parametrize("text", ["", "lost", "certificateHold", "removeFromCRL"])
def test_other_reasons_are_refused_with_the_allowed_ones(text: str) -> None:
    """Hold promises to come back and has a command of its own; a revocation is final."""
    with pytest.raises(UsageError, match="keyCompromise, cACompromise"):
        revocation.parse_reason(text)


def test_a_held_certificate_is_listed_as_such(ca: Home, now: datetime) -> None:
    """certificateHold (RFC 5280, 5.3.1)."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    entry = _next_crl(ca, now).get_revoked_certificate_by_serial_number(certified.serial)
    assert entry is not None
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.certificate_hold
    assert _again(ca, certified).status(now) == "held"


def test_a_released_certificate_leaves_the_list(ca: Home, now: datetime) -> None:
    """A hold is the only entry that goes before the certificate ends (RFC 5280, 5.3.1)."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    assert len(_next_crl(ca, now)) == 1
    issuance.release(ca, certified, now=now)
    assert len(_next_crl(ca, now)) == 0
    assert _again(ca, certified).status(now) == "valid"
    assert ca.register.released_since("issuing", now) == (certified.serial,)


def test_what_was_held_and_is_revoked_was_never_good_in_between(ca: Home, now: datetime) -> None:
    """The list keeps the date on which it was first not to be trusted."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    later = now + timedelta(days=3)
    issuance.revoke(ca, _again(ca, certified), "keyCompromise", now=later)
    entry = _next_crl(ca, later).get_revoked_certificate_by_serial_number(certified.serial)
    assert entry is not None
    assert entry.revocation_date_utc == now
    assert ca.register.released_since("issuing", now) == ()


def test_a_revoked_certificate_is_not_released(ca: Home, now: datetime) -> None:
    """Only a hold comes back."""
    certified = issue(ca, now)
    issuance.revoke(ca, certified, "superseded", now=now)
    with pytest.raises(UsageError, match="not on hold"):
        issuance.release(ca, _again(ca, certified), now=now)


def test_a_hold_is_not_put_on_a_hold(ca: Home, now: datetime) -> None:
    """A second one would change the date of the first."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    with pytest.raises(UsageError, match="on hold already"):
        issuance.hold(ca, _again(ca, certified), now=now)


def test_a_certificate_may_be_held_again(ca: Home, now: datetime) -> None:
    """A card is lost twice."""
    certified = issue(ca, now)
    for _ in range(2):
        issuance.hold(ca, certified, now=now)
        issuance.release(ca, certified, now=now)
    assert _again(ca, certified).status(now) == "valid"


def test_a_ca_is_not_put_on_hold(ca: Home, now: datetime) -> None:
    """Everything below it would blink."""
    with pytest.raises(UsageError, match="half a CA"):
        issuance.hold(ca, ca.authority("issuing"), now=now)


def _again(ca: Home, certified: Certified) -> Certified:
    return ca.register.find(serial_text(certified.serial))
