"""A new key for the issuing CA: who issues, who lists, and how the two are joined."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki import crl, export, issuance, opening, places, rollover
from pki.errors import PassphraseError
from pki.hierarchy import NewKey
from pki.home import Home
from pki.keys import KeyKind
from pki.places import FIRST, ROOT
from smimegw.errors import UsageError
from tests.unit.pki.steps import PASSPHRASE, issue

NEW = NewKey(kind=KeyKind.P_256)
SECOND = "issuing-2"


def _roll_over(ca: Home, now: datetime, **changes: str) -> tuple[x509.Certificate, ...]:
    place, request = rollover.begin(ca, NEW, passphrase=PASSPHRASE, now=now, **changes)
    rollover.certify_here(ca, place, request, days=1000, passphrase=PASSPHRASE, now=now)
    crossed = rollover.finish(ca, place, passphrase=PASSPHRASE, now=now)
    return tuple(certified.certificate for certified in crossed)


def test_the_new_key_issues_from_then_on(ca: Home, now: datetime) -> None:
    """And its certificate, of the same name, is the issuer."""
    _roll_over(ca, now)
    certified = issue(ca, now)
    assert certified.issuer == SECOND
    certified.certificate.verify_directly_issued_by(ca.authority(SECOND).certificate)
    names = {ca.authority(name).certificate.subject for name in (FIRST, SECOND)}
    assert len(names) == 1


def test_each_key_lists_what_it_issued(ca: Home, now: datetime) -> None:
    """Old certificates are revoked on the old key's CRL, new ones on the new key's."""
    old = issue(ca, now)
    _roll_over(ca, now)
    new = issue(ca, now, "bob@corp.example")
    for certified in (old, new):
        issuance.revoke(ca, certified, "superseded", now=now)
    listed = {
        name: {
            entry.serial_number
            for entry in crl.make(ca, name, ca.issuer(name, PASSPHRASE), now=now).crl
        }
        for name in (FIRST, SECOND)
    }
    assert listed == {FIRST: {old.serial}, SECOND: {new.serial}}


def test_the_old_key_lists_until_its_last_certificate_ended(ca: Home, now: datetime) -> None:
    """Then nobody asks any more (RFC 5280, 3.3)."""
    certified = issue(ca, now, days=30)
    _roll_over(ca, now)
    crossed = [item.not_after for item in ca.register.own_certificates() if item.issuer == FIRST]
    last = max(certified.not_after, *crossed)
    assert ca.listing(now=certified.not_after) == (ROOT, FIRST, SECOND)
    assert FIRST not in ca.listing(now=last + timedelta(seconds=1))


def test_a_chain_leads_through_the_key_that_signed(ca: Home, now: datetime) -> None:
    """What was issued before the roll-over keeps its issuer."""
    old = issue(ca, now)
    _roll_over(ca, now)
    assert export.issuers(ca, old)[0] == ca.authority(FIRST).certificate


def test_the_keys_certify_each_other(ca: Home, now: datetime) -> None:
    """New with old and old with new (RFC 4210, 4.4)."""
    old_with_new, new_with_old = sorted(
        _roll_over(ca, now), key=lambda each: each.public_key() != _key(ca, FIRST)
    )
    assert new_with_old.public_key() == _key(ca, SECOND)
    new_with_old.verify_directly_issued_by(ca.authority(FIRST).certificate)
    old_with_new.verify_directly_issued_by(ca.authority(SECOND).certificate)


def test_cross_certificates_have_the_same_limits(ca: Home, now: datetime) -> None:
    """Path length 0 and the domains: a cross certificate opens nothing (RFC 5280, 4.2.1.10)."""
    own = ca.authority(FIRST).certificate
    for crossed in _roll_over(ca, now):
        for kind in (x509.NameConstraints, x509.BasicConstraints, x509.ExtendedKeyUsage):
            limit = own.extensions.get_extension_for_class(kind)
            assert crossed.extensions.get_extension_for_class(kind) == limit


def test_cross_certificates_end_with_the_shorter_of_the_two(ca: Home, now: datetime) -> None:
    """Neither key gets more time by the other."""
    ends = min(ca.authority(FIRST).not_after, now + timedelta(days=1000))
    for crossed in _roll_over(ca, now):
        assert crossed.not_valid_after_utc <= ends
        assert crossed.subject == crossed.issuer


def test_a_directory_is_told_of_the_pair(ca: Home, now: datetime) -> None:
    """For crossCertificatePair (RFC 4523, 2.3)."""
    _roll_over(ca, now)
    (pair,) = rollover.cross_pairs(ca)
    assert (pair.old, pair.new) == (FIRST, SECOND)
    assert pair.new_with_old.certificate.public_key() == _key(ca, SECOND)
    assert pair.old_with_new.certificate.public_key() == _key(ca, FIRST)


def test_a_revoked_cross_certificate_is_not_told(ca: Home, now: datetime) -> None:
    """Half a pair joins nothing."""
    _roll_over(ca, now)
    issuance.revoke(ca, rollover.cross_pairs(ca)[0].old_with_new, "superseded", now=now)
    assert rollover.cross_pairs(ca) == ()


def test_another_name_needs_no_cross_certificates(ca: Home, now: datetime) -> None:
    """Path length 0 allows them between keys of one name only (RFC 5280, 4.2.1.9)."""
    assert _roll_over(ca, now, name="Corp Mail CA 2") == ()
    assert rollover.cross_pairs(ca) == ()
    issue_name = ca.authority(SECOND).certificate.subject
    assert "Corp Mail CA 2" in issue_name.rfc4514_string()


def test_each_key_has_an_address_of_its_own_for_its_crl(ca: Home) -> None:
    """One URL cannot hold two lists; an LDAP entry can."""
    url = "http://pki.corp.example/lists/issuing.crl"
    assert places.located(url, FIRST) == url
    assert places.located(url, SECOND) == "http://pki.corp.example/lists/issuing-2.crl"
    assert places.located("ldap://ldap.corp.example/cn=CA", SECOND).endswith("cn=CA")


def test_an_interrupted_rollover_goes_on_with_its_key(ca: Home, now: datetime) -> None:
    """Nothing was certified, so the same key is asked for again (cases M22)."""
    first = rollover.begin(ca, NEW, passphrase=PASSPHRASE, now=now)
    second = rollover.begin(ca, NEW, passphrase=PASSPHRASE, now=now)
    assert first == second


def test_finishing_twice_changes_nothing(ca: Home, now: datetime) -> None:
    """A crash between two cross certificates is mended by the same command (cases M22)."""
    crossed = _roll_over(ca, now)
    again = rollover.finish(ca, SECOND, passphrase=PASSPHRASE, now=now)
    assert tuple(certified.certificate for certified in again) == crossed
    assert len(ca.register.own_certificates()) == 5


def test_a_crash_leaves_the_old_key_at_work(ca_path: Path, now: datetime) -> None:
    """A key and a request alone change nobody's issuer (cases M22)."""
    with opening.changing(ca_path, now=now) as ca:
        rollover.begin(ca, NEW, passphrase=PASSPHRASE, now=now)
    with opening.changing(ca_path, now=now) as ca:
        assert ca.issuing == FIRST
        assert issue(ca, now).issuer == FIRST


def test_without_the_roots_key_nothing_is_certified(ca: Home, now: datetime) -> None:
    """An offline root has to be asked: the request is there."""
    ca.key_path(ROOT).unlink()
    place, request = rollover.begin(ca, NEW, passphrase=PASSPHRASE, now=now)
    with pytest.raises(PassphraseError, match="brought back"):
        rollover.certify_here(ca, place, request, days=100, passphrase=PASSPHRASE, now=now)
    assert ca.request_path(place).exists()


def test_without_the_old_key_a_rollover_does_not_finish(ca: Home, now: datetime) -> None:
    """Nobody could revoke what it issued."""
    place, request = rollover.begin(ca, NEW, passphrase=PASSPHRASE, now=now)
    rollover.certify_here(ca, place, request, days=100, passphrase=PASSPHRASE, now=now)
    ca.key_path(FIRST).unlink()
    with pytest.raises(UsageError, match="Bring it back"):
        rollover.finish(ca, place, passphrase=PASSPHRASE, now=now)


def test_three_keys_in_a_row(ca: Home, now: datetime) -> None:
    """The third is crossed with the second, and each has its own place."""
    _roll_over(ca, now)
    _roll_over(ca, now)
    assert ca.issuers == (ROOT, FIRST, SECOND, "issuing-3")
    assert [(pair.old, pair.new) for pair in rollover.cross_pairs(ca)] == [
        (FIRST, SECOND),
        (SECOND, "issuing-3"),
    ]


def test_revoking_a_ca_revokes_what_certifies_its_key(ca: Home, now: datetime) -> None:
    """Else a thief of the old key goes on through the cross certificate (T-29)."""
    _roll_over(ca, now)
    pair = rollover.cross_pairs(ca)[0]
    issuance.revoke(ca, ca.authority(FIRST), "cACompromise", now=now)
    assert ca.register.find(f"{pair.old_with_new.serial:X}").revocation is not None
    assert ca.authority(SECOND).revocation is None


def _key(ca: Home, name: str) -> object:
    return ca.authority(name).certificate.public_key()
